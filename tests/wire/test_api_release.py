"""The main job while its API server fails: each fault at each kind of call, and how the release ends.

One switch at most, no release is lost, people are told why it waits while it does, the journal has one outcome for each
write that was begun.
"""

import asyncio

import pytest
from api_faults import crew
from staff import PATIENCE

import mochi
from bot.clusters.cluster import LABEL
from bot.release.record import Phase
from bot.release.verbs import Verb
from world import SAM


def twice(method, path):
    """A read whose connection breaks is tried once more by the HTTP client, each of those that the path matches."""
    return 1 if method == "PATCH" else 2 * (1 + path.count("|/"))


FAULTS = {
    "reset": (lambda faults, *where: faults.reset(*where, times=twice(*where)), "cannot be reached at"),
    "silence": (lambda faults, *where: faults.silence(*where), "did not answer in time"),
    "slow body": (lambda faults, *where: faults.trickle(0.2, *where), "did not answer in time"),
    "truncated": (lambda faults, *where: faults.truncate(*where), "cannot be reached at"),
    "chunks cut": (lambda faults, *where: faults.cut(*where), "cannot be reached at"),
    "lost answer": (lambda faults, *where: faults.lose_answer(*where, times=twice(*where)), "cannot be reached at"),
    "500 afterwards": (lambda faults, *where: faults.answer_afterwards(500, *where), "answered 500"),
    "504 afterwards": (lambda faults, *where: faults.answer_afterwards(504, *where), "answered 504"),
    "503": (lambda faults, *where: faults.answer(503, *where), "answered 503"),
    "429": (lambda faults, *where: faults.answer(429, *where, headers={}), "has too much to do"),
    "401": (lambda faults, *where: faults.answer(401, *where, times=2), "does not take Greenlight's credentials"),
    "proxy page": (lambda faults, *where: faults.page(200, *where), "something between answers"),
    "redirect": (lambda faults, *where: faults.redirect("http://sso.example/", *where), "not followed"),
    "410": (lambda faults, *where: faults.answer(410, *where), "too old to"),
}
QUIET = {
    "409": lambda faults, *where: faults.answer(409, *where),
    "422": lambda faults, *where: faults.answer(422, *where),
    "401 once": lambda faults, *where: faults.answer(401, *where),
}
"""Those that are over before anybody could be told."""
DONE_ALL_THE_SAME = {"slow body", "truncated", "chunks cut", "lost answer", "500 afterwards", "504 afterwards"}
OUTCOMES = {"written", "refused", "failed", "unknown"}
ACTIVE = rf"/services/{mochi.ACTIVE}(\?|$)"


@pytest.fixture
async def everybody(tmp_path):
    async with crew(tmp_path) as made:
        yield made


def switches(target):
    """What the API server was asked to do to the Service, and did, for the release."""
    writes = [write for write in target.cluster.server.writes if write.path.endswith(f"/{mochi.ACTIVE}")]
    given = LABEL.replace("/", "~1")
    return [write for write in writes if write.status in {0, 200} and f"/spec/selector/{given}" in write.body.decode()]


