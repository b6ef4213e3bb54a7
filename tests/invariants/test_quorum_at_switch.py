"""I2, I7, I8: who has agreed is asked again at the switch, each approval is used once, and a replaced one never."""

import asyncio
from dataclasses import replace

import pytest
from story import running, switches_to

from bot.release.app import Switch
from bot.release.approvals import Vote
from bot.release.errors import Refused
from bot.release.record import Cause, Phase
from bot.release.verbs import Verb
from world import ANN, BO, GUEST, KIM, LEAD, LEO, ON_CALL, QC, SAM, World, example

BOT = replace(KIM, id=99, name="robot", bot=True)


async def texts(world, kind: str) -> list[str]:
    return [event.text for event in await world.store.events(await world.newest()) if event.kind == kind]


async def test_i2_reactions_and_clicks_that_come_twice_switch_once_and_go_back_once(world):
    await world.deploy()
    release = await world.newest()
    async with running(world) as rest:
        await asyncio.gather(*(world.desk.vote(release, person, approve=True) for person in (KIM, LEO) * 3))
        await rest()
        assert len(switches_to(world, release)) == 1
        clicks = [world.desk.ask("mochi", 1, Verb.ROLL_BACK, person) for person in (SAM, SAM, BO, SAM)]
        answers = await asyncio.gather(*clicks, return_exceptions=True)
        await rest()
    assert sorted(type(answer).__name__ for answer in answers) == ["Refused"] * 3 + ["Release"]
    world.cluster.settle()
    assert len(world.switches()) == 3  # narrowed, switched, taken back
    assert world.serving() == {"blue"}


async def test_i2_an_approval_is_used_up_by_a_switch_that_was_taken_back(world):
    """Whatever else happens, the same votes never switch a second time."""
    await world.release_live()
    await world.desk.ask("mochi", 1, Verb.ROLL_BACK, SAM)
    await world.run()
    await world.advance(minutes=1)
    release = await world.newest()
    refusal = await world.desk.vote(release, KIM, approve=True)
    await world.desk.recount(release, [Vote(KIM, approve=True), Vote(LEO, approve=True)])
    release = await world.run()
    assert "not waiting for approval" in refusal
    assert (release.phase, len(switches_to(world, release))) == (Phase.REVERTED, 1)


@pytest.mark.parametrize("change", ["revoked", "left", "banned into a bot"])
async def test_i7_an_approval_of_somebody_who_is_not_entitled_any_more_does_not_count(world, change):
    """S2, S3: the role is granted, used, and dropped; or the person goes. Asked at the very moment of the switch."""
    await world.deploy()
    await world.approve(KIM)
    match change:
        case "revoked":
            world.crowd.members[KIM.id] = replace(KIM, roles=frozenset({ON_CALL}))
        case "left":
            del world.crowd.members[KIM.id]
        case _:
            world.crowd.members[KIM.id] = replace(KIM, bot=True)
    release = await world.approve(LEO)
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])
    assert any("kim no longer counts" in text for text in await texts(world, "vote"))
    world.crowd.members[KIM.id] = KIM
    assert (await world.run()).phase is Phase.READY
    release = await world.approve(KIM)
    assert len(switches_to(world, release)) == 1
    assert {person.name for person in release.approvers} == {"kim", "leo"}


async def test_i7_the_author_does_not_count_even_with_every_role(world):
    await world.deploy(author=BO)
    release = await world.approve(BO, LEO)
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])
    assert len(switches_to(world, await world.approve(KIM))) == 1


async def test_i7_one_person_fills_one_requirement(world):
    await world.deploy()
    release = await world.approve(BO)
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])
    assert len(switches_to(world, await world.approve(LEO))) == 1


async def test_i7_votes_of_others_never_count(world):
    release = await world.deploy()
    for person in (GUEST, SAM, ANN, BOT, replace(GUEST, name="QC")):
        world.crowd.members[person.id] = person
        assert await world.desk.vote(release, person, approve=True)
        assert await world.store.votes(release) == ()
    release = await world.approve(LEO)
    assert switches_to(world, release) == []


async def test_i7_roles_that_cannot_be_read_postpone_the_switch(world):
    """Discord is away: a promotion waits, and says for what."""
    await world.deploy()
    world.crowd.away = True
    release = await world.approve(KIM, LEO)
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])
    assert "roles cannot be checked" in world.controller.moments["mochi"].reason
    world.crowd.away = False
    assert len(switches_to(world, await world.advance(seconds=3))) == 1


