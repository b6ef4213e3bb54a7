"""What a namespace is taken for: which Deployment is live, what else is there, and what is left out, with why."""

import re
from dataclasses import replace

import pytest
from namespaces import IMAGE, NAMESPACE, changed, deployment, ingress, looked, pod_of, refused, rollout, service

from bot.setup.objects import Deployment, Pod, Service, seen
from bot.setup.sibling import SLOT, Sibling
from bot.setup.survey import survey

BLUE = {"app": "mochi", "color": "blue"}
GREEN = {"app": "mochi", "color": "green"}


async def test_one_deployment_behind_one_service_is_an_app():
    outcome = await looked(deployment(), service())
    app = outcome.app
    assert (app.name, app.service.name, app.live.name, app.image.name) == (
        "mochi",
        "mochi",
        "mochi",
        "registry.example.com/mochi",
    )
    assert (app.idle.name, app.preview) == ("mochi-b", "mochi-preview")
    assert outcome.found.left_out == ()


async def test_two_slots_and_two_services_that_are_there_are_found():
    outcome = await looked(
        deployment("mochi-blue", **BLUE),
        deployment("mochi-green", replicas=0, **GREEN),
        service(),
        service("mochi-preview", **GREEN),
    )
    app = outcome.app
    assert (app.live.name, app.idle.name, app.preview_name) == ("mochi-blue", "mochi-green", "mochi-preview")
    assert isinstance(app.idle, Deployment)
    assert isinstance(app.preview, Service)
    assert outcome.found.left_out == ()


async def test_which_slot_is_live_is_read_from_the_pods_and_not_from_a_name():
    outcome = await looked(
        deployment("mochi-blue", replicas=0, **BLUE),
        deployment("mochi-green", **GREEN),
        service(),
        service("mochi-preview", **GREEN),
    )
    assert (outcome.app.live.name, outcome.app.idle.name) == ("mochi-green", "mochi-blue")


async def test_a_second_slot_with_pods_of_its_own_is_the_idle_one_when_the_service_does_not_lead_there():
    outcome = await looked(
        deployment("mochi-blue", **BLUE),
        deployment("mochi-green", **GREEN),
        service(**BLUE),
        service("next", **GREEN),
        ingress("mochi"),
    )
    app = outcome.app
    assert (app.live.name, app.idle.name, app.preview_name) == ("mochi-blue", "mochi-green", "next")
    assert outcome.found.left_out == ()


async def test_what_init_made_is_found_again_whichever_slot_is_live():
    """After the first release the Services select its label, and `mochi`, where it began, is the idle one."""
    label = {"greenlight.dev/release": "mochi-1-k3f9q2"}
    slot = {"app": "mochi", SLOT: "b"}
    released = changed(
        deployment("mochi-b", match=slot, **slot),
        lambda item: item["spec"]["template"]["metadata"]["labels"].update(label),
    )
    selector = {"app": "mochi", **label}
    outcome = await looked(deployment(replicas=0), released, service(**selector), service("mochi-preview", **selector))
    app = outcome.app
    assert (app.live.name, app.idle.name, app.preview_name) == ("mochi-b", "mochi", "mochi-preview")
    assert not {"Service", "Deployment"} & {item["kind"] for item in outcome.printed}


async def test_a_worker_with_the_same_image_is_no_slot():
    """It would be given another image, and another number of pods."""
    outcome = await looked(
        deployment("web", app="mochi", part="web"),
        deployment("worker", replicas=0, app="mochi", part="worker"),
        service(app="mochi", part="web"),
    )
    assert isinstance(outcome.app.idle, Sibling)
    assert outcome.found.left_out == (
        "Deployment worker: no Service selects its pods, so there is no traffic to switch.",
    )


async def test_a_worker_that_the_service_would_let_in_is_no_slot_either():
    """Many charts give all Deployments the same labels; one that is scaled by a queue has no pods at night."""

    def works(item):
        item["spec"]["template"]["spec"]["containers"][0] |= {"args": ["work"], "ports": []}

    worker = changed(deployment("worker", replicas=0, app="mochi", part="worker"), works)
    outcome = await looked(deployment(), worker, service())
    assert isinstance(outcome.app.idle, Sibling)


