"""What a card shows: pure rendering of a release's view, inside Discord's limits whatever the names are."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import discord

from bot.release.errors import Refused
from bot.release.guards import told
from bot.release.image import parse
from bot.release.record import Cause, Person, Phase, Release
from bot.release.verbs import Verb
from bot.view import Kind, Live, View
from cogs import limits, words
from cogs.checks import shown_checks
from cogs.text import NAME, clip, code, line, listed, person_name, plain, sentence, span, stamp

BAR = 5
BLUE, YELLOW, GREEN, ORANGE, RED, GREY = 0x3B82F6, 0xF5B301, 0x2DA44E, 0xE8833A, 0xD1242F, 0x8C959F

_IMAGE = 100
_REASON = 300
_LINES = 10  # of requirements or people in one field
_GATE_BUTTONS = 5


@dataclass(frozen=True)
class Link:
    label: str
    url: str


@dataclass(frozen=True)
class Face:
    """A card as it looks: `links` are the first row of buttons, `verbs` the second."""

    content: str
    embed: discord.Embed
    links: tuple[Link, ...]
    verbs: tuple[Verb, ...]
    again: bool
    voting: bool
    """Whether votes count, so that the two reactions belong below it."""
    repeatable: tuple[str, ...] = ()
    acceptable: tuple[str, ...] = ()
    stoppable: tuple[str, ...] = ()
    """Gates, of which each has a button in the third, fourth and fifth row."""
    keep: str = ""
    """The guard whose alarm has to be answered first; it has a button beside that which rolls back."""

    @property
    def fingerprint(self) -> str:
        """The same for two faces that look the same; at most 64 characters."""
        seen = [self.content, self.embed.to_dict(), [(link.label, link.url) for link in self.links]]
        offered = [self.verbs, self.again, self.voting]
        offered += [self.repeatable, self.acceptable, self.stoppable, self.keep]
        text = json.dumps([*seen, *offered], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class State:
    """What a phase looks like: the first line, what the title says, the colour."""

    first: str
    title: str
    colour: int


@dataclass(frozen=True)
class Around:
    """What a card shows that is not of its release."""

    roles: Mapping[int, str]
    """The names of the guild's roles by id."""
    place: str = ""
    """Tells apps of several namespaces apart."""
    thread: int | None = None
    """The release's, where the whole results of its gates are."""
    successor: str | None = None
    """The address of the card of `release.replaced_by`."""
    taken_over: int | None = None
    """The number of the newer release that has the traffic now."""


