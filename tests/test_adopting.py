"""Versions that somebody else brings up: each becomes one release, with a card, the same approvals, and no author."""

from dataclasses import replace

import pytest

from bot.clusters.errors import Away
from bot.release.app import Argo
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from sandbox.cluster import PatchType
from world import ANN, KIM, LEO, NAMESPACE, REPOSITORY, SAM, World, digest, example

HASH = "rollouts-pod-template-hash"
AUTHOR = "greenlight.dev/author"


@pytest.fixture
async def world(tmp_path):
    world = World(tmp_path / "greenlight.db", example(target=Argo("mochiapp")))
    await world.start()
    yield world
    await world.store.close()


def rollout(world):
    return world.cluster.objects.get("rollouts", NAMESPACE, "mochiapp")


def set_image(world, image=f"{REPOSITORY}:green", *, manager="kubectl-set", author=None):
    """As kubectl, a pipeline or Argo CD does it."""
    container = {"name": "myapp", "image": image}
    template = rollout(world)["spec"]["template"]
    changed = {**template["spec"], "containers": [{**template["spec"]["containers"][0], **container}]}
    metadata = {"annotations": {AUTHOR: author}} if author else {}
    patch = {"spec": {"template": {"metadata": metadata, "spec": changed}}}
    world.cluster.objects.patch("rollouts", NAMESPACE, "mochiapp", patch, PatchType.MERGE, manager=manager)
    world.cluster.settle()


def promote(world, manager="kubectl-argo-rollouts"):
    patch = {"status": {"pauseConditions": None}}
    world.cluster.objects.patch(
        "rollouts", NAMESPACE, "mochiapp", patch, PatchType.MERGE, subresource="status", manager=manager
    )
    world.cluster.settle()


async def test_a_version_that_somebody_else_brings_up_waits_for_the_same_approvals(world):
    set_image(world)
    release = await world.run()
    assert (release.number, release.phase) == (1, Phase.READY)
    assert (release.asked, release.image) == ("mochi:green", f"{REPOSITORY}:green")
    assert world.serving() == {"blue"}
    await world.approve(KIM, LEO)
    assert (await world.phase(), world.serving()) == (Phase.BAKING, {"green"})


async def begun(world):
    return [event.text for event in await world.store.events(await world.newest()) if event.kind == "begun"]


async def test_who_began_it_is_told_and_that_nobody_is_kept_from_approving(world):
    set_image(world)
    release = await world.run()
    assert release.begun_by == "kubectl-set at 09:00 UTC"
    assert (release.author.id, release.author.name) == (0, "kubectl-set")
    assert await begun(world) == [f"begun outside by kubectl-set at 09:00 UTC: {REPOSITORY}:green"]
    said = "begun outside by kubectl-set at 09:00 UTC, who that was is not known: anybody entitled may approve"
    assert said in release.notes


async def test_where_authors_may_approve_nobody_needs_to_know_who_it_was(world):
    world.app = replace(world.app, approval=replace(world.app.approval, by_author=True))
    await world.restart()
    set_image(world)
    assert not any("anybody" in note for note in (await world.run()).notes)


@pytest.mark.parametrize("named", ["leo", str(LEO.id)])
async def test_an_author_is_named_by_id_or_by_the_name_of_the_configuration_and_does_not_approve(world, named):
    """S6, for whoever releases by a pipeline."""
    set_image(world, author=named)
    release = await world.run()
    assert release.author == LEO
    assert not any("anybody" in note for note in release.notes)
    refusal = await world.desk.vote(release, LEO, approve=True)
    assert refusal == "who asked for a release does not approve it."


@pytest.mark.parametrize("stated", ["octocat", "0", "99999999999999999999", "-11", "¹¹", "11 "])
async def test_an_author_whom_nobody_knows_is_said_to_be_one(world, stated):
    set_image(world, author=stated)
    release = await world.run()
    assert release.author.id == 0
    assert any(f"its author {stated} is not in the table [people]" in note for note in release.notes)


async def test_an_author_is_kept_from_approving_though_discord_cannot_be_asked(world):
    world.crowd.away = True
    set_image(world, author="leo")
    release = await world.run()
    assert (release.author.id, release.author.name) == (LEO.id, "leo")


async def test_an_author_who_left_keeps_nobody_from_anything(world):
    del world.crowd.members[LEO.id]
    set_image(world, author="leo")
    assert (await world.run()).phase is Phase.READY


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (f"{REPOSITORY}:green", ["named by a tag"]),
        (f"{REPOSITORY}@{digest('green')}", []),
        ("elsewhere.example.com/mochi:green", ["elsewhere.example.com/mochi, which is not among", "named by a tag"]),
        ("UPPER/Mochi:green", ["UPPER/Mochi:green, which is not among", "named by a tag"]),
    ],
)
async def test_who_approves_is_told_what_a_deploy_would_have_been_refused_for(world, image, said):
    """S12, S13: nobody was asked before it was there."""
    set_image(world, image, author="leo")
    notes = [note for note in (await world.run()).notes if "image" in note]
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))


