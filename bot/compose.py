"""Where the real parts meet: the bot from its settings, started, and stopped within ten seconds."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import aiohttp
import discord
import structlog
import tenacity

from bot.adopting import Adopting
from bot.client import Greenlight, point_at
from bot.clusters.api import KubeApi
from bot.clusters.both import BothBackends
from bot.clusters.cluster import Cluster
from bot.clusters.errors import ClusterError
from bot.clusters.jobs import KubeJobs
from bot.clusters.several import SeveralClusters
from bot.controller import Controller
from bot.desk import Desk
from bot.gates import GateRunner, GuardRunner
from bot.gates.errand import Errand
from bot.gates.finding import Check, GuardCheck
from bot.gates.http import HttpCheck, visiting
from bot.gates.job import job_check
from bot.gates.k6 import k6_check
from bot.gates.prometheus import PrometheusCheck
from bot.health import health
from bot.registry import Registry
from bot.release.app import App
from bot.release.record import Release
from bot.release.snapshot import Snapshot
from bot.settings import Settings
from bot.stopping import let_finish, limited, together, until_stopped
from bot.store import Store, StoreError, Unusable, connect, exclusive, migrate

log = structlog.get_logger()

CREDENTIALS_WITHIN = 10.0
LOGIN_EVERY, LOGIN_WITHIN = 60.0, 120.0
NO_ANSWER = (discord.HTTPException, aiohttp.ClientError, OSError, LookupError, TypeError, ValueError)
"""What it looks like when Discord does not answer, or something else does in its place."""
AUTHENTICATION_FAILED = 4004
BAD_TOKEN = "Discord does not accept the token: copy it again from the Developer Portal (Bot → Reset Token)."  # noqa: S105


class StartError(Exception):
    """The bot cannot run like this; the text is one line that says what is wrong and how to mend it."""


class RealClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def wait(self, bell: asyncio.Event, until: datetime | None) -> None:
        seconds = None if until is None else max(0.0, (until - self.now()).total_seconds())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await bell.wait()


@dataclass(frozen=True)
class Parts:
    client: Greenlight
    controller: Controller
    desk: Desk
    cluster: SeveralClusters
    apis: Mapping[str, KubeApi]
    """By the name of the cluster, as apps use it."""


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; whichever part ends by an error ends all, with that error."""
    await until_stopped(_work(settings))


async def _work(settings: Settings) -> None:
    async with _database_of_ours(settings), assemble(settings) as parts, _probes(settings, parts):
        await _load_credentials(parts.apis)
        await together(
            _stay_on_discord(parts.client, settings),
            _while_token_is_good(parts.client),
            parts.controller.run(),
            parts.cluster.follow(),
            parts.desk.keep_links(),
        )


@asynccontextmanager
async def _database_of_ours(settings: Settings) -> AsyncIterator[None]:
    """Its tables up to date, and no other bot running on it."""
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(exclusive(settings.database_url, RealClock().now))
            await migrate(settings.database_url)
        except Unusable as error:
            raise StartError(str(error)) from error
        yield


@asynccontextmanager
async def assemble(settings: Settings) -> AsyncIterator[Parts]:
    """The parts, put together and not started; they are closed at the end."""
    clock, before = RealClock(), asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as stack:
        store = Store(connect(settings.database_url), clock.now)
        stack.push_async_callback(store.close)
        apis = {
            name: KubeApi(kubeconfig=each.kubeconfig, context=each.context, name=name)
            for name, each in settings.clusters.items()
        }
        for api in apis.values():
            stack.push_async_callback(api.close)
        registry = Registry(settings.docker_config, settings.registries)
        stack.push_async_callback(registry.close)
        point_at(settings.discord_api_url, settings.discord_gateway_url)
        client = Greenlight(settings.guild)
        stack.push_async_callback(limited(client.close))
        # Whoever has asked for something is answered first.
        stack.push_async_callback(let_finish, before)

        def changed(cluster: str, namespace: str) -> None:
            controller.changed(cluster, namespace)

        def wake(app: str) -> None:
            controller.wake(app)

        def redraw(release: Release) -> None:
            controller.redraw(release)

        store_id = await store.identity()

        def backends(name: str) -> BothBackends:
            here = [app for app in settings.apps.values() if app.cluster == name]
            return BothBackends(apis[name], here, clock.now, partial(changed, name), store_id)

        cluster = SeveralClusters({name: backends(name) for name in apis})
        adopting = Adopting(store, cluster, client.people, settings.people, clock)
        visits = await stack.enter_async_context(visiting())
        prometheus = PrometheusCheck(visits, settings.prometheus, partial(_shown, cluster))
        errands = _errands(KubeJobs(apis), cluster)
        checks: dict[str, Check] = {
            "http": HttpCheck(visits, cluster.preview_inside),
            "prometheus": prometheus,
            **errands,
        }
        of_live: dict[str, GuardCheck] = {
            "http": HttpCheck(visits, cluster.active_inside),
            "prometheus": prometheus,
        }
        gates = GateRunner(store, checks, wake, clock, {kind: each.cut_off for kind, each in errands.items()})
        stack.push_async_callback(gates.close)
        guards = GuardRunner(store, of_live, wake, redraw, clock)
        stack.push_async_callback(guards.close)
        parts = (settings.apps, store, cluster, client.people, client.cards, clock, adopting, (gates, guards))
        controller = Controller(*parts)
        desk = Desk(settings.apps, store, cluster, registry, controller, clock, watch=guards)
        client.attend(desk, controller.wake)
        yield Parts(client, controller, desk, cluster, apis)


