"""What a person should know of an app before it is released the first time. Pure.

Nothing here keeps an app from being released. Each is a sentence for a comment: what Greenlight will not do by itself,
and what a team that has had one Deployment so far may not think of.
"""

from collections.abc import Iterator, Mapping

from bot.clusters.reading import matches
from bot.release.errors import Refused
from bot.release.image import Image, parse
from bot.setup.objects import Container, Deployment, Objects
from bot.setup.survey import Found, preview_link, production_link

_KEEPERS: Mapping[str, str] = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
}


def notes(app: Found, objects: Objects) -> Iterator[str]:
    yield from _addresses(app, objects)
    yield from _of_service(app)
    yield from _of_pods(app)
    yield from _of_what_counts_pods(app, objects)
    yield from _of_what_keeps_it(app)


def _addresses(app: Found, objects: Objects) -> Iterator[str]:
    link = production_link(app, objects)
    if link is None:
        yield "No Ingress or HTTPRoute leads to it, so the card has no Production button: set `links` for one."
    if preview_link(app, objects) is None:
        yield (
            f"No Ingress or HTTPRoute leads to Service {app.preview_name}, so the card has no Preview button: make one "
            "like that of production, under another host, or set `links`."
        )


def _of_service(app: Found) -> Iterator[str]:
    for other in app.others:
        yield (
            f"Service {other.name} selects these pods too, and Greenlight does not switch it: pods of both slots get "
            "its traffic as soon as they are ready, candidates as well. Move what uses it to "
            f"{app.service.name}, or give it a selector of its own."
        )
    if app.service.is_headless:
        yield (
            f"Service {app.service.name} is headless: who has asked for its pods' addresses once goes on using them "
            "after a switch."
        )


def _of_pods(app: Found) -> Iterator[str]:
    several = [each.name for each in app.live.pod.containers]
    if len(several) > 1:
        yield (
            f"Its pods have several containers ({', '.join(several)}): a release changes {app.container.name}, to "
            "which the Service leads, and leaves the others as they are."
        )
    for kind, each in _also_of(app.image, app):
        yield f"{kind} {each.name} runs an image of the same repository, which a release does not change."
    if not app.image.pinned and app.image.tag in {None, "latest"}:
        yield f"It runs {app.image.name} at whatever `latest` was when its pods started; releases run digests."
    if app.container.readiness_probe is None:
        yield (
            f"Container {app.container.name} has no readinessProbe: its pods count as ready as soon as they run, and "
            "get the traffic before they can answer. Give it one before the first release."
        )
    if app.live.pod.image_pull_secrets:
        yield (
            "Its images are pulled with imagePullSecrets: Greenlight asks the registry for digests with a login of its "
            "own, from DOCKER_CONFIG."
        )
    apart = bool(app.live.pod.affinity.pod_anti_affinity.required)
    if apart or any(port.host_port for each in app.live.pod.containers for port in each.ports):
        why = "required podAntiAffinity" if apart else "a hostPort"
        yield f"Its pods keep each other off a node ({why}): a candidate waits until there are further nodes for it."
    if any("persistentVolumeClaim" in volume for volume in app.live.pod.volumes):
        yield "Its pods mount a PersistentVolumeClaim: during a release both versions have it open at once."


def _also_of(image: Image, app: Found) -> Iterator[tuple[str, Container]]:
    groups = (("Container", app.live.pod.containers), ("Init container", app.live.pod.init_containers))
    for kind, containers in groups:
        for each in containers:
            if each is not app.container and _repository(each) == image.name:
                yield kind, each


def _repository(container: Container) -> str:
    try:
        return parse(container.image).name
    except Refused:
        return ""


def _of_what_counts_pods(app: Found, objects: Objects) -> Iterator[str]:
    live, overlaps = app.live, matches(app.live.match_labels, app.idle.labels)
    if overlaps:
        yield (
            f"The selector of Deployment {live.name}, which can never be changed, matches the pods of "
            f"{app.idle.name} too. Each keeps to its own pods all the same, but `kubectl logs deployment/{live.name}` "
            f"shows both, and `kubectl delete deployment {app.idle.name} --cascade=orphan` would hand pods over."
        )
    for each in objects.autoscalers:
        target = each.spec.scale_target_ref
        if (target.kind, target.name) != ("Deployment", live.name):
            continue
        if overlaps:
            yield (
                f"HorizontalPodAutoscaler {each.name} counts the pods of both slots, since the selector matches both, "
                f"and scales only {live.name}. Do not make a second one for {app.idle.name}: Kubernetes stops both "
                "when their pods overlap (AmbiguousSelector). While the other slot is live, its number of pods stays "
                f"the one that {live.name} had at the release."
            )
        elif not any(other.spec.scale_target_ref.name == app.idle.name for other in objects.autoscalers):
            yield (
                f"HorizontalPodAutoscaler {each.name} scales {live.name}: make one for {app.idle.name} too, since that "
                "is live after the next release. It rests while its Deployment has no pods."
            )
    for budget in objects.budgets:
        wanted = budget.spec.selector.match_labels
        if matches(wanted, live.labels) and not matches(wanted, app.idle.labels):
            yield f"PodDisruptionBudget {budget.name} keeps {live.name}: make one for {app.idle.name} too."
        elif matches(wanted, live.labels):
            yield f"PodDisruptionBudget {budget.name} counts the pods of both slots, candidates as well."


def _of_what_keeps_it(app: Found) -> Iterator[str]:
    for key, keeper in _KEEPERS.items():
        if any(key in held for held in _marks(app.live)):
            yield (
                f"Deployment {app.live.name} is kept by {keeper}: an image that is written there is put back by it. "
                "Greenlight notices, and leaves the release alone."
            )
            return


def _marks(deployment: Deployment) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return deployment.metadata.annotations, deployment.metadata.labels