async def test_a_second_deployment_without_pods_that_does_the_same_is_the_slot():
    outcome = await looked(
        deployment("one", app="mochi", slot="1"), deployment("two", replicas=0, app="mochi", slot="2"), service()
    )
    assert (outcome.app.live.name, outcome.app.idle.name) == ("one", "two")


async def test_two_that_could_both_be_the_slot_are_not_guessed_between():
    outcome = await looked(
        deployment("one", app="mochi", slot="1"),
        deployment("two", replicas=0, app="mochi", slot="2"),
        deployment("old", replicas=0, app="mochi", slot="0"),
        service(),
    )
    assert refused(outcome)[0] == "Deployment one: old and two could both be its other slot: delete or rename one."


async def test_where_no_pod_runs_the_slot_that_is_meant_to_have_some_is_live():
    outcome = await looked(deployment("mochi-blue", replicas=0, **BLUE), deployment("mochi-green", **GREEN), service())
    [app] = survey(NAMESPACE, replace(outcome.objects, pods=())).apps
    assert app.live.name == "mochi-green"


@pytest.mark.parametrize("replicas", [1, 0])
async def test_a_preview_environment_of_somebody_else_is_not_taken_over(replicas):
    next_version = deployment("mochi-preview", replicas=replicas, app="next")
    outcome = await looked(deployment(), next_version, service(), service("mochi-preview", app="next"))
    mochi = next(app for app in outcome.found.apps if app.name == "mochi")
    assert mochi.preview == "mochi-preview-2"


async def test_a_name_that_is_taken_is_not_used_for_the_second_slot():
    outcome = await looked(deployment(), deployment("mochi-b", app="other"), service(), service("other", app="other"))
    mochi = next(app for app in outcome.found.apps if app.name == "mochi")
    assert mochi.idle.name == "mochi-c"
    assert mochi.idle.labels[SLOT] == "c"


async def test_of_several_services_the_one_that_the_world_uses_is_production():
    """The others are told: they would send traffic to candidates."""
    outcome = await looked(
        deployment(),
        service("a", spec={"clusterIP": "None"}),
        service("b"),
        service("public"),
        ingress("public"),
        pod_of("StatefulSet", "database", app="database"),
    )
    app = outcome.app
    assert app.service.name == "public"
    assert [other.name for other in app.others] == ["b", "a"]
    assert "Service b selects these pods too, and Greenlight does not switch it" in outcome.comments


async def test_a_job_that_has_ended_counts_for_nothing():
    """Its pods often have the app's labels, and never take traffic again."""
    outcome = await looked(deployment(), service())
    ended, _ = seen(Pod, [pod_of("Job", "migrate") | {"status": {"phase": "Succeeded"}}])
    [app] = survey(NAMESPACE, replace(outcome.objects, pods=outcome.objects.pods + ended)).apps
    assert app.live.name == "mochi"


async def test_every_app_of_a_namespace_gets_its_table():
    outcome = await looked(
        deployment("web", app="web"), service("web", app="web"), deployment("api", app="api"), service("api", app="api")
    )
    assert [app.name for app in outcome.found.apps] == ["api", "web"]


async def test_apps_with_names_that_are_long_and_alike_share_nothing():
    names = [f"{'a' * 61}{end}" for end in "xy"]
    items = [item for name in names for item in (deployment(name, app=name), service(name, app=name))]
    outcome = await looked(*items)
    first, second = outcome.found.apps
    assert {first.name, first.idle.name, first.preview}.isdisjoint({second.name, second.idle.name, second.preview})


async def test_a_team_that_is_called_blue_keeps_its_name():
    """Only a Deployment that is called by its colour has one."""
    outcome = await looked(deployment(app="mochi", team="blue"), service())
    assert outcome.app.idle.labels == {"app": "mochi", "team": "blue", SLOT: "b"}