async def test_an_app_without_a_repository_of_its_own_has_that_of_what_is_live(world):
    world.app = replace(world.app, image="")
    await world.restart()
    set_image(world)
    assert not any("repositories" in note for note in (await world.run()).notes)


@pytest.mark.parametrize("target", [Argo("mochiapp", adopt=False), None])
async def test_where_others_may_not_begin_releases_nothing_is_adopted(tmp_path, target):
    app = example(target=target) if target else example()
    world = World(tmp_path / "greenlight.db", app)
    await world.start()
    if target:
        set_image(world)
    assert await world.run() is None
    assert world.api.writes == []
    await world.store.close()


# One version, one release


async def test_however_often_it_is_looked_at_a_version_becomes_one_release(world):
    set_image(world)
    for _ in range(3):
        await world.run()
        await world.restart()
    assert (await world.run()).number == 1


async def test_a_version_that_appeared_while_the_bot_was_away_is_found_by_an_ordinary_pass(world):
    await world.store.close()
    set_image(world)
    world.build()
    assert (await world.run()).phase is Phase.READY


async def test_of_two_who_adopt_at_once_one_does(world):
    """I13: both have looked before either has opened its release."""
    set_image(world)
    outside = world.backend.outside

    async def and_another(*args):
        world.backend.outside = outside
        found = await outside(*args)
        assert await world.adopting.adopt(world.app, None) is not None
        return found

    world.backend.outside = and_another
    assert await world.adopting.adopt(world.app, None) is None
    assert (await world.newest()).number == 1


async def test_a_version_that_was_adopted_and_rejected_meanwhile_is_not_adopted_again(world):
    """Upon an older record nothing is opened, though no release is open any more."""
    set_image(world)
    outside = world.backend.outside

    async def and_its_end(*args):
        world.backend.outside = outside
        found = await outside(*args)
        release = await world.adopting.adopt(world.app, None)
        await world.store.update(replace(release, phase=Phase.ABANDONED))
        return found

    world.backend.outside = and_its_end
    assert await world.adopting.adopt(world.app, None) is None
    assert (await world.newest()).number == 1


async def test_a_rollback_that_is_asked_for_in_that_moment_comes_first(world):
    """What is to be adopted waits until the open release is over."""
    await world.release_live("green")
    await world.advance(minutes=6)
    done = await world.newest()
    set_image(world, f"{REPOSITORY}:purple")
    outside = world.backend.outside

    async def and_a_rollback(*args):
        world.backend.outside = outside
        found = await outside(*args)
        assert found is not None
        await world.desk.roll_back(world.app, SAM)
        return found

    world.backend.outside = and_a_rollback
    assert await world.adopting.adopt(world.app, done) is None
    assert ((await world.newest()).number, await world.phase()) == (1, Phase.REVERTING)


async def test_while_a_release_is_open_nobody_looks_for_another_version(world):
    """Whatever comes up then changes that release, and is found by its own rules."""
    asked = []

    async def adopt(app, newest):
        asked.append(newest.phase)

    await world.deploy("slow")
    world.adopting.adopt = adopt
    assert await world.controller.attempt(world.app) is not None
    assert (asked, await world.phase()) == ([], Phase.STAGING)


async def test_a_change_of_the_number_of_pods_is_no_other_version(world):
    """An autoscaler's, which the controller has not taken up yet."""
    set_image(world, f"{REPOSITORY}:slow")
    assert (await world.run()).phase is Phase.STAGING
    world.cluster.objects.patch("rollouts", NAMESPACE, "mochiapp", {"spec": {"replicas": 3}}, PatchType.MERGE)
    await world.controller.attempt(world.app)
    assert await world.phase() is Phase.STAGING


async def test_a_version_that_was_rejected_is_not_adopted_again(world):
    set_image(world)
    await world.run()
    await world.desk.ask("mochi", 1, Verb.REJECT, KIM, "the logo is wrong")
    release = await world.run()
    assert (release.number, release.phase, release.cause) == (1, Phase.REVERTED, Cause.REJECTED)
    await world.advance(minutes=10)
    assert (await world.newest()).number == 1
    assert world.serving() == {"blue"}


async def test_a_version_that_was_rejected_becomes_a_release_when_it_is_brought_up_again_after_another(world):
    for image in ("green", "purple", "green"):
        set_image(world, f"{REPOSITORY}:{image}")
        await world.run()
        await world.desk.ask("mochi", (await world.newest()).number, Verb.REJECT, KIM)
        await world.advance(minutes=2)  # while its pods are kept, Argo Rollouts takes it up again without a pause
    assert (await world.newest()).number == 3


