"""Everything that the bot sends is legal on Discord, with the longest legal names and as much of all as there may be.

The stage holds every message, edit, answer, form and command against `cogs.limits` before it takes it.
"""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stage import Stage
from views import ANN, RELEASE, SHAPES, extreme, view

from bot.release.app import Approval, Notify, Requirement
from bot.release.record import Phase
from bot.release.verbs import Verb
from bot.store import Event
from cogs import words
from cogs.card import payload
from cogs.limits import CONTENT, FIELD_VALUE, length, validate_message, validate_modal, validate_thread
from cogs.outcome import outcome
from cogs.presses import _form, way_back
from cogs.text import line, plain, sentence
from cogs.thread import tellings

NAME, ROLE, APP, TAG = 32, 100, 32, 128
"""The longest name of a member, a role, an app and a tag."""
REQUIREMENTS, APPS = 10, 25
PEOPLE = {"wide": "🟢" * NAME, "marked": "*_`|[<@&1>](x)#>~"[:16] * 2, "loud": "@everyone @here <@1> <#2> :a:"}


class Crowded(Stage):
    """Ten requirements with a role each, and somebody for each."""

    def __init__(self, tmp_path, name):
        super().__init__(tmp_path)
        self.lot = [self.guild.create_role((f"{number} {name}" * ROLE)[:ROLE]) for number in range(REQUIREMENTS)]
        self.voters = [
            self.guild.add_member(self.env.create_user(f"u{number}", global_name=name), roles=[role], nick=name)
            for number, role in enumerate(self.lot)
        ]
        author = self.env.create_user("writer", global_name=name)
        self.writer = self.guild.add_member(author, roles=[self.roles["Developer"], self.roles["On-call"]], nick=name)
        require = tuple(Requirement(frozenset({role.id})) for role in self.lot)
        changes = {"name": "a" * APP, "approval": Approval(require), "notify": Notify.CHANNEL}
        self.world.app = replace(self.app(), **changes)
        self.world.shelf.tags |= {letter * TAG: f"sha256:{letter * 64}" for letter in "abcdef"}


@pytest.fixture(params=PEOPLE)
async def crowded(request, tmp_path, monkeypatch):
    import stage as module  # noqa: PLC0415 - its class is what is put in another's place

    monkeypatch.setattr(module, "Stage", lambda place: Crowded(place, PEOPLE[request.param]))
    async with module.opened(tmp_path, monkeypatch) as made:
        yield made


async def test_a_whole_release_is_legal_with_the_longest_names(crowded):
    """Card in each phase, ping, thread, forms, and all lists."""
    stage = crowded
    await stage.deploy("a" * TAG, who=stage.writer)
    for voter in stage.voters:
        await stage.react(voter)
    assert await stage.phase() is Phase.BAKING
    await stage.roll_back(stage.writer, "`*@everyone" * 18)
    assert await stage.phase() is Phase.REVERTED
    await stage.advance(minutes=1)
    await stage.deploy("b" * TAG, who=stage.writer)
    await stage.fill(stage.voters[0], await stage.press(stage.voters[0], Verb.REJECT), "*" * 200)
    await stage.deploy("c" * TAG, who=stage.writer)
    await stage.deploy("d" * TAG, who=stage.writer, replace=True)
    app = stage.world.app
    stage.world.desk.apps = {app.name: app} | {f"{number:02}{'x' * (APP - 2)}": app for number in range(APPS - 1)}
    for command in ("status", "history", "releases"):
        options = {} if command == "releases" else {"app": app.name}
        answer = await stage.slash(stage.guest, command, **options)
        assert answer.response.embeds, command
    assert len([body for body in stage.messages if "is ready to look at" in (body["content"] or "")]) == 4


texts = (
    st.text(max_size=300) | st.sampled_from(list(PEOPLE.values())) | st.text("`*_~|@<>#[]()\\\n\u202e ", max_size=80)
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shape=st.sampled_from(list(SHAPES)), text=texts)
def test_whatever_things_are_called_a_card_is_legal_and_mentions_nobody(shape, text):
    """S19: names of people, roles and images, messages of pods, addresses."""
    shown = extreme(shape, text)
    validate_message(payload(shown, []))
    for said in (shown.content, shown.embed.title, shown.embed.description, *(f.value for f in shown.embed.fields)):
        assert length(said) <= 4096
        outside = "".join(said.split("`")[::2]) if said.count("`") % 2 == 0 else said
        assert "@everyone" not in outside
        assert "@here" not in outside
        assert not any(hidden in said for hidden in "\u202e\u2066\x00\x1b")


@given(st.lists(texts, max_size=30))
def test_whatever_pods_say_the_thread_is_legal_and_tells_all_of_it(said):
    """S19."""
    events = [Event("note", text, at=RELEASE.created_at, id=number) for number, text in enumerate(said, start=1)]
    found = list(tellings(events, CONTENT - 600))
    assert [telling.told for telling in found][-1:] == ([len(said)] if said else [])
    for telling in found:
        validate_message({"content": telling.text})
        assert "@everyone" not in "".join(telling.text.split("`")[::2]) or telling.text.count("`") % 2
        assert telling.steps[-1] == (telling.told, telling.text)


@given(texts)
def test_whatever_things_are_called_forms_threads_and_lists_are_legal(text):
    release = replace(RELEASE, author=replace(ANN, name=text), asked=text, reason=text, by=replace(ANN, name=text))
    validate_thread({"name": line(words.thread_name(release.title, text or "-"), 100)})
    assert length(outcome(release)) <= FIELD_VALUE
    seen = view("baking", asked=text)
    seen = replace(seen, way_back=replace(seen.way_back, previous=text))
    for verb in (Verb.ROLL_BACK, Verb.REJECT):
        validate_modal(_form(seen, verb).to_dict())
    assert length(way_back(seen)) <= CONTENT
    assert length(sentence(text, CONTENT)) <= CONTENT
    assert length(plain(text, NAME)) <= NAME
