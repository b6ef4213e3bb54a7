"""What is read of an HTTP answer, and what is told of who gave it: all that is looked at, and nothing secret."""

import aiohttp
from yarl import URL

from bot.gates.finding import cut

SHOWN = 200


def called(url: str) -> str:
    """An address as everybody may read it: without who asks, and without what is asked with."""
    known = URL(url)
    return str(known.with_user(None).with_query(None).with_fragment(None)) + ("?…" if known.query_string else "")


def why(error: Exception) -> str:
    """What went wrong, on one line, without the address: `aiohttp` names all of it."""
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    return cut(" ".join(said.split()) or type(error).__name__, SHOWN)


async def read(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """`StreamReader.read` alone gives what has come so far, which may be any part of it."""
    found = bytearray()
    while len(found) < most and (piece := await answer.content.read(most - len(found))):
        found += piece
    return bytes(found)


def text(answer: aiohttp.ClientResponse, body: bytes) -> str:
    """Whatever it calls its charset."""
    try:
        return body.decode(answer.charset or "utf-8", "replace")
    except LookupError:
        return body.decode("utf-8", "replace")
