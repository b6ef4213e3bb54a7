"""S21: whatever goes wrong, no secret reaches the log, the database or a channel. They are planted here."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
from installed import Mochi
from team import APPROVE, Team

import mochi
from sandbox.registry import Registry

pytestmark = pytest.mark.parametrize("target", ["sandbox"], indirect=True)

PASSWORD, VARIABLE, ANNOTATION = "planted-password", "planted-variable", "planted-annotation"


def planted(objects: list[mochi.Json]) -> list[mochi.Json]:
    """In every pod template something that is nobody's business, as teams have it."""
    for item in objects:
        if item["kind"] == "Deployment":
            item["metadata"]["annotations"] = {"example.com/note": ANNOTATION}
            [container] = item["spec"]["template"]["spec"]["containers"]
            container["env"] = [{"name": "DATABASE_PASSWORD", "value": VARIABLE}]
    return objects


@pytest.fixture
async def team(target, tmp_path) -> AsyncIterator[Team]:
    made = Team(target, tmp_path, LOG_LEVEL="debug", LOG_FORMAT="json")
    made.registry = Registry(credentials=("robot", PASSWORD), bearer=True)
    async with made.at_work():
        auth = base64.b64encode(f"robot:{PASSWORD}".encode()).decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {made.registry.host: {"auth": auth}}}))
        await target.apply(planted(mochi.mochi(target.namespace, live_image=made.image("blue"))))
        await made.start_bot()
        yield made
        await made.bot.stop()


async def test_no_secret_reaches_the_log_the_database_or_a_channel(team, target, tmp_path):
    """On a night on which everything fails once, with all that is said at debug level."""
    installed = Mochi(target)
    await installed.serving(2)
    ann, kim, leo, sam = (team.person(name) for name in ("ann", "kim", "leo", "sam"))
    faults = target.cluster.server.faults
    faults.answer(500, "GET", "/services/")
    await ann.slash(team.channel, "deploy", image="green")
    faults.clear()
    await ann.slash(team.channel, "deploy", image="nosuch")
    faults.lose_answer("PATCH", "/deployments/")
    await ann.slash(team.channel, "deploy", image="green")
    faults.truncate("GET", "/deployments/", times=2)
    waiting = await team.ballot()
    team.discord.faults.add("GET", "/guilds/*/members/*", status=500)
    faults.answer(403, "PATCH", r"/services/mochiapp\?")
    await kim.react(waiting, APPROVE)
    await leo.react(waiting, APPROVE)
    live = await team.card("🟢")
    form = await sam.click(live, "Roll back")
    await sam.submit_modal(form)
    await team.card("🟠", "was rolled back")
    await team.registry.stop()
    await ann.slash(team.channel, "status")
    await team.bot.stop()

    kubeconfig = json.loads((tmp_path / "kubeconfig").read_text())
    secrets = {
        "Discord's token": team.discord.token,
        "the API server's token": kubeconfig["users"][0]["user"]["token"],
        "the registry's password": PASSWORD,
        "the same as it is sent": base64.b64encode(f"robot:{PASSWORD}".encode()).decode(),
        "a variable of the pods": VARIABLE,
        "an annotation": ANNOTATION,
        "a header": "Authorization",
        "a bearer": "Bearer ",
    } | {f"a token of the registry {number}": token for number, token in enumerate(team.registry._tokens)}
    said = {file.name: file.read_bytes().decode("utf-8", "replace") for file in tmp_path.glob("greenlight.db*")}
    said["the log"] = team.log.read_text()
    said["Discord"] = json.dumps([message.embeds for message in team.discord.messages(team.channel)]) + "".join(
        message.text
        for channel in (team.channel, *team.discord.threads(team.channel).values())
        for message in team.discord.messages(channel)
    )
    assert '"event": "written"' in said["the log"]
    assert "was rolled back" in said["Discord"]
    found = [(what, where) for what, secret in secrets.items() for where, text in said.items() if secret in text]
    assert found == []
