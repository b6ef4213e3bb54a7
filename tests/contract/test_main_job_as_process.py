"""The main job, end to end, with the bot as its own process: from `/deploy image:green` to live and back to blue."""

from dataclasses import replace

import pytest
import role
from backends import BACKENDS, WITH_WORKLOAD, OnRollout
from installed import Mochi, names, ready, selectors
from team import APPROVE, Team

import mochi

ON = [
    pytest.param(each, id=each.name, marks=[pytest.mark.argo] if each.name.startswith("rollout") else [])
    for each in (*BACKENDS, WITH_WORKLOAD)
]


@pytest.fixture(params=ON)
def backend(request, target):
    """What the app runs on. All tests are the same for all."""
    if isinstance(request.param, OnRollout):
        return replace(request.param, version=request.getfixturevalue("argo"))
    return request.param


@pytest.fixture
async def team(target, backend, tmp_path):
    async with Team(target, tmp_path, backend).at_work() as made:
        await target.apply(backend.manifests(target.namespace, made.image("blue")))
        await made.start_bot()
        yield made
        await made.bot.stop()
        assert await made.bot.ended() == 0, made.bot.last_lines()
        assert target.asked() <= role.granted(backend.rules())
    assert made.discord.token not in made.log.read_text()
    assert made.discord.rest.gaps == []


@pytest.fixture
async def installed(target, team):
    made = Mochi(target)
    await made.serving(2)
    return made


def label_on(card):
    """A card says in its last line which label to search the cluster for."""
    return card.embed["footer"]["text"].rpartition(" · ")[2]


async def test_from_deploy_to_live_and_back(team, installed, backend):
    """A developer deploys, QC and Lead approve what they see, production turns green; on call turns it blue again."""
    ann, kim, leo, sam = (team.person(name) for name in ("ann", "kim", "leo", "sam"))
    blue = await installed.serving(2)
    async with installed.record_service() as service, installed.record_endpoints() as serving:
        reply = await ann.slash(team.channel, "deploy", image="green")
        assert reply.ephemeral
        waiting = await team.ballot("mochi #1 (green)", "QC", "Lead")
        links = {button.label: button.url for button in waiting.buttons if button.url}
        assert links == {
            "Preview": f"http://{mochi.PREVIEW_HOST}/",
            "Production": f"https://{mochi.PRODUCTION_HOST}/",
        }
        green = await installed.serving(2, mochi.PREVIEW)
        images = {pod["spec"]["containers"][0]["image"] for pod in await installed.pods_named(green)}
        [digest] = {image.partition("@")[2] for image in images}
        assert team.registry.digests[digest] == "green"
        assert await installed.serving(2) == blue

        await kim.react(waiting, APPROVE)
        await leo.react(waiting, APPROVE)
        live = await team.card("🟢", "mochi #1 (green) is live")
        assert live.id == waiting.id
        assert await installed.serving(2) == green

        form = await sam.click(live, "Roll back")
        assert form.modal is not None
        await sam.submit_modal(form, reason="wrong prices")
        await team.card("🟠", "mochi #1 (green) was rolled back by @sam", "wrong prices")
        assert await installed.serving(2) == blue

        assert backend.went_there_and_back(selectors(await service.so_far()), label_on(live))
        assert all(ready(moment) <= blue | green for moment in await serving.so_far())
    assert names(await installed.pods_named(blue)) == blue


async def test_reactions_made_while_the_bot_was_dead_count_when_it_is_back(team, installed):
    """SIGKILL while it waits for approval: nothing is lost, and nobody has to react twice."""
    await team.person("ann").slash(team.channel, "deploy", image="green")
    waiting = await team.ballot("QC", "Lead")
    green = await installed.serving(2, mochi.PREVIEW)
    await team.bot.kill()
    await team.discord.until(lambda: not team.discord.gateway.connected, what="Discord sees it gone")
    await team.person("kim").react(waiting, APPROVE)
    await team.person("leo").react(waiting, APPROVE)
    await team.person("guest").react(waiting, APPROVE)
    await team.start_bot()
    live = await team.card("🟢", "mochi #1 (green) is live")
    assert live.id == waiting.id
    assert await installed.serving(2) == green


async def test_a_bot_that_was_killed_after_the_switch_still_rolls_back(team, installed):
    """The button was drawn by a process that is no more."""
    blue = await installed.serving(2)
    await team.person("ann").slash(team.channel, "deploy", image="green")
    waiting = await team.ballot()
    await team.person("kim").react(waiting, APPROVE)
    await team.person("leo").react(waiting, APPROVE)
    live = await team.card("🟢")
    await team.bot.kill()
    await team.discord.until(lambda: not team.discord.gateway.connected, what="Discord sees it gone")
    await team.start_bot()
    form = await team.person("sam").click(live, "Roll back")
    await team.person("sam").submit_modal(form)
    await team.card("🟠", "was rolled back by @sam")
    assert await installed.serving(2) == blue
