"""Discord's gateway: HELLO, IDENTIFY, heartbeats, events with sequence numbers, RESUME with replay.

Which events a bot gets, and which parts of a message it may read, follows from the intents it identified with;
simcord's own filter decides that. Opcodes and close codes as in Discord's documentation, "Gateway", version 10.
"""

import asyncio
import contextlib
import json
import secrets
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import discord
from aiohttp import WSMsgType, web
from simcord import intents
from simcord.backend import Backend, serializers
from simcord.gateway import FakeGateway, FakeWebSocket

HEARTBEAT_MS = 41250
REPLAYED_EVENTS = 2000
KEPT_SESSIONS = 8

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE_STATE, RESUME, RECONNECT, REQUEST_MEMBERS = 0, 1, 2, 3, 4, 6, 7, 8
INVALID_SESSION, HELLO, HEARTBEAT_ACK = 9, 10, 11

UNKNOWN_OPCODE, DECODE_ERROR, NOT_AUTHENTICATED, AUTHENTICATION_FAILED, ALREADY_AUTHENTICATED = range(4001, 4006)
INVALID_INTENTS, DISALLOWED_INTENTS = 4013, 4014
ENDED_BY_CLIENT = (1000, 1001)
"""A client that closes with one of these will not resume; with any other, or none, its session stays."""


class Connection:
    """One websocket of a bot; frames leave in the order in which they were sent."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self._transport = request.transport
        # Discord speaks zlib-stream or zstd-stream on request; a client that asked for the latter reads plain text too.
        self._zlib = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None
        self._outgoing: asyncio.Queue[str] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write())
        self.ended = False
        """Whether this side closed it."""
        self.silent = False
        """Whether it only seems to be there: nothing is sent on it, as on a half-open connection."""

    def send(self, opcode: int, data: Any = None) -> None:
        self.send_frame(json.dumps({"op": opcode, "d": data, "s": None, "t": None}))

    def send_frame(self, frame: str) -> None:
        if not self.silent:
            self._outgoing.put_nowait(frame)

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                frame = await self._outgoing.get()
                if self._zlib is None:
                    await self.socket.send_str(frame)
                else:
                    packed = self._zlib.compress(frame.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH)
                    await self.socket.send_bytes(packed)

    async def close(self, code: int) -> None:
        self.ended = True
        self._writer.cancel()
        await self.socket.close(code=code)

    def cut(self) -> None:
        """End the TCP connection without a closing handshake, as a failing network does."""
        self._writer.cancel()
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()


class Session:
    """One identified bot: what it may see, and the events it has not confirmed yet."""

    def __init__(self, backend: Backend, declared: discord.Intents) -> None:
        self.id = secrets.token_hex(16)
        self.intents = declared
        self.connection: Connection | None = None
        self.sequence = 0
        self._sent: deque[tuple[int, str]] = deque(maxlen=REPLAYED_EVENTS)
        self.parsers = _Parsers(self)
        self._filter = FakeGateway(backend, self)
        self._members = FakeWebSocket(backend, self._filter)

    def feed(self, event: str, payload: Mapping[str, Any]) -> None:
        """Pass on an event of the world, as far as the intents allow."""
        self._filter.feed(event, payload)

    def dispatch(self, event: str, data: Any) -> None:
        self.sequence += 1
        frame = json.dumps({"op": DISPATCH, "t": event, "s": self.sequence, "d": data})
        self._sent.append((self.sequence, frame))
        if self.connection is not None:
            self.connection.send_frame(frame)

    def can_replay_after(self, sequence: int) -> bool:
        oldest = self._sent[0][0] if self._sent else self.sequence + 1
        return oldest - 1 <= sequence <= self.sequence

    def replay_after(self, sequence: int) -> None:
        connection = self.connection
        if connection is not None:
            for number, frame in self._sent:
                if number > sequence:
                    connection.send_frame(frame)
            self.dispatch("RESUMED", {"_trace": []})

    async def request_members(self, data: Mapping[str, Any]) -> None:
        users = data.get("user_ids")
        await self._members.request_chunks(
            int(data["guild_id"]),
            data.get("query"),
            limit=int(data.get("limit", 0)),
            user_ids=[int(user) for user in users] if isinstance(users, list) else None,
            presences=bool(data.get("presences")),
            nonce=data.get("nonce"),
        )


class _Parsers(dict[str, Callable[[Any], None]]):
    """Takes the place of discord.py's table of parsers behind simcord's filter: every event is known and is sent on."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def __missing__(self, event: str) -> Callable[[Any], None]:
        return lambda data: self._session.dispatch(event, data)

    def get(self, event: str, _default: Any = None) -> Callable[[Any], None]:
        return self[event]


