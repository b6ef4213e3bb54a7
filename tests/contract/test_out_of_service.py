"""One app whose objects allow no release is out of service, and says so; every other app works as ever."""

import json

import pytest
from installed import Mochi
from team import APPROVE, Team

import mochi
from bot.clusters.rights import rules
from bot.policy import read_policy

MISSING = "Service dango is not in namespace {}: create it there, or name another in `service` of [apps.dango]."


class Two(Team):
    """Mochi, and dango in the next channel, to whose objects nobody has got round yet."""

    def _configuration(self) -> str:
        text = super()._configuration()
        table = text[text.index("[apps.mochi]") : text.index("[registries")]
        table = table.replace("apps.mochi", "apps.dango").replace(str(self.channel), str(self.dango))
        table = table.replace('"mochiapp"', '"dango"').replace('"mochiapp-', '"dango-')
        return f"{text}\n{table}"

    async def _settings(self) -> dict[str, str]:
        file = self.folder / "greenlight.toml"
        file.write_text(self._configuration())
        kubeconfig = await self.target.kubeconfig(rules(read_policy(file).apps.values()))
        environment = await super()._settings()
        (self.folder / "kubeconfig").write_text(json.dumps(kubeconfig))  # with the rights for both
        return environment

    @property
    def dango(self) -> int:
        return self.discord.channel_id("general")


@pytest.fixture
async def team(target, tmp_path):
    async with Two(target, tmp_path).at_work() as made:
        objects = mochi.mochi(target.namespace, live_image=made.image("blue"))
        others = json.loads(json.dumps(objects).replace("mochiapp", "dango").replace('"mochi"', '"dango"'))
        there = [item for item in others if item["kind"] != "Ingress" and item["metadata"]["name"] != "dango"]
        await target.apply([*objects, *there])
        await made.start_bot()
        yield made
        await made.bot.stop()
        assert await made.bot.ended() == 0, made.bot.last_lines()


def shown(text: str) -> str:
    """As people see it: Markdown's escapes are gone."""
    return text.replace("\\", "").strip()


async def test_a_broken_app_says_what_to_do_and_keeps_no_other_from_its_releases(target, team):
    ann, kim, leo = (team.person(name) for name in ("ann", "kim", "leo"))
    await Mochi(target).serving(2)
    wrong = MISSING.format(target.namespace)

    refused = await ann.slash(team.dango, "deploy", image="green")
    assert shown(refused.text) == wrong
    status = await ann.slash(team.dango, "status")
    assert wrong in shown(status.message.embed["description"])

    await ann.slash(team.channel, "deploy", image="green")
    card = await team.ballot("mochi #1 (green)")
    await kim.react(card, APPROVE)
    await leo.react(card, APPROVE)
    await team.card("🟢", "mochi #1 (green) is live")

    told = [line for line in team.log.read_text().splitlines() if "app is out of service" in line]
    assert len(told) == 1
    assert wrong in told[0]
    assert "app=dango" in told[0]
