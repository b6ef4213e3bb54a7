"""A message as a person sees it: plain data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simcord.backend import Backend
from simcord.backend.models import Message as StoredMessage
from simcord.components import walk_components
from simcord.enums import ComponentType, MessageType


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    custom_id: str | None
    url: str | None
    disabled: bool
    style: int
    """1 primary, 2 secondary, 3 success, 4 danger, 5 link."""


@dataclass(frozen=True, slots=True)
class Message:
    id: int
    channel_id: int
    author: str
    content: str
    embeds: tuple[dict[str, Any], ...]
    buttons: tuple[Button, ...]
    reactions: Mapping[str, frozenset[str]]
    """Who put which emoji there, by name."""
    pinged: frozenset[str]
    """Names of the people and roles that were notified."""
    reply_to: int | None
    ephemeral: bool
    edited: bool
    loading: bool
    """Shown as "… is thinking"."""
    system: bool
    """A line that Discord itself wrote, such as "started a thread"."""
    files: tuple[str, ...] = ()
    """The names of what is attached."""

    @property
    def embed(self) -> dict[str, Any]:
        """The only embed; an empty one when there is none."""
        return self.embeds[0] if self.embeds else {}

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(button.label for button in self.buttons)

    def button(self, label: str) -> Button:
        """The button whose label is, or starts with, `label`; `LookupError` names those that are there."""
        for button in self.buttons:
            if button.label == label or button.label.startswith(f"{label} "):
                return button
        raise LookupError(f"no button {label!r} on the message; there are {', '.join(self.labels) or 'none'}")

    @property
    def text(self) -> str:
        """Everything that can be read on the message, for assertions and failure messages."""
        return "\n".join((self.content, *(line for embed in self.embeds for line in _lines(embed)), *self.labels))


def _lines(embed: Mapping[str, Any]) -> Iterator[str]:
    yield str((embed.get("author") or {}).get("name") or "")
    yield str(embed.get("title") or "")
    yield str(embed.get("description") or "")
    for field in embed.get("fields") or ():
        yield f"{field['name']}: {field['value']}"
    yield str((embed.get("footer") or {}).get("text") or "")


LOADING = 1 << 7
WRITTEN = (MessageType.DEFAULT, MessageType.REPLY, MessageType.CHAT_INPUT_COMMAND, MessageType.CONTEXT_MENU_COMMAND)


def seen(backend: Backend, stored: StoredMessage) -> Message:
    """The message as it stands now; later edits show in a new one only."""
    channel = backend.get_channel(stored.channel_id)
    roles = backend.guilds[channel.guild_id].roles if channel.guild_id is not None else {}
    pinged = {backend.users[user].name for user in stored.ping_user_ids if user in backend.users}
    pinged |= {roles[role].name for role in stored.ping_role_ids if role in roles}
    reference = stored.reference or {}
    return Message(
        id=stored.id,
        channel_id=stored.channel_id,
        author=stored.author_name or backend.users[stored.author_id].name,
        content=stored.content,
        embeds=tuple(stored.embeds),
        buttons=tuple(
            Button(
                label=component.get("label") or (component.get("emoji") or {}).get("name") or "",
                custom_id=component.get("custom_id"),
                url=component.get("url"),
                disabled=bool(component.get("disabled")),
                style=int(component.get("style", 1)),
            )
            for component in walk_components(stored.components)
            if component.get("type") == ComponentType.BUTTON
        ),
        reactions={
            reaction.emoji: frozenset(backend.users[user].name for user in reaction.user_ids)
            for reaction in stored.reactions
        },
        pinged=frozenset(pinged),
        reply_to=int(reference["message_id"]) if reference.get("message_id") else None,
        ephemeral=stored.is_ephemeral,
        edited=stored.edited_timestamp is not None,
        loading=bool(stored.flags & LOADING),
        system=stored.type not in WRITTEN,
        files=tuple(str(file["filename"]) for file in stored.attachments),
    )
