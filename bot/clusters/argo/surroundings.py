"""Reads a Rollout and what is around it, for whoever wants to know whether it allows releases as it stands."""

import asyncio
from typing import NoReturn

from bot.clusters.addresses import optional
from bot.clusters.api import DEPLOYMENT, INGRESS, ROLLOUT, SERVICE, Api, Json, Kind
from bot.clusters.argo.discovery import Found, behind, is_blue_green, not_installed, not_there
from bot.clusters.errors import Forbidden, Missing
from bot.clusters.shape import all_sound, sound
from bot.release.app import App


async def find(api: Api, app: App) -> Json:
    """The Rollout. Raises `Unfit` with the fix when there is none."""
    rollout = await _if_there(api, ROLLOUT, app, app.argo.rollout)
    if rollout is None:
        await _tell_why(api, app)
    return rollout


async def look_around(api: Api, app: App, rollout: Json) -> Found:
    rollouts, ingresses = await asyncio.gather(
        optional(api, ROLLOUT, app.namespace), optional(api, INGRESS, app.namespace)
    )
    if not is_blue_green(rollout):
        return Found(rollout, rollouts, (), ingresses)
    names = behind(rollout)
    services = await asyncio.gather(*(_if_there(api, SERVICE, app, name) for name in names.services))
    held_by = await _if_there(api, DEPLOYMENT, app, names.workload) if names.workload else None
    return Found(
        rollout,
        all_sound(ROLLOUT, rollouts),
        [each for each in services if each is not None],
        ingresses,
        held_by,
    )


async def _tell_why(api: Api, app: App) -> NoReturn:
    try:
        rollouts = (await api.list(ROLLOUT, app.namespace)).items
    except Missing as error:
        raise not_installed(app) from error
    except Forbidden:
        rollouts = []
    # Most Roles are for one namespace, and then it cannot be told.
    raise not_there(app, rollouts, await optional(api, ROLLOUT, ""))


async def _if_there(api: Api, kind: Kind, app: App, name: str) -> Json | None:
    try:
        return sound(kind, await api.get(kind, app.namespace, name))
    except Missing:
        return None
