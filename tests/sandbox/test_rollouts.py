"""A blueGreen Rollout from its first deploy to a promoted update, as Argo's own controller goes about it."""

from collections.abc import AsyncIterator

import pytest

from mochi import ACTIVE, PREVIEW
from mochi_rollout import ROLLOUT, mochi_rollout, template
from rollout_cluster import DEADLINE, HASH, NAMESPACE, REVISION, RolloutCluster, image, rollout_cluster


@pytest.fixture
async def argo() -> AsyncIterator[RolloutCluster]:
    async with rollout_cluster() as made:
        yield made


async def test_the_first_deploy_goes_live_without_a_pause(argo):
    assert await argo.phase() == ("Healthy", "")
    assert (await argo.selected(), await argo.previewed(), await argo.stable()) == ("blue", "blue", "blue")
    assert not [state for state in argo.past() if (state.get("status") or {}).get("pauseConditions")]
    assert await argo.ready_addresses() == 2


async def test_the_first_set_is_stable_before_any_of_its_pods_is_ready():
    async with rollout_cluster(image=image("slow")) as argo:
        assert (await argo.stable(), await argo.selected()) == ("slow", None)
        argo.cluster.advance(20)
        assert (await argo.selected(), (await argo.phase())[0]) == ("slow", "Healthy")


async def test_a_crashing_first_image_and_a_good_second_one_need_no_pause_either():
    async with rollout_cluster(image=image("crash")) as argo:
        assert (await argo.phase())[0] == "Progressing"
        await argo.set_image("blue")
        assert (await argo.selected(), await argo.phase()) == ("blue", ("Healthy", ""))


async def test_a_new_image_is_previewed_and_waits_for_a_person(argo):
    await argo.set_image("green")
    status = await argo.status()
    assert (status["phase"], status["message"], await argo.pauses()) == ("Paused", "BlueGreenPause", ["BlueGreenPause"])
    assert status["controllerPause"] is True
    assert status["pauseConditions"] == [{"reason": "BlueGreenPause", "startTime": "2026-01-05T09:00:00Z"}]
    assert (await argo.selected(), await argo.previewed()) == ("blue", "green")
    assert (await argo.current(), await argo.stable()) == ("green", "blue")
    assert status["blueGreen"] == {
        "activeSelector": await argo.hash_of("blue"),
        "previewSelector": await argo.hash_of("green"),
    }
    assert (await argo.condition("Paused"), await argo.condition("Completed")) == (
        ("True", "RolloutPaused"),
        ("False", "RolloutCompleted"),
    )
    assert await argo.condition("Progressing") == ("Unknown", "RolloutPaused")
    assert (await argo.replicas("blue"), await argo.replicas("green")) == (2, 2)


async def test_whoever_takes_the_pause_away_promotes(argo):
    await argo.set_image("green")
    await argo.promote()
    status = await argo.status()
    assert (await argo.selected(), await argo.stable(), status["phase"]) == ("green", "green", "Healthy")
    assert "controllerPause" not in status
    assert "pauseConditions" not in status
    assert await argo.condition("Healthy") == ("True", "RolloutHealthy")
    assert await argo.condition("Progressing") == ("True", "NewReplicaSetAvailable")


async def test_the_old_set_stays_warm_until_its_deadline(argo):
    await argo.set_image("green")
    await argo.promote()
    assert (await argo.deadline("blue"), await argo.replicas("blue")) == ("2026-01-05T09:00:30Z", 2)
    argo.cluster.advance(29)
    assert await argo.replicas("blue") == 2
    argo.cluster.advance(1)
    assert (await argo.deadline("blue"), await argo.replicas("blue")) == (None, 0)
    assert await argo.phase() == ("Healthy", "")


async def test_the_deadline_is_written_after_the_cut_over(argo):
    """Whoever rolls back in the very moment of the cut-over finds no deadline yet."""
    await argo.set_image("green")
    since = argo.cluster.objects.version
    await argo.promote()
    blue = f"{ROLLOUT}-{await argo.hash_of('blue')}"
    (cut_over,) = argo.past("services", ACTIVE, since)
    (marked,) = argo.past("replicasets", blue, since)
    assert DEADLINE in marked["metadata"]["annotations"]
    assert int(cut_over["metadata"]["resourceVersion"]) < int(marked["metadata"]["resourceVersion"])


async def test_the_delay_can_be_chosen_and_zero_means_for_ever():
    async with rollout_cluster(blue_green={"scaleDownDelaySeconds": 120}) as argo:
        await argo.set_image("green")
        await argo.promote()
        argo.cluster.advance(119)
        assert await argo.replicas("blue") == 2
        argo.cluster.advance(1)
        assert await argo.replicas("blue") == 0
    async with rollout_cluster(blue_green={"scaleDownDelaySeconds": 0}) as argo:
        await argo.set_image("green")
        await argo.promote()
        argo.cluster.advance(3600)
        assert (await argo.replicas("blue"), await argo.deadline("blue")) == (2, None)
        await argo.set_image("blue")
        assert await argo.pauses() == ["BlueGreenPause"]  # without a deadline there is no fast way back