async def test_i7_discord_that_goes_away_after_the_intent_was_stored_postpones_the_switch(world):
    """The process died between the intent and the write; when it is back, nobody can say who holds which role."""
    await world.deploy()
    await world.approve(KIM)

    def dies(call: str) -> None:
        if call.startswith("patch Service"):
            raise asyncio.CancelledError

    world.api.fault = dies
    with pytest.raises(asyncio.CancelledError):
        await world.approve(LEO)
    assert await world.phase() is Phase.PROMOTING
    world.api.fault = None
    world.crowd.away = True
    await world.restart()
    await world.run()
    assert await world.phase() is Phase.PROMOTING, "the switch may have been sent, and may still arrive"
    release = await world.advance(seconds=13)
    assert (release.phase, release.approvers, switches_to(world, release)) == (Phase.READY, (), [])
    del world.crowd.members[KIM.id]
    world.crowd.away = False
    release = await world.run()
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])


async def test_i7_votes_are_kept_when_they_are_listed_again_before_an_interrupted_switch(world):
    """After a restart Discord's list replaces what is stored: also of a release that was about to be switched."""
    await world.deploy()
    await world.approve(KIM)
    world.api.fault = lambda call: (_ for _ in ()).throw(asyncio.CancelledError) if "patch" in call else None
    with pytest.raises(asyncio.CancelledError):
        await world.approve(LEO)
    world.api.fault = None
    await world.restart()
    await world.desk.recount(await world.newest(), [Vote(KIM, approve=True), Vote(LEO, approve=True)])
    release = await world.run()
    assert (release.phase, len(switches_to(world, release))) == (Phase.BAKING, 1)


@pytest.mark.parametrize("what", ["veto", "withdrawn"])
async def test_i7_a_vote_that_changes_while_roles_are_read_is_not_lost(world, what):
    """The roles are being read for the switch; in that moment somebody objects."""
    await world.deploy()
    release = await world.newest()
    people, once = world.crowd.people, [True]

    async def meanwhile(ids):
        found = await people(ids)
        if once:
            once.pop()
            if what == "veto":
                assert await world.desk.vote(release, BO, approve=False) is None
            else:
                await world.desk.withdraw(release, KIM.id, approve=True)
        return {key: replace(person, name=person.name.title()) for key, person in found.items()}

    world.crowd.people = meanwhile
    await world.desk.vote(release, KIM, approve=True)
    await world.desk.vote(release, LEO, approve=True)
    release = await world.run()
    assert switches_to(world, release) == []
    if what == "veto":
        assert release.cause is Cause.REJECTED
    else:
        assert release.phase is Phase.READY
        assert [vote.person.id for vote in await world.store.votes(release)] == [LEO.id]


@pytest.mark.parametrize("listed", [False, True], ids=["heard", "listed"])
async def test_i7_a_veto_after_the_quorum_stops_a_switch_that_was_not_sent(world, listed):
    """The intent is on record, the pods are not all there yet; in that moment somebody objects."""
    await world.deploy()
    for person in (KIM, LEO):
        await world.desk.vote(await world.newest(), person, approve=True)
    release = replace(await world.newest(), phase=Phase.PROMOTING, since=world.clock.now())
    await world.store.update(release)
    if listed:
        votes = [Vote(KIM, approve=True), Vote(LEO, approve=True), Vote(BO, approve=False)]
        await world.desk.recount(release, votes)
    else:
        assert await world.desk.vote(release, BO, approve=False) is None
    release = await world.run()
    assert (release.cause, release.by.name, switches_to(world, release)) == (Cause.REJECTED, "bo", [])
    assert "bo rejected" in await texts(world, "vote")
    assert await texts(world, "vote refused") == []


@pytest.mark.parametrize("phase", [Phase.BAKING, Phase.PROMOTING])
async def test_i7_a_veto_after_the_switch_is_refused(world, phase):
    """Also while no pod answers yet: nobody may believe that a late veto stopped anything."""
    await world.deploy()
    release = await world.approve(KIM, LEO)
    assert len(switches_to(world, release)) == 1
    await world.store.update(replace(release, phase=phase))
    assert "not waiting for approval" in await world.desk.vote(release, BO, approve=False)
    assert {vote.person.name for vote in await world.store.votes(release)} == {"kim", "leo"}


async def test_i7_a_veto_upon_going_back_to_what_was_live_is_refused(world):
    """It needs nobody's permission, so the switch would not heed it."""
    release = replace(await world.deploy(), phase=Phase.PROMOTING, restores=1)
    await world.store.update(release)
    assert "not waiting for approval" in await world.desk.vote(release, BO, approve=False)


