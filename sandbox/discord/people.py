"""People of the guild, as a test or the demo's walk lets them act; the bot may be anywhere."""

from dataclasses import dataclass
from typing import Any

from simcord.actors import MemberActor
from simcord.backend.errors import BackendError
from simcord.builders import ChannelHandle, GuildHandle
from simcord.results import InteractionResult, ResponseMessage

from sandbox.discord.environment import RemoteEnv
from sandbox.discord.messages import Message, seen

PATIENCE = 10.0
"""Seconds that a person waits for the bot before calling it broken: more than Discord's 3 for the first answer, since a
deferred answer may follow later."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How the bot answered one interaction."""

    result: InteractionResult
    deferred: bool
    """Whether the answer, or the edit of the clicked message, was first announced and then given."""
    message: Message | None
    """The message that answered; for a click that edits its own message, that message."""
    modal: dict[str, Any] | None

    @property
    def text(self) -> str:
        return self.message.text if self.message is not None else ""

    @property
    def ephemeral(self) -> bool:
        return self.message is not None and self.message.ephemeral


class Person:
    """Does what the Discord app lets this member do, and refuses the rest: a disabled button, a hidden channel."""

    def __init__(self, env: RemoteEnv, actor: MemberActor) -> None:
        self._env = env
        self._actor = actor

    @property
    def actor(self) -> MemberActor:
        """The same person as simcord's page takes it."""
        return self._actor

    @property
    def id(self) -> int:
        return self._actor.id

    @property
    def name(self) -> str:
        return self._actor.name

    async def slash(self, channel_id: int, command: str, /, **options: Any) -> Reply:
        """Run a slash command and wait for the answer: the final one, if the bot deferred it."""
        return await self._answered(await self.ask(channel_id, command, **options), f"/{command}")

    async def ask(self, channel_id: int, command: str, /, **options: Any) -> InteractionResult:
        """Run a slash command, and do not wait for any answer."""
        await self._app_ready()
        return await self._actor.slash(self._channel(channel_id), command, **options)

    async def autocomplete(self, channel_id: int, command: str, option: str, typed: str, /, **filled: Any) -> list[str]:
        """The values the bot proposes while `typed` stands in `option`."""
        await self._app_ready()
        channel = self._channel(channel_id)
        await self._actor.autocomplete(channel, command, option, typed, **filled)
        asked = self._env.last_asked
        await self._until(lambda: asked.responded, f"choices for {option} of /{command}")
        return [str(choice["value"]) for choice in asked.autocomplete_choices or []]

    async def click(self, message: Message, label: str) -> Reply:
        """Press a button by its label and wait for the answer."""
        return await self._answered(await self.press(message, label), f"the press of {label!r}")

    async def press(self, message: Message, label: str) -> InteractionResult:
        """Press a button by its label, and do not wait for any answer."""
        await self._app_ready()
        button = self._current(message).button(label)
        return await self._actor.click(self._handle(message), custom_id=button.custom_id)

    async def submit_modal(self, shown: Reply, **values: Any) -> Reply:
        """Fill in the form that a reply showed, by the custom ids of its inputs, and send it."""
        await self._app_ready()
        return await self._answered(await self._actor.submit_modal(shown.result, values), "the form")

    async def react(self, message: Message, emoji: str) -> None:
        await self._app_ready()
        await self._actor.react(self._handle(message), emoji)

    async def unreact(self, message: Message, emoji: str) -> None:
        await self._app_ready()
        await self._actor.unreact(self._handle(message), emoji)

    async def send(self, channel_id: int, text: str) -> Message:
        await self._app_ready()
        sent = await self._actor.send(self._channel(channel_id), text)
        return seen(self._env.backend, self._env.backend.get_message(channel_id, sent.id))

    def commands(self, channel_id: int) -> tuple[str, ...]:
        """The slash commands the app offers to this person there."""
        return self._actor.available_commands(self._channel(channel_id))

    def messages(self, channel_id: int) -> list[Message]:
        """The channel or thread as this person sees it, oldest first: with the replies that only he or she sees."""
        stored = self._env.backend.messages.get(channel_id, {}).values()
        visible = (message for message in stored if message.visible_to(self.id))
        return [seen(self._env.backend, message) for message in sorted(visible, key=lambda message: message.id)]

    async def _app_ready(self) -> None:
        # A page that waits for the bot holds simcord's single operation.
        await self._until(lambda: not self._env.busy, "the page's action")

    async def _answered(self, result: InteractionResult, what: str) -> Reply:
        asked = self._env.last_asked
        deferred = False

        def complete() -> bool:
            nonlocal deferred
            deferred = deferred or asked.deferred
            return asked.responded and not asked.loading

        await self._until(complete, f"{self.name} waits for the answer to {what}")
        message = None
        if asked.message_id is not None:
            try:
                message = seen(self._env.backend, self._env.backend.get_message(asked.channel_id, asked.message_id))
            except BackendError:
                message = None  # the bot has deleted its answer, as the wire allows
        return Reply(result, deferred, message, asked.modal)

    async def _until(self, condition: Any, what: str) -> None:
        await self._env.changes.until(condition, within=PATIENCE, what=what)

    def _channel(self, channel_id: int) -> ChannelHandle:
        channel = self._env.backend.get_channel(channel_id)
        guild: GuildHandle = self._actor.guild
        return ChannelHandle(self._env, guild, channel)

    def _handle(self, message: Message) -> ResponseMessage:
        return ResponseMessage(self._env, self._env.backend.get_message(message.channel_id, message.id))

    def _current(self, message: Message) -> Message:
        return seen(self._env.backend, self._env.backend.get_message(message.channel_id, message.id))
