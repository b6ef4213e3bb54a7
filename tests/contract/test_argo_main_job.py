"""The example of an app on Argo Rollouts, applied as it is shipped: the bot is a process and has the shipped Role."""

from pathlib import Path

import pytest
import yaml
from installed import Mochi
from team import APPROVE, Team

import mochi
from bot.clusters.argo.reading import HASH
from bot.clusters.reading import selector

pytestmark = pytest.mark.argo

EXAMPLE = Path(__file__).parents[2] / "deploy" / "examples" / "mochi-argo"
NOWHERE = "http://127.0.0.1:9"
"""Port 9 is nobody's: what a proxy leads to there is away, on every machine."""


def shipped(file, namespace):
    items = list(yaml.safe_load_all((EXAMPLE / file).read_text("utf-8")))
    for item in items:
        item["metadata"]["namespace"] = namespace
    return items


class Shop(Team):
    """Its images are on Docker Hub, which is out of reach; a mirror has them."""

    def _rules(self):
        [found] = [item for item in shipped("role.yaml", self.target.namespace) if item["kind"] == "Role"]
        return found["rules"]

    def _configuration(self):
        id_of, text = self.discord.role_id, (EXAMPLE / "greenlight.toml").read_text("utf-8")
        ids = {
            "123456789012345678": self.discord.guild_id,
            "234567890123456789": self.channel,
            "345678901234567890": id_of("Developer"),
            "456789012345678901": id_of("QC"),
            "567890123456789012": id_of("Lead"),
            '"mochi-argo"': f'"{self.target.namespace}"',
        }
        for shown, real in ids.items():
            assert shown in text
            text = text.replace(shown, str(real))
        here = self.registry.host
        return f"""{text}
[registries."docker.io"]
mirrors = ["{here}"]

[registries."{here}"]
insecure = true
"""


@pytest.fixture
async def team(request, target, tmp_path):
    if target.name == "real":
        request.getfixturevalue("rollouts_controller")
    async with Shop(target, tmp_path, HTTPS_PROXY=NOWHERE, NO_PROXY="127.0.0.1").at_work() as made:
        for repository, tag in (("argoproj/rollouts", "blue"), ("argoproj/rollouts-demo", "green")):
            made.registry.push(repository, tag)
        target.knows(made.registry.digests)
        await target.apply(shipped("app.yaml", target.namespace))
        await Mochi(target).serving(1)
        await made.start_bot()
        yield made
        await made.bot.stop()
        assert await made.bot.ended() == 0, made.bot.last_lines()
    assert made.discord.token not in made.log.read_text()
    assert made.discord.rest.gaps == []


@pytest.fixture
def installed(team, target):
    return Mochi(target)


async def test_the_example_goes_live_and_back_as_it_is_shipped(team, installed):
    """Another repository, one pod, Services that select just the app, certificates for other hosts."""
    ann, kim, leo = (team.person(name) for name in ("ann", "kim", "leo"))
    blue = await installed.serving(1)
    before = selector(await installed.service())
    await ann.slash(team.channel, "deploy", image="argoproj/rollouts-demo:green")
    waiting = await team.ballot("mochi #1", "QC", "Lead")
    links = {button.label: button.url for button in waiting.buttons if button.url}
    assert links == {
        "Preview": "http://mochiapp-preview.bluegreen.xyz/",
        "Production": "http://mochiapp.bluegreen.xyz/",
    }
    green = await installed.serving(1, mochi.PREVIEW, instead_of=blue)
    assert await installed.serving(1) == blue

    await kim.react(waiting, APPROVE)
    await leo.react(waiting, APPROVE)
    live = await team.card("🟢", "is live")
    assert live.id == waiting.id
    assert await installed.serving(1) == green
    after = selector(await installed.service())
    assert {**after, HASH: ""} == {**before, HASH: ""}
    assert after != before

    form = await ann.click(live, "Roll back")
    await ann.submit_modal(form, reason="wrong prices")
    await team.card("🟠", "was rolled back by @ann", "wrong prices")
    assert await installed.serving(1) == blue
    assert selector(await installed.service()) == before
