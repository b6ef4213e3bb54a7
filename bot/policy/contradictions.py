"""What is wrong between values of `greenlight.toml` that are each right."""

from collections.abc import Iterator, Mapping, Sequence

from bot.duration import write_duration
from bot.policy.gates import GateTable, GuardTable, HttpFields, PrometheusTable, QueryGuardTable, Table, relative
from bot.policy.sentences import EXAMPLES
from bot.policy.tables import AppTable, ArgoTable, FileTable, NativeTable, RegistryTable
from bot.policy.values import shown
from bot.release.app import Action
from bot.release.image import one_name
from bot.toml_places import Loc


def contradictions(file: FileTable, namespaces: Mapping[str, str]) -> Iterator[tuple[Loc, str]]:
    """`namespaces` are those of the apps, by name; "" where nobody knows it."""
    for name, table in file.clusters.items():
        if not table.context and not table.kubeconfig:
            yield (
                ("clusters", name),
                'says nothing: write `context = "<a context of your kubeconfig>"`, or `kubeconfig = "<file>"`.',
            )
    taken: dict[tuple[str, str, str, str], str] = {}
    for name, app in file.apps.items():
        here: Loc = ("apps", name)
        yield from ((here + loc, sentence) for loc, sentence in _of_app(file, app, namespaces[name]))
        for kind, key, object_name in _objects(app):
            owner = taken.setdefault((app.cluster, namespaces[name], kind, object_name), name)
            if owner != name:
                what = f"the {kind} {shown(object_name)} in {shown(namespaces[name])}"
                yield (*here, key), f"{what} is app {shown(owner)}'s already: they would move each other's traffic."
    yield from _of_registries(file.registries)


def _of_app(file: FileTable, app: NativeTable | ArgoTable, namespace: str) -> Iterator[tuple[Loc, str]]:
    """By what each is about within the app's table."""
    if not namespace:
        yield ("namespace",), f"is missing: write {EXAMPLES['namespace']}."
    if isinstance(app, NativeTable) and app.service == app.preview:
        yield ("preview",), f"{shown(app.preview)} is also `service`: the preview needs a Service of its own."
    if app.cluster and app.cluster not in file.clusters:
        known = ", ".join(shown(each) for each in file.clusters) or "none"
        yield ("cluster",), f"{shown(app.cluster)} is no table [clusters.{app.cluster}] of this file; there is {known}."
    yield from _of_checks(file, app)
    for loc, role in _roles(app):
        if role == file.guild:
            # Discord: the role that everybody has carries the id of its guild.
            yield loc, f"{role} is the server's own id, and so the role @everyone: name a real role."


def _of_checks(file: FileTable, app: AppTable) -> Iterator[tuple[Loc, str]]:
    tables: tuple[tuple[str, Sequence[GateTable | GuardTable]], ...] = (("gates", app.gates), ("guards", app.guards))
    for which, some in tables:
        names: set[str] = set()
        for index, table in enumerate(some):
            here: Loc = (which, index)
            if table.name in names:
                yield (*here, "name"), f"{shown(table.name)} is the name of two {which}: nobody could tell them apart."
            names.add(table.name)
            if isinstance(table, PrometheusTable | QueryGuardTable) and file.prometheus is None:
                yield (*here, "kind"), "needs a table [prometheus] with its `url`."
            own = _of_guard(app, table) if isinstance(table, GuardTable) else _of_gate(table)
            yield from ((here + loc, sentence) for loc, sentence in (*_of_address(app, table), *own))


def _of_gate(gate: GateTable) -> Iterator[tuple[Loc, str]]:
    if not isinstance(gate, PrometheusTable):
        return
    if relative(gate) != gate.baseline:
        yield ("pass",), 'compares with a multiple, as in "<= 1.2x", where `baseline = true`, and else with a number.'
    if gate.for_ is not None and gate.for_ >= gate.timeout:
        longest = write_duration(gate.timeout)
        yield (
            ("for",),
            f"does not fit into `timeout`, which is {longest}: it could never pass. Write a longer timeout.",
        )


def _of_guard(app: AppTable, guard: GuardTable) -> Iterator[tuple[Loc, str]]:
    if "answer_within" in guard.model_fields_set and guard.action is not Action.ASK:
        yield ("answer_within",), 'has no use without action = "ask": nobody is asked. Leave it out.'
    if guard.every * (guard.failures - 1) >= app.timing.bake_for:
        watched = f"do not fit into `bake_for`, which is {write_duration(app.timing.bake_for)}"
        fix = "it could never fail. Make one of them smaller, or watch for longer."
        yield ("every",), f"and `failures` ({guard.failures}) {watched}: {fix}"
    if isinstance(guard, QueryGuardTable) and relative(guard):
        yield ("pass",), "compares with a multiple: of a guard there is nothing to compare with."


def _of_address(app: AppTable, table: Table) -> Iterator[tuple[Loc, str]]:
    if not isinstance(table, HttpFields):
        return
    if app.cluster and table.url is None:
        # A Service's name means another Service in another cluster, be it one with the same names in it.
        what = f"is asked for under an address inside cluster {shown(app.cluster)}, and Greenlight may run in another"
        yield ("path",), f"{what}, where that is another Service: write the whole `url`."
    if table.url is not None and "path" in table.model_fields_set:
        yield ("path",), "stands beside `url`, which is the whole address: leave one of them out."


def _objects(app: NativeTable | ArgoTable) -> Iterator[tuple[str, str, str]]:
    """Kind, key and name of what a release changes, as far as the file names it."""
    if isinstance(app, ArgoTable):
        yield "Rollout", "rollout", app.rollout
        return
    yield "Service", "service", app.service
    yield "Service", "preview", app.preview
    yield from (("Deployment", "slots", slot) for slot in app.slots)


def _of_registries(registries: Mapping[str, RegistryTable]) -> Iterator[tuple[Loc, str]]:
    written: dict[str, str] = {}
    for host, registry in registries.items():
        here: Loc = ("registries", host)
        first = written.setdefault(one_name(host), host)
        if first != host:
            yield here, f"is {shown(first)} by another name: put all that is said of it into one table."
        if registry.insecure and registry.ca is not None:
            yield (
                (*here, "ca"),
                "has no use where `insecure` is true: without TLS there is no certificate. Leave one out.",
            )
        for index, mirror in enumerate(registry.mirrors):
            if mirror == one_name(host):
                yield (
                    (*here, "mirrors", index),
                    f"{shown(mirror)} is the registry itself: name hosts that hold copies.",
                )
            elif mirror in registry.mirrors[:index]:
                yield (*here, "mirrors", index), f"names {shown(mirror)} twice: leave one of them out."


def _roles(app: AppTable) -> Iterator[tuple[Loc, int]]:
    for key in ("deployers", "rollbackers"):
        for index, role in enumerate(getattr(app, key)):
            yield (key, index), role
    for number, requirement in enumerate(app.approval.require):
        for index, role in enumerate(requirement.roles):
            yield ("approval", "require", number, "roles", index), role
