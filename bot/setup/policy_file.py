"""`greenlight.toml` as `init` writes it: what was found, what only people know as zeros, and the reasons beside it.

Pure. What comes from the cluster stands in it only as names that were checked and as comments of visible characters, so
that no label and no message can end a line and begin another key.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bot.release.image import parse
from bot.setup.comment import bullets, comment, visible
from bot.setup.notes import notes
from bot.setup.objects import Deployment, Objects
from bot.setup.rolled import Rolled
from bot.setup.sibling import Sibling
from bot.setup.survey import Found, Survey, link, preview_link, production_link

_UNKNOWN = 0
"""No id of Discord's: `greenlight check` names the line and says where the id is to be had."""


@dataclass(frozen=True)
class People:
    """What the cluster does not know: ids of Discord's."""

    guild: int = _UNKNOWN
    channel: int = _UNKNOWN
    deployers: tuple[int, ...] = ()
    approvers: tuple[int, ...] = ()
    """Each of these roles has to approve."""


@dataclass(frozen=True)
class Place:
    """A cluster beside others, by the name that the file gives it."""

    name: str
    context: str


def policy_file(found: Survey, objects: Objects, people: People, place: Place | None = None) -> str:
    """TOML. With all ids of `people` it is a valid policy. `place` None: the only cluster."""
    lines = [
        *comment(
            f"Written by `greenlight init` from what namespace {found.namespace} holds. Read it, and put ids of "
            "Discord's where 0 stands: `greenlight check --offline` tells which are still missing. "
            "greenlight.example.toml explains every key that there is."
        ),
        "#",
        *comment(
            "Ids: in Discord switch on Settings → Advanced → Developer Mode, then right-click a server, a channel or a "
            "role and copy its id."
        ),
        "",
        _line(f"guild = {people.guild}", "your Discord server"),
    ]
    for app in found.apps:
        lines += ["", *_app(app, objects, people, place)]
    for rolled in found.rolled:
        lines += ["", *_on_argo_rollouts(rolled, objects, people, place)]
    if place is not None:
        lines += ["", f"[clusters.{place.name}]", _line(f"context = {_text(place.context)}", "of the bot's kubeconfig")]
    lines += _registries(found)
    if found.left_out:
        lines += ["", "# Not taken for an app:", *bullets(found.left_out)]
    return "\n".join(lines) + "\n"


def _app(app: Found, objects: Objects, people: People, place: Place | None) -> Iterator[str]:
    target = app.app.native
    yield f"[apps.{app.name}]"
    yield from comment(_what_it_is(app))
    yield from bullets(notes(app, objects))
    if place is not None:
        yield f"cluster   = {_text(place.name)}"
    yield f"namespace = {_text(app.namespace)}"
    yield _line(f"channel   = {people.channel}", "its cards go here; in this channel /deploy needs no app")
    yield _line(f"image     = {_text(app.image.name)}", "`/deploy image:green` means this repository at tag green")
    yield _line(f"service   = {_text(target.service)}", "has the traffic")
    made = " (printed by init, to be applied)"
    yield _line(f"preview   = {_text(target.preview)}", f"shows the candidate{made * isinstance(app.preview, str)}")
    slots = ", ".join(map(_text, target.slots))
    yield _line(f"slots     = [{slots}]", f"take turns{made * isinstance(app.idle, Sibling)}")
    if target.container is not None:
        yield _line(f"container = {_text(target.container)}", "gets the new image")
    yield from _who(app.name, (production_link(app, objects), preview_link(app, objects)), people)


def _on_argo_rollouts(app: Rolled, objects: Objects, people: People, place: Place | None) -> Iterator[str]:
    """Only what the Rollout does not say."""
    target, services = app.app.argo, app.rollout.services
    yield f"[apps.{app.name}]"
    yield from comment(
        f"Rollout {target.rollout} switches {' and '.join(f'Service {each}' for each in services)}. Nothing has to be "
        "made for it; containers, pods and addresses are read from it as well."
    )
    yield from bullets(f"No release before this is mended: {why.wrong}; {why.fix}" for why in app.wrong)
    if place is not None:
        yield f"cluster   = {_text(place.name)}"
    yield _line(f"rollout   = {_text(target.rollout)}", "with the blueGreen strategy")
    yield _line(f"namespace = {_text(app.namespace)}", "unless set, the one that Greenlight's credentials mean")
    yield _line(f"channel   = {people.channel}", "its cards go here; in this channel /deploy needs no app")
    yield _line("# image     = …", "unless set, `/deploy image:green` is of the repository of what is live")
    if target.container is not None:
        yield _line(f"container = {_text(target.container)}", "gets the new image")
    links = [link(each, objects) for each in services]
    yield from _who(app.name, (links[0], links[1] if len(links) > 1 else None), people)


def _who(app: str, links: tuple[str | None, str | None], people: People) -> Iterator[str]:
    """What only people know, and where the card's buttons lead: `links` are production and preview."""
    yield _line(f"deployers = {_ids(people.deployers)}", "roles that may /deploy")
    yield _line("# rollbackers = [0]", "roles that may roll back; unless set, the deployers and who may approve")
    production, preview = links
    for called, address in (("Production", production), ("Preview", preview)):
        if address is not None:
            yield from comment(f"{called} button: {address}, read from the cluster.")
    if production is None or preview is None:
        yield '# links     = { production = "https://…", preview = "https://…" }'
    yield ""
    yield f"[apps.{app}.approval]"
    yield from comment("Every line has to be met, and one person counts for at most one of them.")
    yield "require = ["
    for role in people.approvers or (_UNKNOWN,):
        yield f"  {{ roles = [{role}], count = 1 }},"
    yield "]"


def _what_it_is(app: Found) -> str:
    live, idle = app.live, app.idle
    pods = f"{live.replicas} {'pod' if live.replicas == 1 else 'pods'}"
    first = f"Service {app.service.name} leads to Deployment {live.name} ({pods} of {app.image.short})."
    if isinstance(idle, Deployment):
        return f"{first} {idle.name} is its other slot."
    return (
        f"{first} It is live today and stays as it is. {idle.name}, a copy of it without pods, becomes its other slot: "
        "the two take turns, each release goes live in the one that is idle, so their names say nothing about which "
        "is live."
    )


def _registries(found: Survey) -> Iterator[str]:
    """A registry with a port of its own is often one without TLS; the cluster does not tell."""
    hosts = [app.image.registry for app in found.apps]
    hosts += [app.container.registry for app in found.rolled if app.container is not None]
    for host in dict.fromkeys(hosts):
        if ":" in host.rpartition("]")[2]:
            yield ""
            yield from comment(f"If {host} speaks plain HTTP, without TLS:")
            yield f'# [registries."{parse(f"{host}/image").registry}"]'
            yield "# insecure = true"


def _line(setting: str, why: str) -> str:
    return f"{setting:<43} # {visible(why)}"


def _text(value: str) -> str:
    # Names and repositories are plain ASCII, where JSON's strings are TOML's; a context may be called anything.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _ids(roles: Iterable[int]) -> str:
    return f"[{', '.join(map(str, roles)) or _UNKNOWN}]"
