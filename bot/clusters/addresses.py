"""Reads where an app answers: what its file says, else what the Ingresses and routes of its namespace say."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from bot.clusters.api import GATEWAY, HTTP_ROUTE, INGRESS, SERVICE, Api, Json, Kind
from bot.clusters.cluster import Links
from bot.clusters.errors import Forbidden, Missing, Unfit
from bot.clusters.links import best_link
from bot.clusters.reading import name
from bot.release.app import App


@dataclass(frozen=True)
class Entrances:
    """What of a namespace says how its Services are reached. Raw: nothing of it is sure."""

    ingresses: Sequence[Json] = ()
    routes: Sequence[Json] = ()
    gateways: Sequence[Json] = ()
    services: Sequence[Json] = ()

    def links(self, app: App, active: str, preview: str) -> Links:
        """`active` and `preview` are the names of the two Services."""

        def link(service: str, called: str) -> str | None:
            found = best_link(service, self.ingresses, self.routes, self.gateways, self.services)
            return app.links.get(called) or found

        return Links(link(active, "production"), link(preview, "preview"))


async def read_entrances(api: Api, namespace: str) -> Entrances:
    kinds = (INGRESS, HTTP_ROUTE, GATEWAY, SERVICE)
    return Entrances(*await asyncio.gather(*(optional(api, kind, namespace) for kind in kinds)))


async def read_links(api: Api, app: App, active: str, preview: str) -> Links:
    """`active` and `preview` are the names of the two Services."""
    return (await read_entrances(api, app.namespace)).links(app, active, preview)


async def optional(api: Api, kind: Kind, namespace: str) -> list[Json]:
    """What is nice to know: nothing where the kind is not served or may not be read."""
    try:
        return (await api.list(kind, namespace)).items
    except (Missing, Forbidden):
        return []


def inside(service: Json) -> str:
    """The address of a Service for whoever is in its cluster, by its port `http` or its first. Raises `Unfit`."""
    ports = service["spec"].get("ports") or []
    port = next((each for each in ports if each.get("name") == "http"), ports[0] if ports else None)
    if port is None:
        raise Unfit(f"Service {name(service)} has no port", "give it one, or name the gate's `url`.")
    metadata = service["metadata"]
    return f"http://{metadata['name']}.{metadata['namespace']}.svc:{port['port']}"
