"""The command line: `greenlight` or `python -m bot`.

Every part is imported by the command that needs it, so that `--help` and the health check answer at once.
"""

import asyncio
import contextlib
import http.client
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from bot.policy import Credentials

PROBE_WITHIN = 8.0
"""Seconds."""
LONGEST_ANSWER = 1000


def main() -> None:
    """The entry point of `greenlight` and `python -m bot`."""
    greenlight(prog_name="greenlight")


def _version() -> str:
    try:
        return importlib.metadata.version("greenlight")
    except importlib.metadata.PackageNotFoundError:
        return "from a checkout that is not installed"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(_version(), message="greenlight %(version)s")
def greenlight() -> None:
    """Blue-green releases on Kubernetes, from Discord.

    Settings come from the environment (DISCORD_TOKEN or DISCORD_TOKEN_FILE, DATABASE_URL, KUBECONFIG, LOG_LEVEL, …)
    and from the file that GREENLIGHT_CONFIG names, by default greenlight.toml.
    """


@greenlight.command()
def run() -> None:
    """Start the bot; Ctrl-C or SIGTERM stops it."""
    from bot.log import configure  # noqa: PLC0415 - see the top
    from bot.settings import load  # noqa: PLC0415 - see the top

    with _settings_error_is_one_line():
        settings = load(_current_namespace)
    # The parts take a second to import; a wrong setting is told before.
    from bot.clusters.errors import ClusterError  # noqa: PLC0415 - the line above
    from bot.compose import StartError, serve  # noqa: PLC0415 - the line above
    from bot.store import StoreError  # noqa: PLC0415 - the line above

    configure(settings.log_level, settings.log_format, secrets=(settings.token.get_secret_value(),))
    try:
        asyncio.run(serve(settings))
    except (StartError, ClusterError, StoreError) as why:
        _fail(str(why), 1)


