"""What the watches of an app's backend have heard, of every kind and namespace that it needs."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from bot.clusters.api import Api, Json, Kind
from bot.clusters.errors import Forbidden
from bot.clusters.watch import Watch

NOT_LISTED = "not listed yet"


class Watches:
    """`changed` is called with a namespace whenever something in it changes."""

    def __init__(
        self, api: Api, namespaces: Iterable[str], kinds: Iterable[Kind], changed: Callable[[str], None]
    ) -> None:
        kinds = tuple(kinds)
        self._of = {
            namespace: {kind.name: Watch(api, kind, namespace, partial(changed, namespace)) for kind in kinds}
            for namespace in set(namespaces)
        }

    @property
    def all(self) -> list[Watch]:
        return [watch for watches in self._of.values() for watch in watches.values()]

    async def run(self) -> None:
        """Keep them current, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self.all:
                group.create_task(watch.run())

    @property
    def trouble(self) -> str | None:
        """Why nothing is heard at the moment; None while any namespace is listened to."""
        if any(watch.listed.is_set() and watch.trouble is None for watch in self.all):
            return None
        return next((str(watch.trouble) for watch in self.all if watch.trouble), NOT_LISTED)

    def forbidden(self, namespace: str) -> str:
        """The right to watch that is missing, as a sentence; "" when none is."""
        troubles = (watch.trouble for watch in self._of[namespace].values())
        return next((str(trouble) for trouble in troubles if isinstance(trouble, Forbidden)), "")

    def heard(self, namespace: str) -> list[Mapping[str, Json]] | None:
        """By kind, in their order, the objects by name; None while a watch is interrupted: they may be long over."""
        watches = self._of[namespace].values()
        if not all(watch.listed.is_set() and watch.trouble is None for watch in watches):
            return None
        return [watch.objects for watch in watches]

    def last(self, namespace: str, kind: Kind, name: str) -> Json | None:
        """What was heard last of a kind that is watched, however long ago; None as well of what was deleted."""
        return self._of[namespace][kind.name].objects.get(name)

    def put(self, namespace: str, kind: Kind, items: Iterable[Json | None]) -> None:
        """Take over what was read or written in another way; nothing of a kind that is not watched."""
        watch = self._of[namespace].get(kind.name)
        if watch is not None:
            for item in filter(None, items):
                watch.put(item)