def face(view: View, around: Around) -> Face:
    release, shown = view.release, state(view, around)
    place = around.place
    embed = discord.Embed(title=clip(f"{release.title} · {shown.title}", limits.TITLE), colour=shown.colour)
    embed.set_author(name=line(release.app + (f" · {place}" if place else ""), limits.AUTHOR))
    embed.description = clip("\n".join(_description(view, around)), limits.DESCRIPTION // 2)
    for name, value in _fields(view, around):
        embed.add_field(name=name, value=clip(value, limits.FIELD_VALUE), inline=True)
    begun = origin(release, release.author.name, release.begun_by)
    embed.set_footer(text=line(words.footer(begun, release.label), 200))
    return Face(
        content=clip(shown.first, 500),
        embed=embed,
        links=_links(view, around.successor),
        verbs=view.buttons[:4],
        again=view.current and release.phase is Phase.REVERTED and not release.was_live and not release.restores,
        voting=asks_for_approval(release),
        repeatable=view.repeatable[:_GATE_BUTTONS],
        acceptable=view.acceptable[:_GATE_BUTTONS],
        stoppable=view.stoppable[:_GATE_BUTTONS],
        keep=view.to_answer[0][0].guard if view.to_answer else "",
    )


def state(view: View, around: Around) -> State:
    release = view.release
    name = named(release)
    reason = sentence(view.reason or release.reason, _REASON)
    if release.restores is not None and release.phase in {Phase.STAGING, Phase.READY, Phase.PROMOTING}:
        return State(words.restoring(name, release.restores), words.ROLLING_BACK, ORANGE)
    match release.phase:
        case Phase.STAGING:
            return State(words.prepared(name), words.PREPARING, BLUE)
        case Phase.READY:
            return _ready(view, name, reason, around.roles)
        case Phase.PROMOTING:
            return State(words.switching(name, _people(release.approvers)), words.SWITCHING, BLUE)
        case Phase.BAKING:
            return _baking(view, name)
        case Phase.DONE:
            return _done(name, around.taken_over, view.moved_by)
        case Phase.REVERTING:
            return State(words.going_back(name, _why(release)), words.ROLLING_BACK, ORANGE)
        case Phase.REVERTED:
            return _reverted(view, name)
        case Phase.ABANDONED:
            return _left(name, release)


def asks_for_approval(release: Release) -> bool:
    """Whether votes count now. Taking a version back needs nobody's."""
    return release.phase is Phase.READY and release.restores is None


def origin(release: Release, author: str, begun_by: str) -> str:
    """Who asked for it, or who began it elsewhere: `author` and `begun_by` as they are shown there."""
    if not begun_by:
        return words.asked_by(author)
    return words.started_by(author if release.author.is_known else "", begun_by)


def image_name(reference: str) -> str:
    """What people call an image of a pod template: `mochi:blue`."""
    try:
        return parse(reference).short
    except Refused:
        return reference


def live_name(live: Live) -> str:
    return live.name or image_name(live.image)


def version(release: Release) -> str:
    """What a person calls this version inside a sentence about its app: `green` of `mochi:green`. Not yet safe to show
    in a message.
    """
    return release.asked.rpartition("@")[2].rpartition(":")[2] or release.asked


def named(release: Release) -> str:
    """As in `mochi #7 (green)`."""
    return f"{release.title} ({plain(version(release), NAME)})"


def role_name(role: int, roles: Mapping[int, str]) -> str:
    name = roles.get(role, "")
    return plain(name.removeprefix("@"), NAME) if name else words.unknown_role(role)


def waited_for(view: View, roles: Mapping[int, str]) -> list[str]:
    """The open requirements in words: `QC`, `2 from Lead or Ops`."""
    filled = zip(view.tally.requirements, view.tally.filled, strict=True)
    short = [(need, need.count - len(people)) for need, people in filled if len(people) < need.count]
    return [words.missing(_one_of(need.roles, roles), count) for need, count in short]


def _ready(view: View, name: str, reason: str, roles: Mapping[int, str]) -> State:
    if view.held_by:
        return State(words.blocked(name, sentence(view.held_by, _REASON)), words.WAITING_FOR_CHECKS, YELLOW)
    if not view.tally.reached or view.tally.vetoes:
        return State(words.waiting(name, listed(waited_for(view, roles))), words.WAITING, YELLOW)
    if Verb.PROMOTE in view.buttons:
        return State(words.press_promote(name), words.WAITING_FOR_PROMOTE, YELLOW)
    if reason:
        return State(words.blocked(name, reason), words.WAITING_FOR_CHECKS, YELLOW)
    return State(words.about_to_switch(name), words.WAITING_FOR_CHECKS, YELLOW)


def _baking(view: View, name: str) -> State:
    for alarm, until in view.to_answer:
        return State(words.keep_or_not(name, sentence(told(alarm), _REASON), stamp(until)), words.KEEP_OR_NOT, YELLOW)
    return State(words.watched(name, stamp(view.until, "t") if view.until else ""), words.WATCHED, GREEN)


def _done(name: str, taken_over: int | None, moved_by: str) -> State:
    if taken_over is not None:
        return State(words.was_live(name, taken_over), words.WAS_LIVE, GREY)
    if moved_by:
        return State(words.was_live_until_moved(name, plain(moved_by, _REASON)), words.WAS_LIVE, RED)
    return State(words.live(name), words.LIVE, GREEN)


def _reverted(view: View, name: str) -> State:
    release = view.release
    by, reason = _by(release), sentence(release.reason, _REASON)
    if release.was_live:
        after = span((release.since - release.live_at).total_seconds()) if release.live_at else ""
        to = _previous(view)
        return State(words.rolled_back(name, by, to, after, reason), words.ROLLED_BACK, ORANGE)
    title = words.REPLACED if release.cause is Cause.REPLACED else words.NOT_RELEASED_TITLE
    match release.cause:
        case Cause.REJECTED:
            first = words.rejected(name, by, reason)
        case Cause.EXPIRED:
            first = words.expired(name, reason)
        case Cause.REPLACED:
            first = words.replaced(name, release.replaced_by)
        case Cause.WITHDRAWN | Cause.ROLLED_BACK:
            first = words.withdrawn(name, by, reason)
        case Cause.FAILED:
            first = words.could_not_start(name, reason)
        case _:
            first = words.never_switched(name, reason)
    return State(first, title, GREY)


def _left(name: str, release: Release) -> State:
    reason = sentence(release.reason, _REASON)
    if release.cause is Cause.PROMOTED_OUTSIDE:
        return State(words.went_live_unapproved(name, reason), words.UNAPPROVED, RED)
    return State(words.left_alone(name, reason), words.LEFT, RED)


def _previous(view: View) -> str:
    return code(image_name(view.way_back.previous), _IMAGE)


def _why(release: Release) -> str:
    """Why it goes back, in a few words: the reason somebody gave, or what happened, and who."""
    by, reason = _by(release), sentence(release.reason, _REASON)
    match release.cause:
        case Cause.REJECTED:
            happened = f"rejected by {by}" if by else "rejected"
        case Cause.WITHDRAWN:
            happened = f"abandoned by {by}" if by else "abandoned"
        case Cause.ROLLED_BACK:
            happened = f"asked by {by}" if by else "asked for"
        case Cause.EXPIRED:
            happened = "expired"
        case _:
            happened = ""
    return ": ".join(part for part in (happened, reason) if part)


def _description(view: View, around: Around) -> list[str]:
    release = view.release
    digest = release.image.partition("@")[2][:19]
    found = [code(release.asked, _IMAGE) + (f" {code(digest, 30)}" if digest else "")]
    found.append(_traffic(view, around))
    bar = _bar(view)
    found += [bar] if bar else []
    if view.reason and release.phase.open and not (bar and view.reason.endswith(words.progress(*_pods(view)))):
        found.append(words.waits_because(sentence(view.reason, _REASON)))
    elif release.reason and not release.phase.open:
        found.append(words.because(sentence(release.reason, _REASON)))
    found += [words.warning(sentence(note, 200)) for note in release.notes if release.phase.open]
    found += [words.TAKE_BACK] if release.cause is Cause.PROMOTED_OUTSIDE and view.current else []
    found += _nobody_left(view, around.roles)
    found += _silences(view)
    return [each for each in found if each]


def _traffic(view: View, around: Around) -> str:
    """What has the traffic, or had it before this release."""
    if view.release.phase in {Phase.BAKING, Phase.DONE} and not (view.moved_by and view.current):
        return "" if around.taken_over or view.moved_by else words.before_this(_previous(view))
    if not (view.current or view.release.phase.open):
        return ""
    since = stamp(view.live.since) if view.live.since else ""
    by = person_name(view.live.by) if view.live.by else ""
    if not view.live.image:
        return words.live_unknown(plain(view.live.changed_by, _REASON))
    return words.live_now(code(live_name(view.live), _IMAGE), since, by)


def _pods(view: View) -> tuple[int, int]:
    return view.progress or (0, 0)


def _bar(view: View) -> str:
    """While pods start: how far they are."""
    ready, wanted = _pods(view)
    started = view.release.phase is Phase.READY and ready >= wanted
    if view.progress is None or started or view.release.phase not in {Phase.STAGING, Phase.READY}:
        return ""
    full = min(BAR, BAR * ready // wanted) if wanted > 0 else 0
    return words.pods_ready("▰" * full + "▱" * (BAR - full), words.progress(ready, wanted))


def _nobody_left(view: View, roles: Mapping[int, str]) -> list[str]:
    """Requirements that nobody can fill, since Discord has none of their roles any more."""
    if not roles or not view.release.phase.open or view.release.restores is not None:
        return []
    gone = [need for need in view.tally.open if not need.roles & roles.keys()]
    return [words.nobody_can_approve(listed([_one_of(need.roles, roles) for need in gone]))] if gone else []


def _silences(view: View) -> list[str]:
    phase, found = view.release.phase, []
    if phase is Phase.READY and view.preview is None:
        found.append(words.NO_PREVIEW_ADDRESS)
    if phase is Phase.READY and view.preview is not None and not view.preview.answers:
        found.append(words.PREVIEW_SILENT)
    if view.production is not None and not view.production.answers:
        found.append(words.PRODUCTION_SILENT)
    if phase in {Phase.BAKING, Phase.DONE} and view.way_back.kind is Kind.INSTANT and view.current:
        found.append(words.OPEN_CONNECTIONS)
    return found


def _fields(view: View, around: Around) -> list[tuple[str, str]]:
    release, phase = view.release, view.release.phase
    checks = shown_checks(view, around.thread)
    if phase in {Phase.REVERTING, Phase.REVERTED, Phase.ABANDONED} and not release.approvers:
        return checks
    found = [(words.APPROVALS_FIELD, _approvals(view, around.roles)), *checks]
    if asks_for_approval(release) and view.until:
        found.append((words.UNTIL_FIELD, stamp(view.until)))
    if phase is Phase.BAKING and view.until:
        found.append((words.ANSWER_FIELD if view.to_answer else words.WATCHED_FIELD, stamp(view.until)))
    if Verb.ROLL_BACK in view.buttons:
        found.append((words.ROLLBACK_FIELD, _way_back(view)))
    return found


def _way_back(view: View) -> str:
    match view.way_back.kind:
        case Kind.INSTANT:
            return words.instant_until(stamp(view.way_back.until, "t") if view.way_back.until else "")
        case Kind.REDEPLOY:
            return words.by_redeploy(_previous(view))
        case _:
            return words.NO_WAY_BACK


def _approvals(view: View, roles: Mapping[int, str]) -> str:
    release = view.release
    if release.restores is not None:
        return words.NO_APPROVAL_NEEDED
    if release.phase is Phase.STAGING:
        return words.NO_APPROVAL_YET
    if release.phase is not Phase.READY:
        return words.approved_by(_people(release.approvers, _LINES)) if release.approvers else words.NO_APPROVAL_YET
    filled = list(zip(view.tally.requirements, view.tally.filled, strict=True))
    found = [
        clip(words.requirement_line(_one_of(need.roles, roles), len(people), need.count, _people(people)), 90)
        for need, people in filled[:_LINES]
    ]
    found += [words.and_more(len(filled) - _LINES)] if len(filled) > _LINES else []
    found += [clip(words.vetoed(_people(view.tally.vetoes)), 90)] if view.tally.vetoes else []
    return "\n".join(found)


def _one_of(ids: frozenset[int], roles: Mapping[int, str]) -> str:
    return listed([role_name(role, roles) for role in sorted(ids)], "or", 3)


def _people(people: tuple[Person, ...], most: int = 4) -> str:
    return listed([person_name(person.name) for person in people], "and", most)


def _by(release: Release) -> str:
    return person_name(release.by.name) if release.by is not None else ""


def _links(view: View, successor: str | None) -> tuple[Link, ...]:
    release, found = view.release, []
    before_switch = release.phase in {Phase.STAGING, Phase.READY}
    early = release.phase is Phase.STAGING
    if view.preview is not None and before_switch and (view.preview.answers or not early):
        found.append(Link(words.PREVIEW_BUTTON, view.preview.url))
    replaced = release.cause is Cause.REPLACED
    if view.production is not None and not replaced and not (release.phase is Phase.REVERTED and not release.was_live):
        found.append(Link(words.PRODUCTION_BUTTON, view.production.url))
    if successor is not None and release.replaced_by is not None:
        found.append(Link(words.successor_button(release.replaced_by), successor))
    return tuple(link for link in found if len(link.url) <= limits.BUTTON_URL and limits.is_link(link.url))


def payload(shown: Face, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON body that shows this face."""
    return {"content": shown.content, "embeds": [shown.embed.to_dict()], "components": rows}
