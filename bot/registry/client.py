"""Asks registries which digest a tag means, and which tags there are.

Speaks the OCI distribution API. Every call ends within one deadline and fails only with a sentence: `ImageNotFound` or
`RegistryError`.

Mirrors. A digest is asked of the mirrors first, as containerd does, and believed by its bytes alone; so they take the
load off a registry that rations. What a *tag* means, and which tags there are, only the registry itself knows: a mirror
may be hours behind, and a person who deploys `green` means today's. So the registry is asked first, and its "not there"
is final; a mirror is asked only when the registry is away or does not let us in, and then `Resolved.mirror` says so,
for the card.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar

import aiohttp
import structlog
from yarl import URL

from bot.registry.access import Access, Turn
from bot.registry.answer import Answer
from bot.registry.errors import ImageNotFound, RegistryError
from bot.registry.hosts import RegistryHost
from bot.release.errors import Refused
from bot.release.image import DOCKER_HUB, Image, is_digest, is_tag

log = structlog.get_logger(__name__)

T = TypeVar("T")

_INDEXES = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
_MANIFESTS = frozenset(
    {"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
)
_ACCEPT = ", ".join(sorted(_INDEXES | _MANIFESTS))

_PAGE = 1000  # tags
_PAGES = 10
_DATED = 30  # tags
_AT_ONCE = 6  # requests
_CHOICES = 25  # Discord's limit for autocomplete
_REST = 30.0  # seconds
_NO_DATE = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Resolved:
    """What a reference means now. `platforms` is empty for an image that exists for one platform only."""

    digest: str
    platforms: frozenset[str] = frozenset()
    mirror: str = ""
    """The mirror that said what a tag means, because the registry itself could not be asked."""

    @property
    def digests(self) -> frozenset[str]:
        """All that a kubelet may report as the image of a pod that runs it: the index or a platform's manifest."""
        return self.platforms | {self.digest}


@dataclass
class _Known:
    """The tags of one repository as last seen; times are of the monotonic clock."""

    tags: list[str] = field(default_factory=list)
    fresh_until: float = 0.0
    refresh: asyncio.Task[None] | None = None


