"""I3: what was shown when approval was asked for is what goes live, whatever anybody does to the slot meanwhile."""

from contextlib import suppress

from story import GREEN, by_hand, switches_to

from bot.clusters.errors import Away, Stale
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import KIM, LEO, REPOSITORY, SAM, digest

STOWAWAY = {"name": "setup", "image": "evil.example.com/x"}


def template(**spec):
    return {"spec": {"template": {"spec": spec}}}


async def test_i3_approvals_are_for_the_whole_pod_template_not_for_its_image_alone(world):
    """An added init container runs in the same pods, under the very image and label that were approved."""
    await world.deploy()
    await world.approve(KIM)
    by_hand(world, "deployments", GREEN, template(initContainers=[STOWAWAY]))
    release = await world.approve(LEO)

    assert (release.phase, release.cause, switches_to(world, release)) == (Phase.ABANDONED, Cause.FOREIGN, [])
    assert release.reason.startswith("mochiapp-green was changed by kubectl")
    assert world.serving() == {"blue"}


async def test_i3_an_image_that_is_set_between_the_last_look_and_the_switch_is_taken_back_at_once(world):
    """The label stays when somebody sets an image, so the Service lets the new pods in: not for long."""
    other = {"name": "myapp", "image": f"{REPOSITORY}:purple", "ports": [{"name": "http", "containerPort": 8080}]}

    def meddle(call: str) -> None:
        if call == "patch Service/mochiapp":
            world.api.fault = None
            by_hand(world, "deployments", GREEN, template(containers=[other]))

    await world.deploy()
    world.api.fault = meddle
    release = await world.approve(KIM, LEO)

    assert (release.phase, release.cause) == (Phase.REVERTED, Cause.FOREIGN)
    assert "was changed by kubectl" in release.reason
    assert world.serving() == {"blue"}


async def test_i1_a_slot_that_is_given_another_label_at_the_switch_leaves_nobody_unserved(world):
    def meddle(call: str) -> None:
        if call == "patch Service/mochiapp":
            world.api.fault = None
            labels = {"metadata": {"labels": {"greenlight.dev/release": "x"}}}
            by_hand(world, "deployments", GREEN, {"spec": {"template": labels}})
            world.cluster.settle()

    await world.deploy()
    world.api.fault = meddle
    await world.approve(KIM, LEO)
    await world.advance(seconds=13)

    assert (await world.phase(), world.serving()) == (Phase.REVERTED, {"blue"})


async def test_i4_a_switch_whose_answer_was_lost_is_not_forgotten_when_the_approval_is(world):
    """It may arrive after everybody thought that nothing came of it."""

    def lose(call: str) -> None:
        if call == "patch Service/mochiapp":
            raise Away("the answer was lost")

    await world.deploy()
    world.api.fault = lose
    await world.approve(KIM, LEO)
    assert await world.phase() is Phase.PROMOTING
    world.api.fault = None
    release = await world.newest()
    world.crowd.members.pop(LEO.id)
    await world.run()
    assert (await world.phase()).open, "whatever is decided before the switch can no longer arrive may be wrong"

    # Now it arrives.
    selector = {**release.selector, "color": None}
    by_hand(world, "services", "mochiapp", {"spec": {"selector": selector}})
    release = await world.run()
    assert release.phase in {Phase.BAKING, Phase.REVERTED}
    assert world.serving() <= {"green", "blue"}
    assert world.serving(), "somebody is served"


async def test_i3_going_back_further_never_means_whatever_a_tag_means_by_now(world):
    """Blue was adopted under its tag; that tag was moved since, and nobody approved what it names now."""
    await world.release_live("green")
    await world.advance(hours=2)
    await world.deploy("purple")
    world.shelf.tags["blue"] = world.shelf.tags["crash"]
    await world.desk.vote(await world.newest(), KIM, approve=False)
    await world.run()

    restoring = await world.desk.roll_back(world.app, SAM)
    assert (restoring.image, restoring.asked) == (f"{REPOSITORY}@{digest('blue')}", "mochi:blue")
    await world.run()
    assert world.serving() == {digest("blue").removeprefix("sha256:")}


async def test_i3_a_selector_that_is_given_back_too_late_lets_no_candidate_in(world):
    """Found by the simulation: nobody heard of the last write of one release, the next began, and then it came."""
    patch, late = world.api.patch, []

    async def losing(kind, namespace, name, operations):
        if name != "mochiapp" or {"op": "remove", "path": "/spec/selector/color"} not in operations:
            return await patch(kind, namespace, name, operations)
        late.append((kind, namespace, name, operations))
        raise Away("no answer")

    world.api.patch = losing
    await world.deploy()
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM)
    await world.run()
    await world.deploy("purple")
    with suppress(Stale):
        await patch(*late[0])
    world.cluster.settle()

    assert (await world.phase(), world.serving()) == (Phase.READY, {"blue"})


async def test_i3_a_selector_is_not_given_back_to_a_slot_whose_pods_are_still_to_come(world):
    """Found by the simulation: somebody uses the slot, and in the moment of the look none of its pods is there."""
    await world.deploy()
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM)
    await world.controller.attempt(world.app)
    world.cluster.settle()
    other = {"name": "myapp", "image": f"{REPOSITORY}:purple", "ports": [{"name": "http", "containerPort": 8080}]}
    unlabelled = {"metadata": {"labels": {"greenlight.dev/release": None}}, "spec": {"containers": [other]}}
    by_hand(world, "deployments", GREEN, {"spec": {"replicas": 1, "template": unlabelled}})
    await world.controller.attempt(world.app)
    world.cluster.settle()

    assert (await world.phase(), world.serving()) == (Phase.REVERTED, {"blue"})