async def test_a_set_that_still_has_a_deadline_is_gone_back_to_without_a_pause(argo):
    """The instant rollback."""
    await argo.set_image("green")
    await argo.promote()
    argo.cluster.advance(20)
    since = argo.cluster.objects.version
    await argo.set_image("blue")
    assert (await argo.selected(), await argo.phase()) == ("blue", ("Healthy", ""))
    assert not [state for state in argo.past(since=since) if state["status"].get("pauseConditions")]
    assert (await argo.deadline("blue"), await argo.deadline("green")) == (None, "2026-01-05T09:00:50Z")


async def test_after_its_deadline_the_same_set_is_previewed_again(argo):
    await argo.set_image("green")
    await argo.promote()
    blue = await argo.hash_of("blue")
    argo.cluster.advance(31)
    await argo.set_image("blue")
    assert (await argo.selected(), await argo.previewed(), await argo.pauses()) == ("green", "blue", ["BlueGreenPause"])
    assert await argo.hash_of("blue") == blue


async def test_a_middle_version_that_was_never_live_goes_live_at_once_when_it_comes_back(argo):
    """v2 paused, v3 paused, v2 again: a promote that nobody asked for, hidden in an image."""
    await argo.set_image("green")
    await argo.set_image("purple")
    assert (await argo.pauses(), await argo.deadline("green")) == (["BlueGreenPause"], "2026-01-05T09:00:30Z")
    await argo.set_image("green")
    assert (await argo.selected(), await argo.stable(), await argo.pauses()) == ("green", "green", [])


async def test_a_template_that_comes_back_in_the_pause_needs_no_switch(argo):
    blue = (await argo.rollout())["spec"]["template"]
    await argo.set_image("green")
    since = argo.cluster.objects.version
    await argo.write_template(blue)
    assert (await argo.phase(), await argo.previewed()) == (("Healthy", ""), "blue")
    assert argo.past("services", ACTIVE, since) == []


async def test_revisions_count_up_also_when_a_set_is_used_again(argo):
    await argo.set_image("green")
    await argo.promote()
    await argo.set_image("blue")
    annotations = (await argo.sets())["blue"]["metadata"]["annotations"]
    assert (annotations[REVISION], annotations["rollout.argoproj.io/revision-history"]) == ("3", "1")
    assert (await argo.rollout())["metadata"]["annotations"][REVISION] == "3"


