"""Who has to agree, and whether they have.

A person fills at most one requirement, however many roles that person holds, so the question is a matching and not a
count: with one requirement "QC" and one "QC or Lead", a Lead and a QC satisfy both whatever the order of their votes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from bot.release.app import Approval, Requirement
from bot.release.record import Person
from bot.release.snapshot import FRESH_FOR


@dataclass(frozen=True)
class Vote:
    """A reaction on the card of the release; the person's roles are those of the last check."""

    person: Person
    approve: bool


@dataclass(frozen=True)
class Ballots:
    """All votes on a release. `checked_at` is when every voter's roles were last read from Discord by REST."""

    votes: tuple[Vote, ...] = ()
    checked_at: datetime | None = None
    trouble: str = ""
    """Why the roles could not be checked just now."""

    def fresh_at(self, now: datetime) -> bool:
        return self.checked_at is not None and now - self.checked_at <= FRESH_FOR


@dataclass(frozen=True)
class Tally:
    """`filled[i]` are the people who fill requirement `i`."""

    requirements: tuple[Requirement, ...]
    filled: tuple[tuple[Person, ...], ...]
    vetoes: tuple[Person, ...]

    @property
    def reached(self) -> bool:
        """Never without anybody, whatever the requirements say."""
        return bool(self.approvers) and not self.open

    @property
    def open(self) -> tuple[Requirement, ...]:
        pairs = zip(self.requirements, self.filled, strict=True)
        return tuple(requirement for requirement, people in pairs if len(people) < requirement.count)

    @property
    def approvers(self) -> tuple[Person, ...]:
        return tuple(person for people in self.filled for person in people)


def holds(person: Person, roles: frozenset[int]) -> bool:
    return not person.bot and not person.roles.isdisjoint(roles)


def may_approve(person: Person, policy: Approval, author: Person) -> bool:
    return holds(person, policy.roles) and (policy.by_author or person.id != author.id)


def may_veto(person: Person, policy: Approval) -> bool:
    """The author too: stopping one's own release is never wrong."""
    return holds(person, policy.roles)


def tally(policy: Approval, author: Person, votes: Iterable[Vote]) -> Tally:
    votes = tuple(votes)
    vetoes = tuple(vote.person for vote in votes if not vote.approve and may_veto(vote.person, policy))
    counted = (vote.person for vote in votes if vote.approve and may_approve(vote.person, policy, author))
    people = {person.id: person for person in counted}
    seats = [index for index, requirement in enumerate(policy.require) for _ in range(requirement.count)]
    taken: dict[int, Person] = {}

    def seat(person: Person, tried: set[int]) -> bool:
        """Kuhn's augmenting path: whoever sits there moves on if that makes room."""
        for place, index in enumerate(seats):
            if place in tried or not holds(person, policy.require[index].roles):
                continue
            tried.add(place)
            if place not in taken or seat(taken[place], tried):
                taken[place] = person
                return True
        return False

    for person in people.values():
        seat(person, set())
    filled = tuple(
        tuple(taken[place] for place, at in enumerate(seats) if at == index and place in taken)
        for index in range(len(policy.require))
    )
    return Tally(policy.require, filled, vetoes)