async def test_a_version_that_was_rolled_back_is_not_adopted_again(world):
    set_image(world)
    await world.run()
    await world.approve(KIM, LEO)
    await world.desk.roll_back(world.app, SAM, "wrong prices")
    await world.run()
    release = await world.advance(minutes=10)
    assert (release.number, release.phase, world.serving()) == (1, Phase.REVERTED, {"blue"})


async def test_what_comes_in_the_way_of_a_release_of_ours_becomes_the_next_one(world):
    """Its approvals are void, and whoever is to approve sees at once what stands there instead."""
    await world.deploy("green")
    await world.desk.vote(await world.newest(), KIM, approve=True)
    set_image(world, f"{REPOSITORY}:purple")
    release = await world.run()
    assert (release.number, release.phase, release.asked) == (2, Phase.READY, "mochi:purple")
    first = await world.store.release("mochi", 1)
    assert (first.phase, first.cause) == (Phase.ABANDONED, Cause.FOREIGN)
    assert await world.store.votes(release) == ()
    assert world.serving() == {"blue"}


async def test_what_comes_while_a_release_is_watched_waits_until_the_watch_is_over(world):
    await world.release_live("green")
    set_image(world, f"{REPOSITORY}:purple")
    release = await world.run()
    assert (release.number, release.phase) == (1, Phase.BAKING)
    await world.advance(minutes=6)
    release = await world.run()
    assert (release.number, release.phase, release.asked) == (2, Phase.READY, "mochi:purple")
    assert release.previous.label == (await world.store.release("mochi", 1)).label


async def test_a_deploy_replaces_what_somebody_else_began_only_when_it_is_asked_to(world):
    set_image(world)
    await world.run()
    release = await world.deploy("purple", ANN, replace=True)
    assert (release.number, release.phase, release.asked) == (2, Phase.READY, "mochi:purple")
    first = await world.store.release("mochi", 1)
    assert (first.phase, first.replaced_by) == (Phase.REVERTED, 2)


async def test_the_release_after_an_adopted_one_knows_what_it_goes_back_to(world):
    """Nothing in the cluster tells of which release the pods are that somebody else brought up."""
    set_image(world)
    await world.run()
    await world.approve(KIM, LEO)
    await world.advance(hours=2)
    release = await world.deploy("purple")
    first = await world.store.release("mochi", 1)
    assert release.previous.label == first.label
    assert (await world.desk.view(first)).moved_by == ""
    assert (await world.desk.view(release)).live.by == "kubectl-set"


# Promoted behind our back


async def test_a_promotion_by_somebody_else_closes_the_release_and_a_rollback_still_works(world):
    set_image(world)
    await world.run()
    promote(world)
    release = await world.run()
    assert (release.phase, release.cause) == (Phase.ABANDONED, Cause.PROMOTED_OUTSIDE)
    assert release.reason.startswith("promoted outside by ")
    assert world.serving() == {"green"}
    await world.desk.roll_back(world.app, SAM, "nobody approved that")
    release = await world.run()
    assert (release.phase, world.serving()) == (Phase.REVERTED, {"blue"})
    await world.advance(minutes=10)
    assert (await world.newest()).number == 1


# When something fails


async def test_a_cluster_that_does_not_answer_is_asked_again_later_and_less_often(world):
    set_image(world)
    pauses = []

    def away(call):
        raise Away("no answer")

    world.api.fault = away
    for _ in range(4):
        before = world.clock.now()
        pauses.append((await world.controller.attempt(world.app) - before).total_seconds())
        world.cluster.advance(pauses[-1])
    assert pauses == [3, 6, 12, 24]
    world.api.fault = None
    assert (await world.run()).phase is Phase.READY


async def test_objects_that_allow_no_release_are_looked_at_again_when_they_change(world):
    """I12: an app at rest is not asked about by the clock."""
    service = world.cluster.objects.get("services", NAMESPACE, "mochiapp")
    selects = {"spec": {"selector": {**service["spec"]["selector"], HASH: "unknown"}}}
    set_image(world)
    world.cluster.objects.patch("services", NAMESPACE, "mochiapp", selects, PatchType.MERGE)
    assert await world.controller.attempt(world.app) is None
    assert await world.store.newest("mochi") is None


async def test_a_store_that_fails_opens_no_release_and_the_next_pass_does(world):
    set_image(world)
    await world.store.close()
    database = world.database.read_bytes()
    world.database.write_bytes(b"not a database" * 100)
    world.build()
    assert await world.controller.attempt(world.app) is not None
    await world.store.close()
    world.database.write_bytes(database)
    world.build()
    assert (await world.run()).phase is Phase.READY
