"""The ten minutes: docs/getting-started.md, word for word, on the real control plane, with kubectl and the real bot."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from installed import Mochi
from team import APPROVE, Team

import mochi
from bot.clusters.cluster import LABEL
from bot.clusters.reading import owner, selector
from places import BIN_DIR

GUIDE = Path(__file__).parents[2] / "docs" / "getting-started.md"
LIVE, IDLE, PREVIEW = "mochi", "mochi-b", "mochi-preview"

pytestmark = [
    pytest.mark.cluster,
    # kubectl sends no token to the sandbox, which has no TLS.
    pytest.mark.parametrize("target", ["real"], indirect=True),
]


class Terminal:
    """A shell in which the guide's commands are typed, with what it exports kept from one block to the next."""

    def __init__(self, folder, **environment):
        self.folder = folder
        self.environment = {
            **{name: os.environ[name] for name in ("HOME",) if name in os.environ},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(BIN_DIR), os.environ["PATH"]]),
            **environment,
        }

    async def types(self, commands):
        """Exit code and output of the first command that fails, or of all."""
        script = f"set -e\n{commands}\nenv --null > environment"
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", script),
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode == 0:
            pairs = (self.folder / "environment").read_text().split("\0")
            self.environment = dict(pair.split("=", 1) for pair in pairs if pair)
        return process.returncode, output.decode()

    async def succeeds(self, commands):
        code, output = await self.types(commands)
        assert code == 0, f"{commands}\n{output}"
        return output


@pytest.fixture
async def team(target, tmp_path):
    async with Team(target, tmp_path).at_work() as made:
        yield made
    assert made.discord.rest.gaps == []


def blocks(namespace):
    """The guide's `console` blocks, for this namespace."""
    found = re.findall(r"^```console\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(r"--namespace mochi\b", f"--namespace {namespace}", block).strip() for block in found]


def fill_in(file, team):
    """What a person does in step 4, in an editor."""
    id_of = team.discord.role_id
    approvers = "\n".join(f"  {{ roles = [{id_of(role)}], count = 1 }}," for role in ("QC", "Lead"))
    text = file.read_text("utf-8")
    for before, after in (
        ("guild = 0", f"guild = {team.discord.guild_id}"),
        ("channel   = 0", f"channel   = {team.channel}"),
        ("deployers = [0]", f"deployers = [{id_of('Developer')}]"),
        ("# rollbackers = [0]", f"rollbackers = [{id_of('On call')}]"),
        ("  { roles = [0], count = 1 },", approvers),
        (f'# [registries."{team.registry.host}"]\n# insecure', f'[registries."{team.registry.host}"]\ninsecure'),
    ):
        assert before in text
        text = text.replace(before, after)
    file.write_text(text, "utf-8")


async def test_the_guide_leads_from_one_deployment_to_a_gated_release_and_back(target, team, tmp_path):
    look, make, proof, credentials, run, undo = blocks(target.namespace)
    env = [{"name": "COMMIT", "value": "12e4567"}, {"name": "COLOURS", "value": "y"}]
    await target.apply(mochi.alone(target.namespace, image=team.image("blue"), env=env))
    installed = Mochi(target)
    blue = await installed.serving(2, LIVE)
    before = await asked_for(installed)
    admin = tmp_path / "admin.kubeconfig"
    admin.write_text(json.dumps(target.admin_kubeconfig()))
    terminal = Terminal(
        tmp_path,
        KUBECONFIG=str(admin),
        DISCORD_TOKEN=team.discord.token,
        DISCORD_API_URL=team.discord.api_url,
        DISCORD_GATEWAY_URL=team.discord.gateway_url,
    )
    person = Terminal(tmp_path, KUBECONFIG=str(admin))

    await terminal.succeeds(look)
    assert await asked_for(installed) == before
    await terminal.succeeds(make)
    [copied] = (await installed.deployment(IDLE))["spec"]["template"]["spec"]["containers"]
    assert copied["env"] == env, "text stays text, on the way through YAML and kubectl"
    code, told = await terminal.types(proof)
    assert (code, told.count("0 is not an id of Discord's")) == (2, 4)
    fill_in(tmp_path / "greenlight.toml", team)
    await terminal.succeeds(proof)
    await terminal.succeeds(credentials)
    assert target.plane.admin_token not in (tmp_path / "greenlight.kubeconfig").read_text()
    check, started = run.splitlines()
    assert started == "greenlight run"
    await terminal.succeeds(check)
    assert await installed.serving(2, LIVE) == blue

    async with team.hired(terminal.environment):
        live = await goes_live(team, installed)
        green = await installed.serving(2, LIVE)
        code, told = await person.types(make)
        assert (code, 'conflict with "greenlight"' in told) == (1, True), told
        assert await installed.serving(2, LIVE) == green

        form = await team.person("sam").click(live, "Roll back")
        await team.person("sam").submit_modal(form, reason="wrong prices")
        await team.card("🟠", "mochi #1 (green) was rolled back by @sam")
        assert await installed.serving(2, LIVE) == blue
    assert (await asked_for(installed))[0] == before[0]

    await person.succeeds(undo)
    assert await asked_for(installed) == before
    assert await installed.serving(2, LIVE) == blue
    left = {item["metadata"]["name"] for item in (await installed.get(installed.deployments))["items"]}
    assert left == {LIVE}


async def asked_for(installed):
    """What people have said of the Deployment and the Service; what controllers report of it comes and goes."""
    service = await installed.service(LIVE)
    return (await installed.deployment(LIVE))["spec"], service["spec"], service["metadata"].get("annotations")


async def goes_live(team, installed):
    """Step 7: ann deploys, kim and leo look at the preview and approve. The card, once it says so."""
    blue = await installed.serving(2, LIVE)
    await team.person("ann").slash(team.channel, "deploy", image="green")
    waiting = await team.ballot("mochi #1 (green)", "QC", "Lead")
    green = await installed.serving(2, PREVIEW)
    assert await installed.serving(2, LIVE) == blue
    await team.person("kim").react(waiting, APPROVE)
    await team.person("leo").react(waiting, APPROVE)
    card = await team.card("🟢", "mochi #1 (green) is live")
    assert await installed.serving(2, LIVE) == green
    label = selector(await installed.service(LIVE))[LABEL]
    assert {owner(pod) for pod in await installed.pods_with(label)} == {IDLE}
    return card