@greenlight.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Try it in the browser, without Discord or a cluster.

    Works without a network. Takes what `python -m sandbox demo` takes; see its --help.
    """
    checkout = Path(__file__).resolve().parent.parent
    if not (checkout / "sandbox" / "__main__.py").is_file():
        _fail("The demo is not part of this installation: clone Greenlight's repository and run `make demo` there.", 1)
    path = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "sandbox", "demo", *arguments]
    # In place of this process, so that Ctrl-C and the exit code are the demo's own.
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606 - no shell is what is wanted


@greenlight.command()
@click.option("-n", "--namespace", help="Where the app runs; by default the namespace of the kubeconfig's context.")
@click.option("--kubeconfig", envvar="KUBECONFIG", help="By default KUBECONFIG or ~/.kube/config, as for kubectl.")
@click.option("--context", help="Of the kubeconfig; by default its current one.")
@click.option("--cluster", metavar="NAME", help="What the file calls this cluster, if it names several.")
@click.option("--output", default="greenlight.toml", show_default=True, help="The file to write; - prints it.")
@click.option("--manifests", default="-", show_default=True, help="Where to write what is missing; - prints it.")
@click.option("--guild", type=int, default=0, help="Id of your Discord server.")
@click.option("--channel", type=int, default=0, help="Id of the channel for the cards.")
@click.option("--deployers", type=int, multiple=True, help="Id of a role that may deploy; may be repeated.")
@click.option("--approvers", type=int, multiple=True, help="Id of a role that has to approve; each one that is given.")
@click.option(
    "--service-account",
    default="greenlight/greenlight",
    show_default=True,
    metavar="NAMESPACE/NAME",
    help="What the bot acts as in the cluster.",
)
def init(
    namespace: str | None,
    kubeconfig: str | None,
    context: str | None,
    cluster: str | None,
    output: str,
    manifests: str,
    guild: int,
    channel: int,
    deployers: tuple[int, ...],
    approvers: tuple[int, ...],
    service_account: str,
) -> None:
    """Write greenlight.toml for what a namespace holds.

    Prints, ready for `kubectl apply --server-side`, what is missing for a release: the preview Service, the idle slot,
    and a ServiceAccount with exactly the rights that this file needs. Reads the cluster and changes nothing in it.
    """
    from bot.setup.init import NotInit, Wanted  # noqa: PLC0415 - see the top
    from bot.setup.init import init as write  # noqa: PLC0415 - see the top
    from bot.setup.policy_file import People  # noqa: PLC0415 - see the top

    home, _, account = service_account.partition("/")
    people = People(guild, channel, deployers, approvers)
    wanted = Wanted(namespace, kubeconfig or None, context, (home, account), people, cluster, output, manifests)
    try:
        click.echo(asyncio.run(write(wanted)), err=True)
    except NotInit as why:
        _fail(str(why), 1)


@greenlight.command()
def migrate() -> None:
    """Bring the database to the newest tables. `run` does it too."""
    from bot.settings import Environment  # noqa: PLC0415 - see the top
    from bot.store import Unusable  # noqa: PLC0415 - see the top
    from bot.store import migrate as upgrade  # noqa: PLC0415 - see the top

    with _settings_error_is_one_line():
        environment = Environment.read()
    try:
        asyncio.run(upgrade(environment.database_url))
    except Unusable as why:
        _fail(str(why), 1)
    click.echo("The database is up to date.")


@greenlight.command()
@click.option("--offline", is_flag=True, help="Only read greenlight.toml: ask no database, cluster, registry, Discord.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON, for scripts.")
def check(offline: bool, as_json: bool) -> None:
    """Tell what is right and what is missing.

    Validates the settings, then asks database, Discord, clusters and registries, and changes nothing. Prints a table,
    each fault with its fix. Exits with 0 when releases will work (there may be warnings), with 1 when something fails,
    with 2 when a setting is wrong.
    """
    from bot.check import rendering  # noqa: PLC0415 - see the top
    from bot.check import settings as told  # noqa: PLC0415 - see the top
    from bot.log import configure, redact  # noqa: PLC0415 - see the top
    from bot.policy import SettingsError  # noqa: PLC0415 - see the top
    from bot.settings import Environment, LogLevel, load  # noqa: PLC0415 - see the top

    try:
        environment = Environment.read()
        settings = None if offline else load(_current_namespace)
        apps = settings.apps if settings else environment.policy(_current_namespace).apps
    except SettingsError as why:
        if not as_json:
            _fail(str(why), 2)
        click.echo(rendering.as_json(told.faults(str(why))))
        sys.exit(2)
    secrets: tuple[str, ...] = ()
    if settings is None:
        findings = told.understood(apps.values())
    else:
        from bot.check.checkup import check as ask  # noqa: PLC0415 - see the top
        from bot.compose import RealClock  # noqa: PLC0415 - see the top

        secrets = (settings.token.get_secret_value(),)
        # What there is to say is in the findings; at the usual level libraries tell of every step beside them.
        level = LogLevel.WARNING if settings.log_level is LogLevel.INFO else settings.log_level
        configure(level, settings.log_format, secrets=secrets)
        findings = asyncio.run(ask(settings, RealClock().now))
    click.echo(redact(rendering.as_json(findings) if as_json else rendering.table(findings), secrets))
    sys.exit(1 if rendering.something_fails(findings) else 0)


@greenlight.command()
def healthcheck() -> None:
    """Tell a probe whether the bot here is alive.

    Asks the bot that was started with the same GREENLIGHT_HEALTH.
    """
    address = os.environ.get("GREENLIGHT_HEALTH", "")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        _fail("GREENLIGHT_HEALTH is not set to host:port: set it for `greenlight run` as well as for this probe.", 2)
    here = "127.0.0.1" if host == "0.0.0.0" else host.strip("[]")  # who listens on all addresses is asked at our own
    try:
        with contextlib.closing(http.client.HTTPConnection(here, int(port), timeout=PROBE_WITHIN)) as connection:
            connection.request("GET", "/livez")
            answer = connection.getresponse()
            said = answer.read(LONGEST_ANSWER).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as why:
        _fail(f"{address}: {why}: no bot is running with this GREENLIGHT_HEALTH, or not yet.", 1)
    if answer.status != http.HTTPStatus.OK:
        _fail(f"{address}: {said}", 1)
    click.echo(said)


def _current_namespace(credentials: "Credentials") -> str:
    from bot.clusters.namespace import current_namespace  # noqa: PLC0415 - see the top

    return current_namespace(credentials.kubeconfig, credentials.context)


@contextlib.contextmanager
def _settings_error_is_one_line() -> Iterator[None]:
    from bot.settings import SettingsError  # noqa: PLC0415 - see the top

    try:
        yield
    except SettingsError as why:
        _fail(str(why), 2)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
