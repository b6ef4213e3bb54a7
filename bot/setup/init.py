"""`greenlight init`: looks at a namespace, writes `greenlight.toml`, prints what is missing. Changes no cluster."""

import re
from dataclasses import dataclass
from pathlib import Path

import click

from bot.clusters.api import KubeApi
from bot.clusters.errors import ClusterError, Forbidden
from bot.clusters.namespace import current_namespace
from bot.release.image import shown
from bot.setup.look import account, look
from bot.setup.manifests import manifests
from bot.setup.objects import LABEL, Objects
from bot.setup.policy_file import People, Place, policy_file
from bot.setup.rolled import Rolled
from bot.setup.sibling import Sibling
from bot.setup.survey import Found, Survey, survey

STDOUT = "-"
"""As the name of a file."""


class NotInit(Exception):
    """Nothing was written; the text says why and what to do."""


@dataclass(frozen=True)
class Wanted:
    namespace: str | None
    """None: that of the kubeconfig's context."""
    kubeconfig: str | None
    context: str | None
    account: tuple[str, str]
    """Namespace and name of the ServiceAccount that the bot acts as."""
    people: People
    cluster: str | None
    """What the file calls this cluster, for who releases on several; None: it is the only one."""
    output: str
    manifests: str


async def init(wanted: Wanted) -> str:
    """Writes both files; the summary for the person. Raises `NotInit`."""
    namespace = wanted.namespace or current_namespace(wanted.kubeconfig, wanted.context)
    _are_names(namespace, *wanted.account, *([wanted.cluster] if wanted.cluster else []))
    if wanted.cluster and not wanted.context:
        raise NotInit(f"--cluster {wanted.cluster} needs --context: which of your kubeconfig's contexts is it?")
    _nothing_is_overwritten(wanted)
    try:
        api = await KubeApi.connect(kubeconfig=wanted.kubeconfig, context=wanted.context)
        try:
            objects = await look(api, namespace)
            acts_as = await account(api, *wanted.account)
        finally:
            await api.close()
    except Forbidden as why:
        raise NotInit(f"init reads with the rights of your kubeconfig, and one is missing. {why}") from why
    except ClusterError as why:
        raise NotInit(str(why)) from why
    found = survey(namespace, objects)
    if not found.apps and not found.rolled:
        raise NotInit(_nothing(found, objects))
    place = Place(wanted.cluster, wanted.context) if wanted.cluster and wanted.context else None
    policy = policy_file(found, objects, wanted.people, place)
    _write(wanted.output, policy, mode=0o644)
    # For whoever runs this alone: a copied Deployment has the values of its environment variables.
    _write(wanted.manifests, manifests(found, objects, acts_as), mode=0o600)
    return "\n".join(_summary(found))


def _are_names(*names: str) -> None:
    for name in names:
        if not re.fullmatch(LABEL, name):
            raise NotInit(
                f"{shown(name)} is not a name in Kubernetes: at most 63 of a-z, 0-9 and `-`, no `-` at the ends. "
                "Write --namespace mochi, and --service-account greenlight/greenlight."
            )


def _nothing_is_overwritten(wanted: Wanted) -> None:
    if wanted.output == wanted.manifests:
        raise NotInit("Two files cannot go to one place: name another with --output or --manifests.")
    for option, file in (("--output", wanted.output), ("--manifests", wanted.manifests)):
        if file != STDOUT and Path(file).exists():
            raise NotInit(f"{file} is there already and stays as it is: name another file with {option}, or move it.")


def _nothing(found: Survey, objects: Objects) -> str:
    if not (objects.services or objects.deployments or objects.rollouts or objects.pods or objects.strange):
        return f"Namespace {found.namespace} is empty, or there is none of that name: name another with --namespace."
    lines = [f"- {sentence}" for sentence in found.left_out]
    return "\n".join([f"Namespace {found.namespace} has no Service with a Deployment or a Rollout behind it.", *lines])


def _write(file: str, text: str, *, mode: int) -> None:
    try:
        if file == STDOUT:
            click.echo(text, nl=False)
            return
        place = Path(file)
        place.touch(mode, exist_ok=False)
        place.write_text(text, encoding="utf-8")
    except OSError as why:
        raise NotInit(f"{file} cannot be written: {why.strerror}.") from why


def _summary(found: Survey) -> list[str]:
    lines = [f"{app.name}: {_of(app)}" for app in found.apps]
    lines += [f"{app.name}: {_rolled(app)}" for app in found.rolled]
    if found.left_out:
        count = len(found.left_out)
        lines.append(f"Not taken for an app: {count} {'object' if count == 1 else 'objects'}; the file says why.")
    lines.append(
        "Next: put your Discord ids where 0 stands; read the manifests and apply them with "
        "`kubectl apply --server-side -f …`; run `greenlight check`."
    )
    return lines


def _rolled(app: Rolled) -> str:
    count = len(app.wrong)
    mend = f"; {count} {'thing has' if count == 1 else 'things have'} to be mended, as the file says" if count else ""
    return f"Rollout {app.rollout.name} has all that a release needs{mend}."


def _of(app: Found) -> str:
    made = [f"Deployment {app.idle.name}"] if isinstance(app.idle, Sibling) else []
    made += [f"Service {app.preview}"] if isinstance(app.preview, str) else []
    missing = f"the manifests make {' and '.join(made)}" if made else "its other slot and its preview are there"
    return f"Service {app.service.name} leads to Deployment {app.live.name}; {missing}."
