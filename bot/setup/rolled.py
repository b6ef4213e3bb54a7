"""The apps on Argo Rollouts of a namespace: nothing has to be made for them, since a Rollout has it all. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from bot.clusters.api import ROLLOUT
from bot.clusters.argo import discovery
from bot.clusters.errors import Malformed, Unfit
from bot.clusters.rights import Behind
from bot.clusters.shape import sound
from bot.release.app import App, Approval, Argo
from bot.setup.behind import led_to
from bot.setup.names import free_app_name
from bot.setup.objects import Container, Deployment, Objects, Rollout


@dataclass(frozen=True)
class Rolled:
    name: str
    namespace: str
    rollout: Rollout
    held_by: Deployment | None = None
    """Whichever has the pod template, if it is not the Rollout."""
    container: Container | None = None
    """The one that gets new images; None where there is no pod template."""
    wrong: tuple[Unfit, ...] = ()
    """What has to be mended before it can be released."""

    @property
    def app(self) -> App:
        """Without what only people know, and without what is read from the Rollout."""
        several = len(_containers(self.rollout, self.held_by)) > 1
        target = Argo(self.rollout.name, self.container.name if several and self.container else None)
        return App(self.name, self.namespace, 0, "", target, frozenset(), Approval(()))

    @property
    def behind(self) -> Behind:
        return Behind(self.rollout.services, self.rollout.workload)


def on_argo_rollouts(
    namespace: str, objects: Objects, taken: Collection[str]
) -> tuple[tuple[Rolled, ...], tuple[str, ...]]:
    """Those that are blueGreen, and a sentence for each that is not taken for an app. `taken` are names of apps."""
    found: list[Rolled] = []
    left_out: list[str] = []
    for rollout in objects.rollouts:
        if not rollout.services:
            left_out.append(f"Rollout {rollout.name} is not blueGreen: Greenlight drives Rollouts with that strategy.")
            continue
        try:
            sound(ROLLOUT, rollout.raw)
        except Malformed as why:
            left_out.append(str(why))
            continue
        found.append(_rolled(namespace, rollout, objects, {*taken, *(each.name for each in found)}))
    return tuple(found), tuple(left_out)


def _rolled(namespace: str, rollout: Rollout, objects: Objects, taken: Collection[str]) -> Rolled:
    services = {each.name: each for each in objects.services}
    held_by = next((each for each in objects.deployments if each.name == rollout.workload), None)
    containers, active = _containers(rollout, held_by), services.get(rollout.services[0])
    container = led_to(active, containers) if containers and active else next(iter(containers), None)
    bare = Rolled(free_app_name(rollout.name, taken), namespace, rollout, held_by, container)
    around = discovery.Found(
        rollout.raw,
        [each.raw for each in objects.rollouts],
        [services[each].raw for each in rollout.services if each in services],
        objects.ingresses,
        held_by.raw if held_by else None,
    )
    return replace(bare, wrong=tuple(discovery.wrongs(bare.app, around)))


def _containers(rollout: Rollout, held_by: Deployment | None) -> list[Container]:
    template = held_by.spec.template if held_by else rollout.spec.template
    return template.spec.containers if template else []
