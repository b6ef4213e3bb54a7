"""The votes on a release: who may cast one, and why one does not count. Roles are those of the moment of the vote."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from bot.release.app import App, Switch
from bot.release.approvals import Vote, holds, may_approve, may_veto, tally
from bot.release.errors import Refused
from bot.release.record import Person, Phase, Release
from bot.release.verbs import only
from bot.store import Event, Outdated, Store

_T = TypeVar("_T")

TRIES = 20
"""How often a change is decided anew because the record moved on meanwhile."""


Expecting = Callable[[Release, Iterable[int]], AbstractContextManager[None]]


class BallotBox:
    """`wake` has the controller look at an app, `expecting` already while that is recorded which will move traffic."""

    def __init__(
        self, apps: Mapping[str, App], store: Store, wake: Callable[[str], None], expecting: Expecting
    ) -> None:
        self._apps = apps
        self._store = store
        self._wake = wake
        self._expecting = expecting

    async def vote(self, release: Release, person: Person, approve: bool) -> str | None:
        """None: it counts. A sentence: why it does not, for the thread."""
        app = self._apps[release.app]

        async def cast(release: Release, votes: tuple[Vote, ...]) -> str | None:
            # Heard as it was made, and listed: one vote, whichever came first.
            on_record = any((each.person.id, each.approve) == (person.id, approve) for each in votes)
            if on_record and release.phase in {Phase.PROMOTING, Phase.BAKING}:  # it was used by now
                return None
            refusal = _why_not(release, app, person, approve)
            if refusal:
                about = refusal.partition(". You")[0].removesuffix(".")  # the thread is read by everybody
                text = f"a vote of {person.name} does not count: {about}."
                await self._store.note(release, Event("vote refused", text))
            else:
                vote = Vote(person, approve)
                with self._ahead(app, release, (*votes, vote)):
                    await self._store.cast(release, vote, *(() if on_record else (_voted(vote),)))
            return refusal

        return await self._voting(release, cast)

    async def withdraw(self, release: Release, person: int, approve: bool) -> None:
        """A reaction was taken away; Discord does not say who had which roles then, nor does it matter."""

        async def withdraw(release: Release, votes: tuple[Vote, ...]) -> None:
            mine = next((vote for vote in votes if (vote.person.id, vote.approve) == (person, approve)), None)
            if mine is not None:
                said = f"{mine.person.name} took the {'approval' if approve else 'rejection'} back"
                event = Event("vote", said, actor=mine.person.name)
                await self._store.withdraw(release, person, event, approve=approve)

        await self._voting(release, withdraw)

    async def recount(self, release: Release, votes: Iterable[Vote]) -> None:
        """What Discord lists now replaces what is stored: reactions made while the bot was away arrive never."""
        app, listed = self._apps[release.app], {(vote.person.id, vote.approve): vote for vote in votes}

        async def recount(release: Release, votes: tuple[Vote, ...]) -> None:
            if release.phase not in {Phase.READY, Phase.PROMOTING}:  # what was voted is history now
                return
            counted = {
                key: vote for key, vote in listed.items() if not _may_not(release, app, vote.person, vote.approve)
            }
            known = {(vote.person.id, vote.approve) for vote in votes}
            if counted.keys() != known:
                news = [_voted(vote) for key, vote in counted.items() if key not in known]
                await self._store.recount(release, counted.values(), *news)

        await self._voting(release, recount)

    def _ahead(self, app: App, release: Release, votes: tuple[Vote, ...]) -> AbstractContextManager[None]:
        """Of the vote with which all are agreed: nothing else has to happen before the switch."""
        result = tally(app.approval, release.author, votes)
        agreed = result.reached and not result.vetoes and release.phase is Phase.READY
        if not agreed or (app.approval.switch is Switch.BUTTON and not release.promote_asked):
            return nullcontext()
        return self._expecting(release, {vote.person.id for vote in votes})

    async def _voting(self, release: Release, change: Callable[[Release, tuple[Vote, ...]], Awaitable[_T]]) -> _T:
        """Change the votes on the release as it is now, again when it moved on in that moment."""
        for _ in range(TRIES):
            polled = await self._store.polled(release.app, release.number)
            if polled is None or release.app not in self._apps:
                raise _none(release.app, release.number)
            try:
                answer = await change(*polled)
            except Outdated:
                continue
            self._wake(release.app)
            return answer
        raise too_quick(release.app)


async def found(store: Store, apps: Mapping[str, App], app: str, number: int) -> Release:
    """The release as it is now; raises `Refused` when there is none."""
    release = await store.release(app, number)
    if release is None or app not in apps:
        raise _none(app, number)
    return release


def _none(app: str, number: int) -> Refused:
    return Refused(f"There is no {app} #{number}.")


def too_quick(app: str) -> Refused:
    return Refused(f"{app} is changing too quickly right now: try again.")


def _voted(vote: Vote) -> Event:
    return Event("vote", f"{vote.person.name} {'approved' if vote.approve else 'rejected'}", actor=vote.person.name)


def _why_not(release: Release, app: App, person: Person, approve: bool) -> str | None:
    """Why a vote does not count, as a sentence; None when it does."""
    # Until the switch a veto stops it, unless it goes back to what was live, which needs nobody's permission.
    stoppable = release.phase is Phase.PROMOTING and not release.was_live and release.restores is None
    if release.phase is not Phase.READY and (approve or not stoppable):
        return f"{release.title} is not waiting for approval."
    return _may_not(release, app, person, approve)


def _may_not(release: Release, app: App, person: Person, approve: bool) -> str | None:
    if not approve:
        return None if may_veto(person, app.approval) else only(app.approval.roles, "reject", app.name)
    if may_approve(person, app.approval, release.author):
        return None
    if person.id == release.author.id and holds(person, app.approval.roles):
        return "who asked for a release does not approve it."
    return only(app.approval.roles, "approve", app.name)