async def test_i7_an_approval_after_the_quorum_is_refused(world):
    await world.deploy()
    await world.approve(KIM)
    world.api.fault = lambda call: (_ for _ in ()).throw(asyncio.CancelledError) if "patch" in call else None
    with pytest.raises(asyncio.CancelledError):
        await world.approve(LEO)
    assert await world.phase() is Phase.PROMOTING
    assert "not waiting for approval" in await world.desk.vote(await world.newest(), BO, approve=True)


async def test_i7_a_veto_outweighs_every_approval(world):
    await world.deploy()
    release = await world.newest()
    await world.desk.vote(release, KIM, approve=True)
    await world.desk.vote(release, BO, approve=False)
    release = await world.approve(LEO)
    assert (release.cause, release.by.name, switches_to(world, release)) == (Cause.REJECTED, "bo", [])


async def test_i7_the_button_switches_nothing_without_the_quorum(tmp_path):
    app = example()
    world = World(tmp_path / "greenlight.db", replace(app, approval=replace(app.approval, switch=Switch.BUTTON)))
    await world.start()
    await world.deploy()
    await world.approve(KIM)
    with pytest.raises(Refused, match="has not been approved by everybody needed"):
        await world.desk.ask("mochi", 1, Verb.PROMOTE, KIM)
    release = await world.run()
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])
    world.crowd.members[KIM.id] = replace(KIM, roles=frozenset())
    release = await world.approve(LEO)
    assert (release.phase, switches_to(world, release)) == (Phase.READY, [])
    world.crowd.members[KIM.id] = KIM
    await world.approve(KIM)
    assert switches_to(world, await world.newest()) == [], "the button was not pressed"
    await world.desk.ask("mochi", 1, Verb.PROMOTE, KIM)
    assert len(switches_to(world, await world.run())) == 1
    await world.store.close()


async def test_i7_votes_that_discord_does_not_list_any_more_are_gone(world):
    await world.deploy()
    release = await world.approve(KIM)
    await world.desk.recount(release, [Vote(LEO, approve=True), Vote(GUEST, approve=True), Vote(ANN, approve=True)])
    release = await world.run()
    assert [vote.person.id for vote in await world.store.votes(release)] == [LEO.id]
    assert switches_to(world, release) == []


async def test_i8_a_newer_candidate_voids_the_approvals_of_the_older(world):
    old = await world.deploy("green")
    await world.approve(KIM)
    new = await world.deploy("purple", replace=True)
    assert await world.desk.vote(old, LEO, approve=True)
    release = await world.approve(LEO)
    assert (release.number, release.phase) == (new.number, Phase.READY)
    assert world.serving() == {"blue"}
    old = await world.store.release("mochi", old.number)
    assert (old.phase, old.cause, old.replaced_by) == (Phase.REVERTED, Cause.REPLACED, new.number)
    release = await world.approve(KIM)
    assert (switches_to(world, old), len(switches_to(world, release))) == ([], 1)
    assert world.serving() == {"purple"}


async def test_i8_the_card_of_a_replaced_release_acts_on_nothing(world):
    await world.deploy("green")
    await world.deploy("purple", replace=True)
    before, writes = await world.newest(), len(world.api.writes)
    for verb in Verb:
        with pytest.raises(Refused, match="not the newest"):
            await world.desk.ask("mochi", 1, verb, replace(BO, roles=frozenset({QC, LEAD, ON_CALL, 1001})))
    assert (await world.run(), len(world.api.writes)) == (before, writes)


@pytest.mark.parametrize("at", ["before a vote", "after a vote", "with the quorum"])
async def test_i8_a_release_is_replaced_at_any_point_before_the_switch(world, at):
    old = await world.deploy("green")
    if at != "before a vote":
        await world.desk.vote(old, KIM, approve=True)
    if at == "with the quorum":
        await world.desk.vote(old, LEO, approve=True)
    await world.desk.deploy(world.app, "purple", ANN, replace=True)
    release = await world.run()
    assert (release.number, release.phase, world.serving()) == (2, Phase.READY, {"blue"})
    assert switches_to(world, old) == []
    assert await world.store.votes(release) == ()


async def test_i8_a_release_that_is_being_switched_is_not_replaced(world):
    """It would leave a switch behind that belongs to nobody."""
    await world.deploy("green")
    await world.approve(KIM)
    world.api.fault = lambda call: (_ for _ in ()).throw(asyncio.CancelledError) if "patch" in call else None
    with pytest.raises(asyncio.CancelledError):
        await world.approve(LEO)
    world.api.fault = None
    with pytest.raises(Refused):
        await world.desk.deploy(world.app, "purple", ANN, replace=True)
    assert (await world.newest()).number == 1
