"""What the bot keeps in memory of the cluster stays current through everything that happens to a connection."""

import asyncio
import json
import secrets
from contextlib import asynccontextmanager

import pytest
import role

import mochi
from bot.clusters.api import SERVICE, KubeApi, Patience
from bot.clusters.errors import Forbidden
from bot.clusters.watch import Watch
from bot.release.record import Phase


class Followed:
    """A watch on the Services of the namespace, at work, that can be waited for."""

    def __init__(self, api, namespace) -> None:
        self._changed = asyncio.Event()
        self.watch = Watch(api, SERVICE, namespace, self._changed.set)

    @asynccontextmanager
    async def working(self):
        task = asyncio.create_task(self.watch.run(self._pause))
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sees(self, holds, *, within=15) -> None:
        async with asyncio.timeout(within):
            while not holds(self.watch):
                self._changed.clear()
                await self._changed.wait()

    async def touched(self, name=mochi.ACTIVE) -> None:
        """An annotation that somebody made has arrived."""
        await self.sees(lambda watch: "example.com/touched" in watch.objects[name]["metadata"].get("annotations", {}))

    async def _pause(self, seconds: float) -> None:
        self._changed.set()
        await asyncio.sleep(min(seconds, 0.1))


@pytest.fixture
def patience():
    return Patience()


@pytest.fixture
async def api(target, tmp_path, patience):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(await target.kubeconfig(role.rules())))
    made = await KubeApi.connect(kubeconfig=str(kubeconfig), patience=patience)
    yield made
    await made.close()


@pytest.fixture
async def followed(api, installed):
    async with Followed(api, installed.target.namespace).working() as made:
        await made.sees(lambda watch: {mochi.ACTIVE, mochi.PREVIEW} <= watch.objects.keys())
        yield made


async def test_a_change_and_a_deletion_arrive(followed, installed):
    await installed.annotate(f"{installed.services}/{mochi.ACTIVE}")
    await followed.touched()
    async with installed.target.session.delete(f"{installed.services}/{mochi.PREVIEW}", raise_for_status=True):
        pass
    await followed.sees(lambda watch: mochi.PREVIEW not in watch.objects)


async def test_an_api_server_that_was_restarted_is_listed_anew(followed, installed, target):
    """410: what was deleted and changed meanwhile was never announced."""
    await target.restart_api_server()
    async with target.session.delete(f"{installed.services}/{mochi.PREVIEW}", raise_for_status=True):
        pass
    await installed.annotate(f"{installed.services}/{mochi.ACTIVE}")
    await followed.touched()
    await followed.sees(lambda watch: mochi.PREVIEW not in watch.objects)


async def test_a_release_goes_on_after_the_api_server_was_restarted(bot, installed, target):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    await target.restart_api_server()
    await bot.approve()
    await bot.reaches(Phase.BAKING)
    assert await installed.serving(2) & {pod["metadata"]["name"] for pod in await installed.pods_of("blue")} == set()


only_sandbox = pytest.mark.parametrize("target", ["sandbox"], indirect=True)


@only_sandbox
async def test_a_revision_that_was_compacted_away_is_listed_anew(followed, installed, sandbox):
    """What vanished and what changed while nobody was listening is known afterwards."""
    server, objects = sandbox.cluster.server, sandbox.cluster.objects
    await server.until_watching(1)
    server.drop_watches()
    # In one go, so that the watch cannot have come back in between.
    objects.delete("services", sandbox.namespace, mochi.PREVIEW)
    objects.patch(
        "services",
        sandbox.namespace,
        mochi.ACTIVE,
        {"metadata": {"annotations": {"example.com/touched": "yes"}}},
    )
    objects.compact()
    await followed.touched()
    await followed.sees(lambda watch: mochi.PREVIEW not in watch.objects)


@only_sandbox
async def test_a_connection_that_was_reset_goes_on_from_where_it_was(followed, installed, sandbox):
    listed = sandbox.cluster.server.faults.answer(500, "GET", r"/services\?limit")
    await sandbox.cluster.server.until_watching(1)
    sandbox.cluster.server.drop_watches()
    await installed.annotate(f"{installed.services}/{mochi.ACTIVE}")
    await followed.touched()
    assert not listed.met.is_set()


