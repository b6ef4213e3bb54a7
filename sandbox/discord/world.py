"""A small Discord to act in: one guild, its channels and roles, its people, one bot."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class World:
    """What exists when Discord starts. Names are unique within their kind; ids are given when the server is built."""

    guild: str = "Mochi Ltd"
    channels: tuple[str, ...] = ("general",)
    roles: tuple[str, ...] = ()
    people: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Each person's name and the names of the roles that he or she holds."""
    topics: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[str, int] = field(default_factory=dict)
    """The colour of a role as 0xRRGGBB; a role that is not named here has none."""
    bot: str = "Greenlight"
    token: str = "sandbox.bot.token"  # noqa: S105 - it opens nothing but this world
    privileged_intents: frozenset[str] = frozenset()
    """What the developer portal has granted, of `members`, `presences`, `message_content`."""

    def __post_init__(self) -> None:
        for person, roles in self.people.items():
            for role in roles:
                if role not in self.roles:
                    raise ValueError(f"{person} holds the role {role}, which is not among the guild's roles")