async def test_a_set_is_marked_as_argo_marks_it(argo):
    item = (await argo.sets())["blue"]
    metadata, rollout = item["metadata"], await argo.rollout()
    hash_ = metadata["labels"][HASH]
    assert metadata["name"] == f"{ROLLOUT}-{hash_}"
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "name": ROLLOUT,
            "uid": rollout["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert item["spec"]["selector"] == {"matchLabels": {"app": "mochi", HASH: hash_}}
    assert item["spec"]["template"]["metadata"]["labels"] == {"app": "mochi", HASH: hash_}
    assert metadata["annotations"]["rollout.argoproj.io/desired-replicas"] == "2"
    assert {entry["manager"] for entry in metadata["managedFields"]} == {
        "rollouts-controller",
        "kube-controller-manager",
    }


async def test_annotations_of_the_rollout_are_inherited_by_its_newest_set(argo):
    await argo.done("rollouts", ROLLOUT, {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "x"}}})
    assert (await argo.sets())["blue"]["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] == "x"


async def test_the_services_say_who_manages_them(argo):
    for name in (ACTIVE, PREVIEW):
        found = await argo.get("services", name)
        assert found["metadata"]["annotations"]["argo-rollouts.argoproj.io/managed-by-rollouts"] == ROLLOUT
        assert "rollouts-controller" in {entry["manager"] for entry in found["metadata"]["managedFields"]}


async def test_a_hand_written_template_is_two_generations_and_an_image_one(argo):
    """The controller writes its defaults down once, and that is a change of the spec too."""
    before = (await argo.rollout())["metadata"]["generation"]
    await argo.write_template(template(image("green")))
    after = await argo.rollout()
    assert after["metadata"]["generation"] == before + 2
    (container,) = after["spec"]["template"]["spec"]["containers"]
    assert (container["resources"], container["ports"][0]["protocol"]) == ({}, "TCP")
    await argo.set_image("purple")
    assert (await argo.rollout())["metadata"]["generation"] == before + 3
    assert (await argo.status())["observedGeneration"] == str(before + 3)


async def test_the_hash_does_not_depend_on_who_wrote_the_defaults_down(argo):
    await argo.set_image("green")
    await argo.write_template(template(image("green")))
    assert len(await argo.listed("replicasets")) == 2
    assert await argo.pauses() == ["BlueGreenPause"]


async def test_a_set_is_found_by_its_whole_template_when_the_hash_is_another(argo):
    """`kubectl argo rollouts undo` writes back the template of the ReplicaSet, with all that the API server added."""
    await argo.set_image("green")
    await argo.promote()
    stored = (await argo.sets())["blue"]["spec"]["template"]
    del stored["metadata"]["labels"][HASH]
    await argo.write_template(stored)
    assert (await argo.selected(), len(await argo.listed("replicasets"))) == ("blue", 2)


async def test_only_the_wanted_number_of_old_sets_is_kept():
    async with rollout_cluster(revisionHistoryLimit=1) as argo:
        for tag in ("green", "purple", "evil"):
            await argo.set_image(tag)
            await argo.promote()
            argo.cluster.advance(31)
        assert set(await argo.sets()) == {"purple", "evil"}


async def test_replicas_that_change_in_the_pause_resize_both_sets_and_keep_the_pause(argo):
    await argo.set_image("green")
    await argo.set_spec(replicas=3)
    assert (await argo.replicas("blue"), await argo.replicas("green")) == (3, 3)
    assert (await argo.pauses(), await argo.selected(), await argo.ready_addresses()) == (
        ["BlueGreenPause"],
        "blue",
        3,
    )


async def test_replicas_can_be_changed_through_the_scale_subresource_as_autoscalers_do(argo):
    scale = (await argo.call("GET", argo.path("rollouts", f"{ROLLOUT}/scale"))).body
    assert (scale["spec"], scale["status"]["replicas"]) == ({"replicas": 2}, 2)
    assert scale["status"]["selector"] == f"app=mochi,{HASH}={await argo.hash_of('blue')}"
    await argo.done("rollouts", ROLLOUT, {"spec": {"replicas": 4}}, subresource="scale")
    assert (await argo.replicas("blue"), await argo.ready_addresses()) == (4, 4)


async def test_left_out_replicas_are_written_down_as_one(argo):
    await argo.delete("rollouts", ROLLOUT)
    without = mochi_rollout(NAMESPACE, image=image("blue"))[0]
    del without["spec"]["replicas"]
    await argo.create("rollouts", without)
    assert (await argo.rollout())["spec"]["replicas"] == 1
    assert await argo.phase() == ("Healthy", "")


async def test_it_promotes_by_itself_unless_it_is_told_not_to():
    async with rollout_cluster(blue_green={"autoPromotionEnabled": None}) as argo:
        await argo.set_image("green")
        assert (await argo.selected(), await argo.stable()) == ("green", "green")


async def test_it_promotes_by_itself_after_a_while_when_that_is_wanted():
    async with rollout_cluster(blue_green={"autoPromotionEnabled": True, "autoPromotionSeconds": 60}) as argo:
        await argo.set_image("green")
        assert await argo.pauses() == ["BlueGreenPause"]
        argo.cluster.advance(59)
        assert await argo.selected() == "blue"
        argo.cluster.advance(2)
        assert await argo.selected() == "green"


async def test_seconds_do_not_count_when_a_person_has_to_promote():
    async with rollout_cluster(blue_green={"autoPromotionSeconds": 60}) as argo:
        await argo.set_image("green")
        argo.cluster.advance(3600)
        assert (await argo.selected(), await argo.pauses()) == ("blue", ["BlueGreenPause"])


async def test_a_small_preview_grows_after_the_promote_and_before_the_switch():
    async with rollout_cluster(replicas=4, blue_green={"previewReplicaCount": 1}) as argo:
        await argo.set_image("green")
        assert (await argo.replicas("green"), await argo.pauses()) == (1, ["BlueGreenPause"])
        since = argo.cluster.objects.version
        await argo.promote()
        assert (await argo.replicas("green"), await argo.selected()) == (4, "green")
        (cut_over,) = argo.past("services", ACTIVE, since)
        sizes = [
            item["status"].get("availableReplicas", 0)
            for item in argo.past("replicasets", f"{ROLLOUT}-{await argo.hash_of('green')}", since)
            if int(item["metadata"]["resourceVersion"]) < int(cut_over["metadata"]["resourceVersion"])
        ]
        assert sizes[-1] == 4


async def test_a_deleted_rollout_lets_its_services_go_and_takes_its_pods_along(argo):
    await argo.delete("rollouts", ROLLOUT)
    assert (await argo.get("services", ACTIVE))["spec"]["selector"] == {"app": "mochi"}
    assert await argo.listed("replicasets") == []
    argo.cluster.advance(60)
    assert await argo.listed("pods") == []


async def test_a_canary_is_left_alone(argo):
    body = mochi_rollout(NAMESPACE, image=image("blue"))[0]
    body["metadata"]["name"] = "canary"
    body["spec"]["strategy"] = {"canary": {}}
    await argo.create("rollouts", body)
    assert "status" not in await argo.get("rollouts", "canary")
