"""The cache of one kind: fed by an API server that behaves as the real one does, without a network and without time."""

import asyncio
from dataclasses import dataclass, field

import pytest

from bot.clusters.api import SERVICE, Listing
from bot.clusters.errors import Away, Gone
from bot.clusters.watch import FIRST_PAUSE, LONGEST_PAUSE, Watch


def service(name: str, version: int, **labels) -> dict:
    return {"metadata": {"name": name, "resourceVersion": str(version), "labels": labels}, "spec": {}}


@dataclass
class Server:
    """Keeps the objects and what happened to them; `compact` forgets what happened, `breaks` is raised next."""

    objects: dict = field(default_factory=dict)
    version: int = 10
    lists: int = 0
    watched_from: list = field(default_factory=list)
    breaks: list = field(default_factory=list)
    compacted: int = 0
    closes: int = 0

    def __post_init__(self):
        self._log = []
        self._news = asyncio.Event()

    def apply(self, name: str, **labels) -> dict:
        self.version += 1
        kind = "MODIFIED" if name in self.objects else "ADDED"
        self.objects[name] = service(name, self.version, **labels)
        self._tell(kind, self.objects[name])
        return self.objects[name]

    def delete(self, name: str) -> None:
        self.version += 1
        del self.objects[name]
        self._tell("DELETED", service(name, self.version))

    def bookmark(self) -> None:
        self._tell("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def interrupt(self, *errors: Exception) -> None:
        """Whatever is open breaks; so do as many further calls."""
        self.breaks += errors
        self._news.set()

    def close(self) -> None:
        self.closes += 1
        self._news.set()

    def compact(self) -> None:
        self.compacted = self.version

    def _tell(self, kind: str, item: dict) -> None:
        self._log.append((self.version, {"type": kind, "object": item}))
        self._news.set()

    async def list(self, kind, namespace, *, labels=""):
        self.lists += 1
        if self.breaks:
            raise self.breaks.pop(0)
        return Listing(list(self.objects.values()), str(self.version))

    async def watch(self, kind, namespace, resource_version):
        self.watched_from.append(resource_version)
        since = int(resource_version)
        if since < self.compacted:
            raise Gone("too old")
        told = sum(at <= since for at, _ in self._log)
        while True:
            for _, event in self._log[told:]:
                told += 1
                yield event
            if self.breaks:
                raise self.breaks.pop(0)
            if self.closes:
                self.closes -= 1
                return
            self._news.clear()
            await self._news.wait()


class Kept:
    """A watch under way; `pauses` are the seconds that it wanted to wait and did not have to."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.changes = 0
        self.pauses: list[float] = []
        self.watch = Watch(server, SERVICE, "mochi", self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def __aenter__(self):
        self._task = asyncio.create_task(self.watch.run(self._pause))
        await self.until(self.watch.listed.is_set)
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, met) -> None:
        """Turn the event loop until it is met: there is no time to wait for here."""
        for _ in range(500):
            if met():
                return
            assert not self._task.done(), self._task
            await asyncio.sleep(0)
        raise AssertionError("it never came")

    def agrees(self) -> bool:
        return self.watch.objects == self.server.objects


async def test_what_happens_is_in_the_cache():
    server = Server({"a": service("a", 3)})
    async with Kept(server) as kept:
        server.apply("b")
        server.apply("a", color="green")
        server.delete("b")
        await kept.until(lambda: kept.changes >= 4)
        assert kept.agrees()
        assert (server.lists, server.watched_from) == (1, ["10"])


async def test_a_connection_that_ends_goes_on_where_it_was():
    """Bookmarks count as well: after a quiet hour nothing has to be listed again."""
    server = Server()
    async with Kept(server) as kept:
        server.apply("a")
        server.version += 90
        server.bookmark()
        server.close()
        await kept.until(lambda: len(server.watched_from) == 2)
        server.apply("b")
        await kept.until(kept.agrees)
        assert (server.lists, server.watched_from) == (1, ["10", "101"])


async def test_after_410_everything_is_listed_anew_and_what_vanished_is_told():
    """The client's own watch would go on with the same resourceVersion for ever."""
    server = Server({"a": service("a", 3), "b": service("b", 4)})
    async with Kept(server) as kept:
        before = kept.changes
        del server.objects["a"]
        server.version += 5
        server.compact()
        server.interrupt(Gone("too old"))
        await kept.until(lambda: kept.changes > before)
        assert (kept.agrees(), server.lists, server.watched_from) == (True, 2, ["10", "15"])


async def test_after_410_nothing_is_told_if_nothing_changed():
    server = Server({"a": service("a", 3)})
    async with Kept(server) as kept:
        before = kept.changes
        server.interrupt(Gone("too old"))
        await kept.until(lambda: len(server.watched_from) == 2)
        assert kept.changes == before


@pytest.mark.parametrize("error", [Away("reset"), Away("nothing was heard for 90 s")])
async def test_an_interrupted_watch_says_so_until_it_hears_again(error):
    """Silence is an error like any other by the time it is seen here: the API's client gives a silent stream up."""
    server = Server()
    async with Kept(server) as kept:
        server.interrupt(error)
        await kept.until(lambda: kept.watch.trouble is not None)
        server.apply("a")
        await kept.until(kept.agrees)
        assert (kept.watch.trouble, server.lists) == (None, 1)


async def test_an_api_server_that_is_away_is_asked_less_and_less_often():
    server = Server()
    async with Kept(server) as kept:
        server.interrupt(*[Away("away")] * 10)
        await kept.until(lambda: len(kept.pauses) == 10)
        assert kept.pauses[:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE, 8 * FIRST_PAUSE]
        assert kept.pauses[-1] == LONGEST_PAUSE
        server.apply("a")
        await kept.until(kept.agrees)
        server.interrupt(Away("away"))
        await kept.until(lambda: len(kept.pauses) == 11)
        assert kept.pauses[-1] == FIRST_PAUSE


MALFORMED = [
    {"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "11"}}},
    {"type": "ADDED", "object": {"metadata": {"resourceVersion": "11"}, "spec": {}}},
    {"type": "ADDED", "object": {"metadata": {"name": "a", "resourceVersion": "11", "labels": {"a": 1}}, "spec": {}}},
    {"type": "DELETED", "object": {"metadata": {"name": ["a"], "resourceVersion": "11"}, "spec": {}}},
    {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": 11}}},
    {"type": "RENAMED", "object": service("a", 11)},
    {"type": ["ADDED"], "object": service("a", 11)},
]


@pytest.mark.parametrize("event", MALFORMED, ids=str)
async def test_i9_an_event_that_cannot_be_read_is_trouble_and_not_the_end(event):
    """The bot lives by its watches: one that ended would end it."""
    server = Server({"a": service("a", 3)})
    async with Kept(server) as kept:
        server._tell(event["type"], event["object"])
        await kept.until(lambda: kept.watch.trouble is not None)
        assert kept.watch.objects == {"a": service("a", 3)}
        server._log.clear()
        server.apply("a", color="green")
        await kept.until(lambda: kept.agrees() and kept.watch.trouble is None)


async def test_i9_a_list_with_something_that_cannot_be_read_is_trouble_until_it_can():
    server = Server({"a": {"metadata": {"name": "a"}}})
    watch = Watch(server, SERVICE, "mochi", lambda: None)
    pauses = []

    async def pause(seconds):
        pauses.append(watch.trouble)
        server.objects["a"] = service("a", 3)
        await asyncio.sleep(0)

    task = asyncio.create_task(watch.run(pause))
    await watch.listed.wait()
    task.cancel()
    assert "Service a cannot be read: metadata.resourceVersion is not what" in str(pauses[0])
    assert (watch.trouble, watch.objects) == (None, {"a": service("a", 3)})


async def test_the_end_of_something_unknown_is_no_news():
    server = Server()
    async with Kept(server) as kept:
        server._tell("DELETED", service("never-seen", 11))
        server.apply("a")
        await kept.until(kept.agrees)
        assert kept.watch.trouble is None


@pytest.mark.parametrize("ends", [lambda server: server.close(), lambda server: server.interrupt(Gone("too old"))])
async def test_a_watch_that_ends_at_once_again_and_again_does_not_spin(ends):
    """A proxy that closes every stream, or an API server whose every version is too old."""
    server = Server()
    async with Kept(server) as kept:
        for number in range(1, 6):
            ends(server)
            await kept.until(lambda number=number: len(kept.pauses) == number)
        assert kept.pauses == [FIRST_PAUSE * 2**power for power in range(5)]


async def test_an_older_object_never_replaces_a_newer_one():
    """A read that was under way while the watch heard of a change."""
    server = Server()
    old = server.apply("a", color="blue")
    async with Kept(server) as kept:
        server.apply("a", color="green")
        await kept.until(kept.agrees)
        kept.watch.put(old)
        assert kept.agrees()
        kept.watch.put(service("a", server.version + 1, color="red"))
        assert kept.watch.objects["a"]["metadata"]["labels"] == {"color": "red"}


async def test_a_deleted_object_does_not_come_back_by_an_old_read():
    server = Server()
    old = server.apply("a")
    async with Kept(server) as kept:
        server.delete("a")
        await kept.until(kept.agrees)
        kept.watch.put(old)
        assert kept.watch.objects == {}
        kept.watch.put(service("b", server.version + 1))
        assert list(kept.watch.objects) == ["b"]


async def test_what_was_just_written_is_there_before_the_watch_tells():
    server = Server({"a": service("a", 3)})
    watch = Watch(server, SERVICE, "mochi", lambda: None)
    watch.put(service("a", 11, color="green"))
    assert watch.objects["a"]["metadata"]["labels"] == {"color": "green"}