class Registry:
    """A client of all registries, for as long as the process lives; `async with`, or `close()` at the end.

    `docker_config` is the directory of docker's `config.json`, read again at every login since passwords rotate;
    `hosts` says how a registry is reached that is not reached by TLS and directly; `within` is each call's deadline in
    seconds; suggested tags are `fresh` for that many seconds.
    """

    def __init__(
        self,
        docker_config: Path | None = None,
        hosts: Mapping[str, RegistryHost] = MappingProxyType({}),
        *,
        within: float = 10.0,
        fresh: float = 15.0,
    ) -> None:
        self._access = Access(docker_config, hosts, _ACCEPT)
        self._hosts = hosts
        self._within = within
        self._fresh = fresh
        self._known: dict[str, _Known] = {}
        self._created: dict[str, datetime] = {}
        self._resting: dict[str, float] = {}  # mirrors that did not answer → until when they are left alone

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        running = [known.refresh for known in self._known.values() if known.refresh is not None]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._access.close()

    async def resolve(self, image: Image) -> Resolved:
        """What `image` means now. Raises `ImageNotFound`, or `RegistryError` when that cannot be found out."""
        reference = image.digest or image.tag
        if reference is None:
            raise Refused(f"`{image}` names no version: add a tag or a digest.")
        until = self._deadline()
        try:
            digest, kind, host = await self._at_best(
                image, until, lambda turn: self._digest(turn, reference), by_digest=image.digest is not None
            )
            mirror = "" if image.digest is not None or host == image.registry else host
            if kind not in _INDEXES:
                return Resolved(digest, mirror=mirror)
            # By digest: the tag may have moved since.
            index = await self._content(image, digest, until)
            return Resolved(digest, _platforms(index), mirror)
        except ImageNotFound as why:
            raise ImageNotFound(f"{why}{self._what_there_is(image)}") from None

    async def tags(self, image: Image) -> list[str]:
        """All tags of the repository, newest first as far as the registry tells; raises as `resolve` does.

        The API gives tags without dates. So the 30 that sort highest (as versions do: v1.10 before v1.9) are looked up
        and ordered by the date their image was built; the others follow in sort order. Docker Hub counts such look-ups
        as pulls and rations those, so its tags are in sort order only. At most ten pages are read: 10,000 tags from
        most registries, 500 from Quay.
        """
        until = self._deadline()
        names, host = await self._at_best(image, until, self._list, by_digest=False)
        names.sort(key=_natural, reverse=True)
        turn = Turn(image, host, until)
        dates = {} if image.registry == DOCKER_HUB else await self._dates(turn, names[:_DATED])
        return sorted(names, key=lambda tag: dates.get(tag, _NO_DATE), reverse=True)

    async def suggest(self, image: Image, typed: str, *, within: float = 1.0) -> list[str]:
        """At most 25 tags that contain what is typed, newest first and those that begin with it before the others.

        Answers after `within` seconds at the latest, with what is known by then: what was asked for goes on in the
        background and serves the next call. Never raises; a registry that is away has its last known tags, or none.
        """
        known = self._known.setdefault(image.name, _Known())
        if known.refresh is None and time.monotonic() >= known.fresh_until:
            known.refresh = asyncio.create_task(self._refresh(image, known))
        if known.refresh is not None:
            await asyncio.wait({known.refresh}, timeout=within)
        part = typed.strip().removeprefix(image.name).lstrip(":").casefold()
        found = [tag for tag in known.tags if part in tag.casefold()]
        return sorted(found, key=lambda tag: not tag.casefold().startswith(part))[:_CHOICES]

    async def _refresh(self, image: Image, known: _Known) -> None:
        try:
            known.tags = await self.tags(image)
        except (RegistryError, Refused) as why:
            log.warning("tags not refreshed", image=image.name, why=str(why))
        except Exception:
            log.exception("tags not refreshed", image=image.name)
        finally:
            # After a failure too: a registry that is away is not asked again at every key that is pressed.
            known.fresh_until = time.monotonic() + self._fresh
            known.refresh = None

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._within

    async def _at_best(self, image: Image, until: float, ask: Callable[[Turn], Awaitable[T]], *, by_digest: bool) -> T:
        """What the first host answers that can; the order is that of this module's docstring.

        Each host may take an equal share of the time that is left, so that one that is silent leaves some to the next.
        """
        home, mirrors = image.registry, self._mirrors(image, rested=by_digest)
        hosts = [*mirrors, home] if by_digest else [home, *mirrors]
        told: dict[str, RegistryError | ImageNotFound] = {}
        for place, host in enumerate(hosts):
            now = asyncio.get_running_loop().time()
            turn = Turn(image, host, now + (until - now) / (len(hosts) - place))
            try:
                async with self._access.within(turn):
                    return await ask(turn)
            except (RegistryError, ImageNotFound) as why:
                if host == home and isinstance(why, ImageNotFound):
                    raise
                told[host] = why
                if host != home and isinstance(why, RegistryError):
                    self._resting[host] = time.monotonic() + _REST
                if place + 1 < len(hosts):
                    # A mirror that does not have it yet is an ordinary mirror.
                    level = logging.INFO if isinstance(why, ImageNotFound) else logging.WARNING
                    log.log(level, "another host is asked", host=host, image=str(image), why=str(why))
        neither = " Its mirrors did not help either." if mirrors else ""
        raise RegistryError(f"{told[home]}{neither}") from told[home]

    def _mirrors(self, image: Image, *, rested: bool) -> list[str]:
        mirrors = self._hosts.get(image.registry, RegistryHost()).mirrors
        now = time.monotonic()
        return [host for host in mirrors if not rested or self._resting.get(host, 0.0) <= now]

    async def _digest(self, turn: Turn, reference: str) -> tuple[str, str, str]:
        """What the reference means at this host now, the media type of that, and the host."""
        if turn.at_mirror:
            # A copy is believed by its bytes and not by what it says of them.
            answer = await self._manifest(turn, reference)
            return _sha256(answer.body), answer.kind, turn.host
        answer = await self._access.ask(turn, f"manifests/{reference}", method="HEAD")
        digest = answer.headers.get("Docker-Content-Digest", "")
        if is_digest(digest) and answer.kind in _INDEXES | _MANIFESTS:
            _check_same(turn, {digest, reference if is_digest(reference) else digest})
        else:
            # Not every registry says it all without the body.
            answer = await self._manifest(turn, reference)
            digest = _sha256(answer.body)
        return digest, answer.kind, turn.host

    async def _manifest(self, turn: Turn, reference: str) -> Answer:
        """A manifest or index whose bytes have the digest that was announced, and the one that was asked for."""
        answer = await self._access.ask(turn, f"manifests/{reference}")
        digest = _sha256(answer.body)
        announced = answer.headers.get("Docker-Content-Digest", digest)
        _check_same(turn, {digest, announced, reference if is_digest(reference) else digest})
        if answer.kind not in _INDEXES | _MANIFESTS:
            raise RegistryError(f"What {turn.host} has as `{turn.image}` is not an image that a cluster can run.")
        return answer

    async def _content(self, image: Image, digest: str, until: float) -> Answer:
        """The manifest or index of that digest, wherever it is had."""
        return await self._at_best(image, until, lambda turn: self._manifest(turn, digest), by_digest=True)

    async def _list(self, turn: Turn) -> tuple[list[str], str]:
        """The tags that this host knows, and the host."""
        path = f"tags/list?n={_PAGE}"
        found: dict[str, None] = {}
        url: URL | None = self._access.url(turn, path)
        for _ in range(_PAGES):
            if url is None:
                break
            answer = await self._access.ask(turn, path, url=url)
            listed = answer.json().get("tags")
            if isinstance(listed, list):  # null where a repository has none
                found |= dict.fromkeys(each for each in listed if isinstance(each, str) and is_tag(each))
            url = answer.next_page(url)
        return list(found), turn.host

    async def _dates(self, turn: Turn, tags: list[str]) -> dict[str, datetime]:
        """When those were built, as far as that can be found out in time. Raises nothing: dates are a nicety."""
        dates: dict[str, datetime] = {}
        few = asyncio.Semaphore(_AT_ONCE)

        async def look_up(tag: str) -> None:
            async with few:
                try:
                    dates[tag] = await self._built(turn, tag)
                except (RegistryError, Refused, aiohttp.ClientError, ValueError) as why:
                    log.debug("no date for a tag", image=turn.image.name, tag=tag, why=type(why).__name__)

        try:
            async with asyncio.timeout_at(turn.until), asyncio.TaskGroup() as group:
                for tag in tags:
                    group.create_task(look_up(tag))
        except TimeoutError:
            log.info("dates of tags are incomplete", image=turn.image.name, known=len(dates), wanted=len(tags))
        return dates

    async def _built(self, turn: Turn, tag: str) -> datetime:
        digest, kind, _ = await self._digest(turn, tag)
        if digest not in self._created:
            manifest = await self._content(turn.image, digest, turn.until)
            if kind in _INDEXES:
                manifest = await self._content(turn.image, min(_platforms(manifest)), turn.until)
            config = manifest.json().get("config")
            blob = config.get("digest") if isinstance(config, dict) else None
            if not isinstance(blob, str) or not is_digest(blob):
                raise RegistryError(f"`{turn.image.name}:{tag}` has no config.")
            created = datetime.fromisoformat(str((await self._blob(turn, blob)).json().get("created")))
            self._created[digest] = created if created.tzinfo else created.replace(tzinfo=UTC)
        return self._created[digest]

    async def _blob(self, turn: Turn, digest: str) -> Answer:
        async def ask(turn: Turn) -> Answer:
            answer = await self._access.ask(turn, f"blobs/{digest}")
            _check_same(turn, {_sha256(answer.body), digest})
            return answer

        return await self._at_best(turn.image, turn.until, ask, by_digest=True)

    def _what_there_is(self, image: Image) -> str:
        known = self._known.get(image.name, _Known()).tags
        close = get_close_matches(image.tag or "", known, n=1)
        if close:
            return f" Did you mean `{close[0]}`?"
        return f" Newest tags: {', '.join(f'`{tag}`' for tag in known[:3])}." if known else ""


def _check_same(turn: Turn, digests: set[str]) -> None:
    if len(digests) > 1:
        raise RegistryError(
            f"{turn.host} sent something else for `{turn.name}` than the digest says, so it cannot be trusted. "
            "Whoever runs that registry, or a proxy before it, must look."
        )


def _sha256(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


def _platforms(index: Answer) -> frozenset[str]:
    """The manifests that an index lists for real platforms."""
    listed = index.json().get("manifests")
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    digests = frozenset(str(each.get("digest")) for each in entries if not _is_statement(each))
    if not digests or not all(is_digest(each) for each in digests):
        raise RegistryError(f"{index.host} has an index there without images, or with digests that are none.")
    return digests


def _is_statement(entry: dict[str, Any]) -> bool:
    # `docker buildx` lists its provenance statements as platform unknown/unknown; no kubelet ever runs one.
    platform = entry.get("platform")
    return isinstance(platform, dict) and platform.get("os") == platform.get("architecture") == "unknown"


def _natural(tag: str) -> list[str | int]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", tag)]
