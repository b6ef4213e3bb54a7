"""What people do about the checks of a release: stop a gate, have it run again, take one that did not pass upon
themselves, or keep live what a guard would have taken back.
"""

from collections.abc import Callable, Mapping

from bot.ballot_box import TRIES, found, too_quick
from bot.ports import Clock
from bot.release import gates, guards
from bot.release.app import App
from bot.release.record import Person, Release
from bot.store import Event, Outdated, Store


class Gatekeeper:
    """`wake` has the controller look at an app. What people ask raises `Refused` with the reason why not."""

    def __init__(self, apps: Mapping[str, App], store: Store, wake: Callable[[str], None], clock: Clock) -> None:
        self._apps = apps
        self._store = store
        self._wake = wake
        self._clock = clock

    async def repeat(self, app: str, number: int, gate: str, actor: Person) -> Release:
        def again(release: Release) -> Release:
            return gates.again(release, self._apps[app], gate, actor, self._clock.now())

        told = Event("gate", f"{actor.name} has gate {gate} run again", actor=actor.name)
        return await self._change(app, number, again, told)

    async def stop(self, app: str, number: int, gate: str, actor: Person) -> Release:
        """What it has running goes as soon as the controller has looked."""

        def stopped(release: Release) -> Release:
            return gates.stop(release, self._apps[app], gate, actor, self._clock.now())

        told = Event("gate", f"{actor.name} stopped gate {gate}: no verdict", actor=actor.name)
        return await self._change(app, number, stopped, told)

    async def accept(self, app: str, number: int, gate: str, actor: Person, why: str) -> Release:
        def accepted(release: Release) -> Release:
            return gates.accept(release, self._apps[app], gate, actor, why)

        told = Event("gate", f"{actor.name} accepts gate {gate}: {why}", actor=actor.name)
        return await self._change(app, number, accepted, told)

    async def keep(self, app: str, number: int, guard: str, actor: Person) -> Release:
        def kept(release: Release) -> Release:
            return guards.keep(release, self._apps[app], guard, actor)

        told = Event("guard:kept", f"{actor.name} keeps it live in spite of guard {guard}", actor=actor.name)
        return await self._change(app, number, kept, told)

    async def _change(self, app: str, number: int, change: Callable[[Release], Release], told: Event) -> Release:
        for _ in range(TRIES):
            release = await found(self._store, self._apps, app, number)
            try:
                stored = await self._store.update(change(release), told)
            except Outdated:
                continue
            self._wake(app)
            return stored
        raise too_quick(app)