async def test_a_long_name_leads_to_names_that_kubernetes_and_discord_take():
    long = "a" * 60 + "-b"
    outcome = await looked(deployment(long), service(long))
    app = outcome.app
    assert len(app.name) <= 32
    assert len(app.preview_name) <= 63
    assert app.idle.name != long
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", app.preview_name)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], ()),
        (
            [deployment()],
            ("Deployment mochi: no Service selects its pods, so there is no traffic to switch.",),
        ),
        (
            [service()],
            ("Service mochi leads to no pods, and no Deployment makes any.",),
        ),
        (
            [service(spec={"selector": {}})],
            ("Service mochi has no selector, so there is nothing to switch: give it the labels of the app's pods.",),
        ),
        (
            [deployment(), service(app="mochi", color="")],
            (
                "Service mochi selects color with an empty value: give it a value or remove it.",
                "Deployment mochi: no Service selects its pods, so there is no traffic to switch.",
            ),
        ),
        (
            [service(spec={"type": "ExternalName", "externalName": "db.example.com"})],
            ("Service mochi is of type ExternalName: it leads out of the cluster, and there is nothing to switch.",),
        ),
        (
            [pod_of("StatefulSet", "database"), service()],
            ("Service mochi leads to StatefulSet database: Greenlight releases Deployments and Rollouts.",),
        ),
        (
            [
                service(**{"app": "mochi", "rollouts-pod-template-hash": "6f9"}),
            ],
            ("Service mochi is switched by a Rollout that is not seen here.",),
        ),
        (
            [pod_of("ReplicaSet", "mochi-6f9", **{"app": "mochi", "rollouts-pod-template-hash": "6f9"}), service()],
            ("Service mochi leads to Rollout mochi, which is not seen here.",),
        ),
        (
            [deployment(), pod_of("Job", "migrate"), service()],
            (
                "Service mochi leads to Job migrate beside a Deployment's pods: give those other labels.",
                "Deployment mochi: no Service selects its pods, so there is no traffic to switch.",
            ),
        ),
        (
            [deployment("mochi-blue", **BLUE), deployment("mochi-green", **GREEN), service()],
            ("Service mochi leads to Deployment mochi-blue and Deployment mochi-green, so it cannot be said ",),
        ),
        (
            [deployment("a", **BLUE), deployment("b", **GREEN), service()],
            ("Service mochi leads to Deployment a and Deployment b, so it cannot be said which is live: give each ",),
        ),
        (
            [deployment(image="Registry.example.com/Mochi:1"), service()],
            ("Deployment mochi: `Registry.example.com/Mochi:1` is not an image. ",),
        ),
        (
            [deployment(**{"app": "mochi", "greenlight.dev/release": "x"}), service()],
            ("Deployment mochi has greenlight.dev/release in spec.selector, where it can never change: ",),
        ),
    ],
    ids=[
        "empty",
        "no Service",
        "no pods",
        "no selector",
        "empty value",
        "ExternalName",
        "StatefulSet",
        "Service of a Rollout",
        "Rollout",
        "Job",
        "both slots",
        "two Deployments",
        "image",
        "label in selector",
    ],
)
async def test_what_cannot_be_released_is_left_out_with_the_reason(items, said):
    left_out = refused(await looked(*items))
    assert len(left_out) == len(said)
    assert [sentence.startswith(start) for sentence, start in zip(left_out, said, strict=True)] == [True] * len(said), (
        left_out
    )


async def test_images_by_digest_and_without_a_tag_are_repositories_all_the_same():
    by_digest = await looked(deployment(image=f"{IMAGE}@sha256:{'0' * 64}"), service())
    assert by_digest.table["image"] == "registry.example.com/mochi"
    untagged = await looked(deployment(image="mochi"), service())
    assert untagged.table["image"] == "docker.io/library/mochi"
    assert "whatever `latest` was when its pods started" in untagged.comments


async def test_of_several_containers_the_one_that_the_service_leads_to_gets_the_image():
    def with_sidecars(item):
        containers = item["spec"]["template"]["spec"]["containers"]
        containers.insert(0, {"name": "proxy", "image": "proxy:1", "ports": [{"name": "admin", "containerPort": 9901}]})
        containers.append({"name": "cron", "image": IMAGE})
        item["spec"]["template"]["spec"]["initContainers"] = [{"name": "migrate", "image": IMAGE}]

    outcome = await looked(changed(deployment(), with_sidecars), service())
    assert outcome.table["container"] == "web"
    assert "several containers (proxy, web, cron): a release changes web" in outcome.comments
    assert "Container cron runs an image of the same repository, which a release does not change." in outcome.comments
    assert "Init container migrate runs an image of the same repository" in outcome.comments


