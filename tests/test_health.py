"""The probes: alive is a loop that turns, ready is a bot that people can use."""

import asyncio
import socket

import aiohttp
import pytest

from bot import health as probes
from bot.health import health

THERE = {"Discord": None, "eu-1": None}


@pytest.fixture
def address() -> tuple[str, int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return "127.0.0.1", free.getsockname()[1]


async def asked(address, path):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{address[0]}:{address[1]}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_a_loop_that_turns_is_alive(world, address):
    turning = asyncio.create_task(world.controller.run())
    async with health(address, world.controller.turn, lambda: THERE):
        assert await asked(address, "/livez") == (200, "ok\n")
        assert await asked(address, "/livez") == (200, "ok\n")
    turning.cancel()
    await asyncio.gather(turning, return_exceptions=True)


async def test_a_loop_that_has_ended_is_not(world, address, monkeypatch):
    """The event loop alone would still answer."""
    monkeypatch.setattr(probes, "TURNS_WITHIN", 0.05)
    async with health(address, world.controller.turn, lambda: THERE):
        assert await asked(address, "/livez") == (503, "the loop does not turn\n")


@pytest.mark.parametrize(
    ("parts", "status", "text"),
    [
        ({"Discord": None, "eu-1": None, "eu-2": "away"}, 200, "[+] Discord\n[+] eu-1\n[-] eu-2: away\n"),
        ({"Discord": None, "eu-1": "away"}, 503, "[+] Discord\n[-] eu-1: away\n"),
        ({"Discord": "away", "eu-1": None}, 503, "[-] Discord: away\n[+] eu-1\n"),
    ],
    ids=["one cluster of two", "no cluster", "no gateway"],
)
async def test_ready_is_the_gateway_and_at_least_one_cluster(world, address, parts, status, text):
    async with health(address, world.controller.turn, lambda: parts):
        assert await asked(address, "/readyz") == (status, text)


async def test_without_an_address_nothing_is_served(world):
    async with health(None, world.controller.turn, lambda: THERE):
        pass


async def test_an_address_that_is_taken_is_an_error_at_the_start(world, address):
    async with health(address, world.controller.turn, lambda: THERE):
        with pytest.raises(OSError, match="in use"):
            await health(address, world.controller.turn, lambda: THERE).__aenter__()