async def one_outcome_for_each_write(bot):
    """I14."""
    kinds = [event.kind for event in await bot.events() if event.kind in OUTCOMES | {"intent"}]
    assert kinds[::2] == ["intent"] * (len(kinds) // 2)
    assert set(kinds[1::2]) <= OUTCOMES


async def tells(bot, words):
    """It waits, and says why."""
    assert words in (await bot.sees(lambda moment: moment.trouble)).trouble
    bot.clock.skip(seconds=3)


@pytest.mark.parametrize("fault", [*FAULTS, *QUIET])
async def test_i2_i14_a_switch_that_fails_is_made_once_and_told(everybody, fault):
    target, installed, bot = everybody
    await bot.deploy("green")
    release = await bot.reaches(Phase.READY)
    arrange, words = FAULTS.get(fault) or (QUIET[fault], "")
    met = arrange(target.cluster.server.faults, "PATCH", ACTIVE)
    async with installed.record_service() as service:
        await bot.approve()
        if words:
            await tells(bot, words)
        assert (await bot.reaches(Phase.BAKING)).label == release.label
        assert len(await service.so_far()) == 2
    assert met.met.is_set()
    assert len(switches(target)) == 1
    assert not bot.controller.moments[bot.app.name].trouble
    await one_outcome_for_each_write(bot)
    unknown = [event.detail["write"] for event in await bot.events("unknown")]
    assert unknown == ["switch mochiapp to mochi:green"] * (fault not in {"429", "401", "410", *QUIET})
    if fault in DONE_ALL_THE_SAME:
        assert [event for event in await bot.events("written") if "switch" in event.text] == []


MANY = ["reset", "silence", "lost answer", "500 afterwards", "429", "proxy page"]


@pytest.mark.parametrize("fault", MANY)
@pytest.mark.parametrize("path", [ACTIVE, f"/deployments/{mochi.IDLE}", f"/services/{mochi.PREVIEW}"])
async def test_i14_a_write_of_the_staging_that_fails_is_made_once_and_told(everybody, fault, path):
    target, installed, bot = everybody
    arrange, words = FAULTS[fault]
    arrange(target.cluster.server.faults, "PATCH", path)
    await bot.deploy("green")
    await tells(bot, words)
    release = await bot.reaches(Phase.READY)
    assert switches(target) == []
    assert len(await installed.pods_with(release.label)) == 2
    await one_outcome_for_each_write(bot)


@pytest.mark.parametrize("fault", MANY)
async def test_i1_i9_no_switch_without_the_look_before_it(everybody, fault):
    """Every read that it rests upon fails at first."""
    target, installed, bot = everybody
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    arrange, words = FAULTS[fault]
    arrange(target.cluster.server.faults, "GET", rf"/services/{mochi.PREVIEW}$|/endpointslices\?(?!.*watch)")
    async with installed.record_service() as service:
        await bot.approve()
        await tells(bot, words)
        assert len(await service.so_far()) == 1
        await bot.reaches(Phase.BAKING)
    assert len(switches(target)) == 1


@pytest.mark.parametrize("fault", MANY)
async def test_i5_a_look_after_the_switch_that_fails_is_looked_again(everybody, fault):
    target, _, bot = everybody
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    arrange, words = FAULTS[fault]

    async def armed(kind, name, patch):
        bot.door.before = None
        arrange(target.cluster.server.faults, "GET", ACTIVE)

    bot.door.before = armed
    await bot.approve()
    await tells(bot, words)
    await bot.reaches(Phase.BAKING)
    assert len(switches(target)) == 1


@pytest.mark.parametrize("fault", MANY)
async def test_i10_a_way_back_that_fails_is_made_once_and_told(everybody, fault):
    target, installed, bot = everybody
    release = await bot.release("green")
    arrange, words = FAULTS[fault]
    arrange(target.cluster.server.faults, "PATCH", ACTIVE)
    async with installed.record_service() as service:
        await bot.ask(Verb.ROLL_BACK, SAM)
        await tells(bot, words)
        await bot.reaches(Phase.REVERTED)
        assert len(await service.so_far()) == 2
    assert (await installed.service())["spec"]["selector"] == release.previous.selector
    await one_outcome_for_each_write(bot)


@pytest.mark.parametrize("fault", ["silence", "proxy page"])
async def test_i10_a_way_back_does_not_wait_for_what_it_does_not_need(everybody, fault):
    """The candidate cannot be read at all, for as long as it takes."""
    target, installed, bot = everybody
    release = await bot.release("green")
    for path in (f"/deployments/{mochi.IDLE}$", f"/services/{mochi.PREVIEW}$", "/horizontalpodautoscalers"):
        met = FAULTS[fault][0](target.cluster.server.faults, "GET", path)
        met.times = 1000
    await bot.ask(Verb.ROLL_BACK, SAM)
    await bot.reaches(Phase.REVERTING)
    async with installed.record_service() as service:
        while (await service.so_far())[-1][0]["spec"]["selector"] != release.previous.selector:
            await bot.sees(lambda moment: moment)
    target.cluster.server.faults.clear()
    bot.clock.skip(minutes=1)
    await bot.reaches(Phase.REVERTED)


# Watches


async def test_a_watch_that_lies_silent_delays_a_release_and_does_not_stop_it(everybody):
    target, _, bot = everybody
    await target.cluster.server.until_watching(4)
    await bot.deploy("slow")
    target.cluster.server.mute_watches()
    await bot.sees(lambda moment: moment.release.staged)
    await goes_on(bot, Phase.READY)


async def test_a_watch_that_lies_delays_a_release_and_does_not_stop_it(everybody):
    """Its bookmarks say that nothing happened: no silence gives it away, and nothing is listed again."""
    target, _, bot = everybody
    await target.cluster.server.until_watching(4)
    target.cluster.server.lie_on_watches()
    await bot.deploy("slow")
    await goes_on(bot, Phase.READY)
    await bot.approve()
    await goes_on(bot, Phase.BAKING)
    await bot.ask(Verb.ROLL_BACK, SAM)
    await goes_on(bot, Phase.REVERTED)


async def goes_on(bot, phase):
    """A minute goes by, as often as it takes; every minute an open release is looked at."""
    async with asyncio.timeout(PATIENCE):
        while (await bot.newest()).phase is not phase:
            bot.clock.skip(minutes=1)
            bot._news.arrived.clear()
            await bot._heard()


ODD_NEWS = {
    "410": b'{"type": "ERROR", "object": {"code": 410}}\n',
    "500": b'{"type": "ERROR", "object": {"code": 500, "message": "etcd"}}\n',
    "unknown": b'{"type": "RENAMED", "object": {"metadata": {"name": "a", "resourceVersion": "1"}}}\n',
    "truncated": b'{"type": "MODIFIED", "object": {"metadata": {"na\n',
    "no object": b'{"type": "MODIFIED", "object": null}\n',
    "gone": b'{"type": "DELETED", "object": {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {}}}\n',
    "nonsense": b"\xff\x00 not json\n",
}


@pytest.mark.parametrize("news", ODD_NEWS)
async def test_a_watch_that_tells_nonsense_does_not_stop_a_release(everybody, news):
    target, _, bot = everybody
    await target.cluster.server.until_watching(4)
    await target.cluster.server.say_on_watches(ODD_NEWS[news])
    await bot.release("green")
    assert len(switches(target)) == 1
