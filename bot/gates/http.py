"""GET an address of the candidate: every answer has to be as expected."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from yarl import URL

from bot.clusters.errors import ClusterError
from bot.gates import answers
from bot.gates.finding import Finding, cut, failed, passed, unclear
from bot.release.app import App, Gate, Guard, Http
from bot.release.record import Release

LONGEST = 64 * 1024
"""Bytes of an answer that are looked at."""
SHOWN = 60


def visiting() -> aiohttp.ClientSession:
    """What checks ask with. Each has a connection of its own at once: one that had to wait for those of others, which
    may hang for as long as they like, would run out of its own time. And each question has a new one: what was opened
    earlier leads to the pod that it led to then, wherever the Service leads by now.
    """
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


class HttpCheck:
    """`inside` tells under which address the cluster itself reaches the app's preview Service."""

    def __init__(self, session: aiohttp.ClientSession, inside: Callable[[App], Awaitable[str]]) -> None:
        self._session = session
        self._inside = inside

    async def __call__(self, app: App, release: Release, gate: Gate | Guard) -> Finding:  # noqa: ARG002 - as others are called
        wanted = gate.check
        if not isinstance(wanted, Http):
            raise TypeError(f"gate {gate.name} asks no address")
        try:
            async with asyncio.timeout(min(wanted.within, gate.timeout / 2).total_seconds()):
                url = wanted.url or await self._inside(app) + wanted.path
        except TimeoutError:
            return unclear("Kubernetes did not say in time where to ask", asked=False)
        except ClusterError as error:
            return unclear(str(error), asked=False)
        for number in range(1, wanted.repeat + 1):
            found = await self._one(url, wanted)
            if found is not None:
                which = f"answer {number} of {wanted.repeat}: " if wanted.repeat > 1 else ""
                return Finding(found.verdict, which + found.detail)
        came = f"{wanted.repeat} answers of {{}} are" if wanted.repeat > 1 else "the answer of {} is"
        return passed(f"{came.format(answers.called(url))} as expected")

    async def _one(self, url: str, wanted: Http) -> Finding | None:
        """None when it is as expected."""
        limit = aiohttp.ClientTimeout(wanted.within.total_seconds())
        try:
            async with self._session.get(url, timeout=limit, allow_redirects=False) as answer:
                body = await answers.read(answer, LONGEST)
                return _status(answer, wanted) or _content(answer, body, wanted)
        except TimeoutError:
            return unclear(f"{answers.called(url)} did not answer within {wanted.within.total_seconds():g} s")
        except (aiohttp.ClientSSLError, ssl.SSLError) as error:
            return unclear(f"the certificate of {answers.called(url)} is not right: {answers.why(error)}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return unclear(f"{answers.called(url)} cannot be reached: {answers.why(error)}")


def _status(answer: aiohttp.ClientResponse, wanted: Http) -> Finding | None:
    if answer.status == wanted.status:
        return None
    said = f"{answers.called(str(answer.url))} answered {answer.status}, not {wanted.status}"
    if target := answer.headers.get("Location"):
        elsewhere = answer.url.join(URL(target)).host
        return unclear(f"{said}: it sends to {elsewhere}, which is not followed")
    return unclear(said) if answer.status == 404 else failed(said)  # noqa: PLR2004 - whatever is there was not asked


def _content(answer: aiohttp.ClientResponse, body: bytes, wanted: Http) -> Finding | None:
    for name, value in wanted.headers.items():
        if answer.headers.get(name) != value:
            return failed(f"its header {name} is {_shown(answer.headers.get(name))}, not {_shown(value)}")
    text = answers.text(answer, body)
    if wanted.body not in text:
        return failed(f"{_shown(wanted.body)} is not in its answer")
    return _values(text, wanted) if wanted.json else None


def _values(text: str, wanted: Http) -> Finding | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return unclear("its answer is not JSON")
    if not isinstance(found, dict):
        return unclear("its answer is no JSON object")
    for key, value in wanted.json.items():
        if key not in found or not _same(found[key], value):
            return failed(f"its {key} is {_shown(found.get(key))}, not {_shown(value)}")
    return None


def _same(found: Any, wanted: object) -> bool:
    """In JSON `true` is not 1, however deep it stands."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(_same(found[key], value) for key, value in wanted.items())
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _shown(value: object) -> str:
    return cut(json.dumps(value, ensure_ascii=True), SHOWN)
