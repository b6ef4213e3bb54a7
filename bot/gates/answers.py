"""What is read of an HTTP answer: all of it, but no more than is looked at."""

import aiohttp


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
