"""The reference model of the quorum: it tries every seating, and is right because it is dull."""

from itertools import permutations


def agreed(policy, author, votes):
    """There is a way to give every seat to another person who may sit there."""
    seats = [requirement.roles for requirement in policy.require for _ in range(requirement.count)]
    able = [
        vote.person.roles
        for vote in votes
        if vote.approve and not vote.person.bot and (policy.by_author or vote.person.id != author.id)
    ]
    ways = permutations(able, len(seats))
    return bool(seats) and any(all(own & roles for own, roles in zip(way, seats, strict=True)) for way in ways)