def _errands(jobs: KubeJobs, cluster: SeveralClusters) -> Mapping[str, Errand]:
    """The kinds of gates that are Jobs."""
    return {"k6": k6_check(jobs, cluster.preview_inside), "job": job_check(jobs, cluster.preview_inside)}


async def _shown(cluster: Cluster, app: App, release: Release) -> Snapshot:
    """As the watches have heard it, if they hear."""
    return (cluster.seen(app, release) or await cluster.look(app, release)).snapshot


@asynccontextmanager
async def _probes(settings: Settings, parts: Parts) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        try:
            heard = partial(_parts_heard, parts)
            await stack.enter_async_context(health(settings.health, parts.controller.turn, heard))
        except OSError as error:
            raise StartError(f"GREENLIGHT_HEALTH: probes cannot be answered there: {error.strerror}.") from error
        yield


def _parts_heard(parts: Parts) -> Mapping[str, str | None]:
    """Of each part why it is not there, for a probe; a cluster without a name is called `cluster`."""
    clusters = {name or "cluster": why for name, why in parts.cluster.troubles.items()}
    return {"Discord": None if parts.client.connected else "the gateway is not open", **clusters}


async def _load_credentials(apis: Mapping[str, KubeApi]) -> None:
    """One cluster without credentials takes its own apps out; without any there is nothing to run for.

    Nobody is waited for who is slow: the reading goes on, and the calls that need it find it.
    """

    async def load(name: str, api: KubeApi) -> ClusterError | None:
        try:
            async with asyncio.timeout(CREDENTIALS_WITHIN):
                await api.load()
        except TimeoutError:
            log.warning("a cluster is out", cluster=name, reason="its credentials are still being read")
        except ClusterError as error:
            log.warning("a cluster is out", cluster=name, reason=str(error))
            return error
        return None

    troubles = await asyncio.gather(*(load(name, api) for name, api in apis.items()))
    if all(troubles) and (first := troubles[0]):
        raise first


async def _stay_on_discord(client: Greenlight, settings: Settings) -> None:
    """Until closed. While Discord is away the rest of the bot works on: what was asked for is still done."""
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type((*NO_ANSWER, StoreError)),
        wait=tenacity.wait_random_exponential(multiplier=1, max=LOGIN_EVERY),
        before_sleep=_log_why,
    ):
        with attempt:
            try:
                await _log_in(client, settings)
            except (*NO_ANSWER, StoreError):
                await client.forget_login()
                raise
    try:
        await client.connect()
    except discord.PrivilegedIntentsRequired as error:
        raise StartError(
            "Discord does not let the bot in: the Developer Portal has not granted the intents that it asks for."
        ) from error
    except discord.ConnectionClosed as error:
        if error.code == AUTHENTICATION_FAILED:
            raise StartError(BAD_TOKEN) from error
        raise StartError(f"Discord closed the connection for good (code {error.code}).") from error


async def _while_token_is_good(client: Greenlight) -> None:
    """Any call may be the first to hear that it is not; to go on with it would have our address banned."""
    await client.budget.revoked.wait()
    raise StartError(BAD_TOKEN)


def _log_why(state: tenacity.RetryCallState) -> None:
    why = state.outcome.exception() if state.outcome else None
    what = "the start on Discord waits" if isinstance(why, StoreError) else "Discord does not answer"
    log.warning(what, attempt=state.attempt_number, error=str(why) or repr(why))


async def _log_in(client: Greenlight, settings: Settings) -> None:
    try:
        async with asyncio.timeout(LOGIN_WITHIN):
            await client.login(settings.token.get_secret_value())
    except discord.LoginFailure as error:
        raise StartError(BAD_TOKEN) from error
    except discord.Forbidden as error:
        if not error.code:  # it is not Discord that says so, but what stands before it
            raise
        raise StartError(
            f"The bot may not register its commands in guild {settings.guild}: is the guild right, "
            "and was the bot invited with the scopes `bot` and `applications.commands`?"
        ) from error