class Gateway:
    """All sessions of the one bot."""

    def __init__(
        self, backend: Backend, *, token: str, privileged: frozenset[str], on_change: Callable[[], None]
    ) -> None:
        self._backend = backend
        self._token = token
        self._privileged = privileged
        self._on_change = on_change
        self._sessions: dict[str, Session] = {}
        self._connections: set[Connection] = set()
        self._away: set[int] = set()
        self.url = ""
        self.identified = 0
        """How often a bot has identified: 1,000 a day are allowed by the real one."""
        self.resumed = 0
        self.opened = 0
        """How often a websocket was opened."""
        self.heartbeat_ms = HEARTBEAT_MS
        self.closes_with: int | None = None
        """A close code with which every new websocket is answered instead of HELLO."""
        self.silent = False
        """Whether new websockets are silent from the start."""
        backend.subscribers.append(self._feed)

    @property
    def connected(self) -> bool:
        return any(session.connection is not None for session in self._sessions.values())

    def _feed(self, event: str, payload: Mapping[str, Any]) -> None:
        if int(payload.get("guild_id") or 0) in self._away:
            return
        for session in self._sessions.values():
            session.feed(event, payload)

    # What a test does to it

    def cut(self) -> None:
        """Every websocket breaks; the sessions stay and can be resumed."""
        for connection in tuple(self._connections):
            connection.cut()

    def forget(self) -> None:
        """Every websocket breaks and every session is lost: the next RESUME is answered by INVALID_SESSION."""
        self.forget_sessions()
        self.cut()

    def forget_sessions(self) -> None:
        self._sessions.clear()

    def ask_to_reconnect(self) -> None:
        """Discord's own maintenance: opcode 7, resume elsewhere."""
        for connection in tuple(self._connections):
            connection.send(RECONNECT)

    def invalidate(self, *, resumable: bool) -> None:
        """Opcode 9: the session is over, or Discord wants it to be resumed."""
        if not resumable:
            self._sessions.clear()
        for connection in tuple(self._connections):
            connection.send(INVALID_SESSION, data=resumable)

    async def end(self, code: int) -> None:
        """Every websocket is closed with this code; the sessions stay."""
        for connection in tuple(self._connections):
            await connection.close(code)

    def hush(self) -> None:
        """The websockets that are open say nothing any more, not even an answer to a heartbeat; events go on unsent."""
        for connection in tuple(self._connections):
            connection.silent = True

    def babble(self) -> None:
        """Something is sent that no client can read."""
        for connection in tuple(self._connections):
            connection.send_frame('{"op": 0, "t": "MESSAGE_CREATE", "d": ')

    def guild_away(self, guild_id: int) -> None:
        """An outage of Discord's takes the guild out: no events of it, until `guild_back`."""
        self._away.add(guild_id)
        for session in self._sessions.values():
            session.dispatch("GUILD_DELETE", {"id": str(guild_id), "unavailable": True})

    def guild_back(self, guild_id: int) -> None:
        self._away.discard(guild_id)
        guild = self._backend.guilds[guild_id]
        for session in self._sessions.values():
            session.feed("GUILD_CREATE", serializers.guild_create_payload(self._backend, guild))

    async def close(self) -> None:
        self._sessions.clear()
        for connection in tuple(self._connections):
            await connection.close(1001)

    # The protocol

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        await socket.prepare(request)
        connection = Connection(socket, request)
        self._connections.add(connection)
        self.opened += 1
        self._on_change()
        if self.closes_with is not None:
            await connection.close(self.closes_with)
        connection.silent = self.silent
        connection.send(HELLO, {"heartbeat_interval": self.heartbeat_ms, "_trace": []})
        session: Session | None = None
        try:
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    break
                try:
                    frame = json.loads(message.data)
                    opcode, data = int(frame["op"]), frame.get("d")
                except (ValueError, KeyError, TypeError):
                    await connection.close(DECODE_ERROR)
                    break
                session = await self._take(connection, session, opcode, data)
        finally:
            self._connections.discard(connection)
            left = not connection.ended and socket.close_code in ENDED_BY_CLIENT
            await connection.close(1000)
            if session is not None and session.connection is connection:
                session.connection = None
                if left:
                    self._sessions.pop(session.id, None)
            self._on_change()
        return socket

    async def _take(self, connection: Connection, session: Session | None, opcode: int, data: Any) -> Session | None:
        if opcode == HEARTBEAT:
            connection.send(HEARTBEAT_ACK)
        elif opcode in (IDENTIFY, RESUME):
            if session is not None:
                await connection.close(ALREADY_AUTHENTICATED)
            elif data.get("token") != self._token:
                await connection.close(AUTHENTICATION_FAILED)
            elif opcode == IDENTIFY:
                return await self._identify(connection, data)
            else:
                return self._resume(connection, data)
        elif session is None:
            await connection.close(NOT_AUTHENTICATED)
        elif opcode == REQUEST_MEMBERS:
            await session.request_members(data)
        elif opcode not in (PRESENCE, VOICE_STATE):
            await connection.close(UNKNOWN_OPCODE)
        return session

    async def _identify(self, connection: Connection, data: Mapping[str, Any]) -> Session | None:
        self.identified += 1
        if not isinstance(data.get("intents"), int):
            await connection.close(INVALID_INTENTS)
            return None
        declared = discord.Intents._from_value(data["intents"])  # noqa: SLF001 - the public constructor takes names only
        if any(getattr(declared, name) and name not in self._privileged for name in intents.PRIVILEGED_INTENTS):
            await connection.close(DISALLOWED_INTENTS)
            return None
        session = Session(self._backend, declared)
        session.connection = connection
        self._keep(session)
        guilds = list(self._backend.guilds.values())
        session.dispatch(
            "READY",
            {
                "v": 10,
                "user": dict(serializers.user_payload(self._backend.bot_user)),
                "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
                "session_id": session.id,
                "resume_gateway_url": self.url,
                "shard": [0, 1],
                "application": {"id": str(self._backend.application_id), "flags": 0},
            },
        )
        for guild in guilds:
            session.feed("GUILD_CREATE", serializers.guild_create_payload(self._backend, guild))
        self._on_change()
        return session

    def _resume(self, connection: Connection, data: Mapping[str, Any]) -> Session | None:
        session = self._sessions.get(str(data.get("session_id")))
        sequence = data.get("seq")
        if session is None or not isinstance(sequence, int) or not session.can_replay_after(sequence):
            connection.send(INVALID_SESSION, data=False)
            return None
        session.connection = connection
        session.replay_after(sequence)
        self.resumed += 1
        self._on_change()
        return session

    def _keep(self, session: Session) -> None:
        self._sessions[session.id] = session
        parted = [other.id for other in self._sessions.values() if other.connection is None]
        for session_id in parted[:-KEPT_SESSIONS]:
            del self._sessions[session_id]
