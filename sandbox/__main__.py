"""The command line of the sandbox: `python -m sandbox demo`, and each part alone."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from sandbox import demo as demonstration
from sandbox.apps import APPS, IMAGES, MOCHI, NAMESPACE
from sandbox.cluster import LIFELIKE, Cluster, wall_clock
from sandbox.cluster.errands import k6_here
from sandbox.discord import DiscordServer
from sandbox.discord.page import Pages
from sandbox.registry import Registry

PORT = click.option("--port", type=click.IntRange(0, 65535), default=0, help="Where to listen; 0 is any free port.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def sandbox() -> None:
    """A Discord, a Kubernetes cluster and a registry on this machine, for trying Greenlight and for its tests.

    Nothing leaves this machine, and nothing is left on it.
    """


@sandbox.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help=f"Where the page is served; by default {demonstration.USUAL_PORT}, or a free port when that is taken.",
)
@click.option("--fast", is_flag=True, help="Pods are ready at once, and a new version is watched for seconds only.")
@click.option("--browser/--no-browser", default=True, help="Open the page where there is a browser.")
def demo(port: int, fast: bool, browser: bool) -> None:
    """Discord beside production and preview, with the real bot between them.

    Works offline, with no Discord account and no cluster.
    """
    try:
        asyncio.run(demonstration.run(port=port, fast=fast, browser=browser))
    except demonstration.DemoError as why:
        raise click.ClickException(str(why)) from None


@sandbox.command()
@PORT
@click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Written there.")
def cluster(port: int, kubeconfig: Path) -> None:
    """A small Kubernetes API server with the demo's apps on it: mochi on Deployments, dango on a Rollout."""

    async def start() -> Callable[[], Awaitable[None]]:
        images = Registry(IMAGES)
        # kubectl sends no token over plain HTTP, so that whoever is on this machine is let in without one.
        here = Cluster(now=wall_clock, behaviours=LIFELIKE, digests=images.digests, anonymous=True, k6=k6_here())
        url = await here.start(port)
        for app in APPS:
            here.apply(app.manifests(f"registry.example.com/{app.name}"))
        _write_private(kubeconfig, json.dumps(here.kubeconfig()))
        click.echo(f"{url}\nkubectl --kubeconfig {kubeconfig} --namespace {NAMESPACE} get all")
        return here.stop

    asyncio.run(_until_interrupted(start))


@sandbox.command()
@PORT
def registry(port: int) -> None:
    """An OCI registry with the images of the demo's apps."""

    async def start() -> Callable[[], Awaitable[None]]:
        here = Registry(IMAGES)
        host = await here.start(port=port)
        images = (f"{host}/{repository}:{tag}" for repository, tags in IMAGES.items() for tag in tags)
        click.echo("\n".join(("Over plain HTTP:", *images)))
        return here.stop

    asyncio.run(_until_interrupted(start))


@sandbox.command()
@PORT
def discord(port: int) -> None:
    """A Discord for one bot: REST, gateway and the page of one channel."""

    async def start() -> Callable[[], Awaitable[None]]:
        here = DiscordServer(demonstration.WORLD)
        await here.start(port)
        pages = Pages(here)
        page = await pages.url(here.channel_id(MOCHI.name))
        click.echo(f"DISCORD_API_URL={here.api_url}\nDISCORD_GATEWAY_URL={here.gateway_url}")
        click.echo(f"DISCORD_TOKEN={here.token}\n\n#{MOCHI.name}: {page}")

        async def stop() -> None:
            await pages.close()
            await here.stop()

        return stop

    asyncio.run(_until_interrupted(start))


def _write_private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


async def _until_interrupted(start: Callable[[], Awaitable[Callable[[], Awaitable[None]]]]) -> None:
    interrupted = asyncio.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(kind, interrupted.set)
    stop = await start()
    try:
        await interrupted.wait()
    finally:
        await stop()


if __name__ == "__main__":
    sandbox(prog_name="python -m sandbox")