@only_sandbox
@pytest.mark.parametrize("patience", [Patience(silence=0.2)])
async def test_a_connection_that_says_nothing_is_given_up(followed, installed, sandbox):
    """Half-open: only the missing bookmarks tell."""
    server = sandbox.cluster.server
    await server.until_watching(1)
    server.mute_watches()
    again = server.faults.hold("GET", "watch=true")
    await installed.annotate(f"{installed.services}/{mochi.ACTIVE}")
    async with asyncio.timeout(10):
        await again.met.wait()
    server.mute_watches(muted=False)
    again.released.set()
    await followed.touched()


@only_sandbox
@pytest.mark.parametrize("fault", ["reset", "truncate", "answer"])
async def test_a_list_that_fails_is_tried_again_and_the_trouble_is_known_meanwhile(api, installed, sandbox, fault):
    faults = sandbox.cluster.server.faults
    more = (503,) if fault == "answer" else ()
    # A connection that is reset before anything is answered is tried once more by the client itself.
    getattr(faults, fault)(*more, "GET", "/services", times=3)
    async with Followed(api, sandbox.namespace).working() as followed:
        await followed.sees(lambda watch: watch.trouble is not None)
        await followed.sees(lambda watch: mochi.ACTIVE in watch.objects)
        assert followed.watch.trouble is None


@only_sandbox
async def test_a_token_that_was_replaced_is_read_again(installed, sandbox, tmp_path):
    """Also by a watch: an idle bot calls nothing else."""
    place = tmp_path / "rotating"
    place.write_text(json.dumps(made := await sandbox.kubeconfig(role.rules())))
    api = await KubeApi.connect(kubeconfig=str(place))
    async with Followed(api, sandbox.namespace).working() as followed:
        await followed.sees(lambda watch: mochi.ACTIVE in watch.objects)
        await sandbox.cluster.server.until_watching(1)
        tokens = sandbox.cluster.access.tokens
        fresh = secrets.token_hex(8)
        tokens[fresh] = tokens.pop(made["users"][0]["user"]["token"])
        made["users"][0]["user"]["token"] = fresh
        place.write_text(json.dumps(made))
        sandbox.cluster.server.drop_watches()
        await installed.annotate(f"{installed.services}/{mochi.ACTIVE}")
        await followed.touched()
        await api.get(SERVICE, sandbox.namespace, mochi.ACTIVE)
    await api.close()


@only_sandbox
async def test_a_token_that_is_not_accepted_is_said_without_the_token(installed, sandbox, tmp_path):
    place = tmp_path / "revoked"
    place.write_text(json.dumps(made := await sandbox.kubeconfig(role.rules())))
    token = made["users"][0]["user"]["token"]
    del sandbox.cluster.access.tokens[token]
    api = await KubeApi.connect(kubeconfig=str(place))
    with pytest.raises(Forbidden) as refused:
        await api.get(SERVICE, sandbox.namespace, mochi.ACTIVE)
    assert token not in str(refused.value)
    await api.close()


@only_sandbox
async def test_a_switch_whose_answer_was_lost_is_not_sent_again(bot, installed, sandbox):
    """I2: it may have happened, so it is looked at, and then it has."""
    await bot.deploy("green")
    release = await bot.reaches(Phase.READY)
    sandbox.cluster.server.faults.lose_answer("PATCH", r"/services/mochiapp\?")
    async with installed.record_service() as service:
        await bot.approve()
        await bot.sees(lambda moment: moment.trouble)
        bot.clock.skip(seconds=3)
        await bot.reaches(Phase.BAKING)
        assert len(await service.so_far()) == 2
    assert (await bot.events("unknown"))[0].detail["write"] == "switch mochiapp to mochi:green"
    assert release.label in str((await installed.service())["spec"]["selector"])


@only_sandbox
async def test_a_switch_that_the_api_server_could_not_carry_out_is_tried_again(bot, installed, sandbox):
    await bot.deploy("green")
    await bot.reaches(Phase.READY)
    sandbox.cluster.server.faults.answer(500, "PATCH", r"/services/mochiapp\?")
    async with installed.record_service() as service:
        await bot.approve()
        await bot.sees(lambda moment: moment.trouble)
        bot.clock.skip(seconds=3)
        await bot.reaches(Phase.BAKING)
        assert len(await service.so_far()) == 2
