"""Reads where an app answers: what its file says, else what the Ingresses and routes of its namespace say."""

import asyncio

from bot.clusters.api import GATEWAY, HTTP_ROUTE, INGRESS, SERVICE, Api, Json, Kind
from bot.clusters.cluster import Links
from bot.clusters.errors import Forbidden, Missing
from bot.clusters.links import best_link
from bot.release.app import App


async def read_links(api: Api, app: App, active: str, preview: str) -> Links:
    """`active` and `preview` are the names of the two Services."""
    ingresses, routes, gateways, services = await asyncio.gather(
        optional(api, INGRESS, app.namespace),
        optional(api, HTTP_ROUTE, app.namespace),
        optional(api, GATEWAY, app.namespace),
        optional(api, SERVICE, app.namespace),
    )

    def link(service: str, called: str) -> str | None:
        return app.links.get(called) or best_link(service, ingresses, routes, gateways, services)

    return Links(link(active, "production"), link(preview, "preview"))


async def optional(api: Api, kind: Kind, namespace: str) -> list[Json]:
    """What is nice to know: nothing where the kind is not served or may not be read."""
    try:
        return (await api.list(kind, namespace)).items
    except (Missing, Forbidden):
        return []