async def test_a_port_by_number_tells_the_container_too():
    def with_proxy(item):
        proxy = {"name": "proxy", "image": "proxy:1", "ports": [{"containerPort": 8443}]}
        item["spec"]["template"]["spec"]["containers"].append(proxy)

    by_number = service(spec={"ports": [{"port": 443, "targetPort": 8443}]})
    outcome = await looked(changed(deployment(), with_proxy), by_number)
    assert outcome.table["container"] == "proxy"


# On Argo Rollouts -----------------------------------------------------------------------------------------------------


async def test_a_rollout_is_an_app_for_which_nothing_has_to_be_made():
    outcome = await looked(rollout(), service(), service("mochi-preview"), ingress())
    [app] = outcome.found.rolled
    assert (outcome.found.apps, outcome.found.left_out, app.wrong) == ((), (), ())
    assert {**outcome.table, "approval": None} == {
        "rollout": "mochi",
        "namespace": NAMESPACE,
        "channel": 12,
        "deployers": [13],
        "approval": None,
    }
    assert {each["kind"] for each in outcome.printed} == {"Namespace", "ServiceAccount", "Role", "RoleBinding"}
    assert "Production button: http://mochi.example.com/" in outcome.comments


async def test_a_rollout_and_two_deployments_in_one_namespace_are_two_apps():
    other = [deployment("web", app="web"), service("web", app="web")]
    outcome = await looked(*other, rollout(), service(), service("mochi-preview"))
    assert [app.name for app in outcome.found.apps] == ["web"]
    assert [app.name for app in outcome.found.rolled] == ["mochi"]
    assert outcome.found.left_out == ()


async def test_a_rollout_whose_template_is_in_a_deployment_is_one_app_with_it():
    """The Deployment has no pods of its own, and is no app."""
    held = {"template": None, "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mochi"}}
    outcome = await looked(
        deployment(replicas=0), rollout("canele", spec=held), service("canele"), service("canele-preview")
    )
    [app] = outcome.found.rolled
    assert (outcome.found.apps, outcome.found.left_out, app.wrong) == ((), (), ())
    [role] = outcome.made("Role")
    assert {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "resourceNames": ["mochi"],
        "verbs": ["get", "patch"],
    } in (role["rules"])


async def test_of_several_containers_of_a_rollout_the_one_that_its_service_leads_to_gets_the_image():
    def with_proxy(item):
        proxy = {"name": "proxy", "image": "proxy:1", "ports": [{"containerPort": 8443}]}
        item["spec"]["template"]["spec"]["containers"].insert(0, proxy)

    outcome = await looked(changed(rollout(), with_proxy), service(), service("mochi-preview"))
    assert outcome.table["container"] == "web"
    assert outcome.found.rolled[0].wrong == ()


async def test_what_has_to_be_mended_first_stands_in_the_file():
    outcome = await looked(rollout(autoPromotionEnabled=True), service())
    [app] = outcome.found.rolled
    assert len(app.wrong) == 2
    assert "No release before this is mended: Rollout mochi promotes by itself whatever is ready" in outcome.comments
    assert "No release before this is mended: Service mochi-preview, the previewService of" in outcome.comments


async def test_a_canary_is_left_out_and_so_are_services_beside_those_of_a_rollout():
    canary = rollout("canary", spec={"strategy": {"canary": {}}})
    outcome = await looked(rollout(), canary, service(), service("mochi-preview"), service("more"))
    assert [app.name for app in outcome.found.rolled] == ["mochi"]
    assert outcome.found.left_out == (
        "Service more leads to Rollout mochi, which switches Services of its own.",
        "Rollout canary is not blueGreen: Greenlight drives Rollouts with that strategy.",
    )


async def test_rollouts_with_names_that_are_long_and_alike_are_apps_with_names_of_their_own():
    names = [f"{'a' * 40}.{end}" for end in "xy"]
    outcome = await looked(*(rollout(name, activeService="x", previewService="y") for name in names))
    first, second = (app.name for app in outcome.found.rolled)
    assert first != second
    assert all(re.fullmatch(r"[a-z0-9-]{1,32}", name) for name in (first, second))
