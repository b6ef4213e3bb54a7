"""Discord's REST API fails while a release is under way: only messages are late, and they tell the truth in the end."""

import pytest

FAULTS = {
    "429 that says when": {"status": 429, "retry_after": 0.2},
    "429 that does not say when": {"status": 429, "retry_after": None},
    "429 from in front of Discord": {"status": 429, "retry_after": None, "html": True},
    "429 for everything": {"status": 429, "retry_after": 0.2, "everywhere": True},
    "502": {"status": 502, "html": True},
    "503": {"status": 503},
    "cut before it happened": {"status": None},
    "cut after it happened": {"status": None, "applied": True},
    "502 after it happened": {"status": 502, "html": True, "applied": True},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_kind_of_call_fails_once_and_the_release_takes_its_way(night, fault):
    await night.start_bot()
    for method, path in [
        ("POST", "/channels/*/messages"),
        ("PATCH", "/channels/*/messages/*"),
        ("PUT", "/channels/*/reactions/*"),
        ("POST", "*/threads"),
        ("GET", "/channels/*/messages/*"),
        ("GET", "/guilds/*/members/*"),
    ]:
        night.discord.faults.add(method, path, **FAULTS[fault])
    await night.live()
    await night.says("live")
    night.orderly(moves=1)
