"""A TCP proxy with a round trip of its own: what it is given arrives half of that later, in either direction."""

import asyncio
import contextlib
from collections.abc import Callable

CHUNK = 1 << 16


class DelayedPort:
    """`rtt` (seconds) may be changed at any time. `passed` is told of each piece that a server's client has received:
    the bytes of the request before it, and when (by the loop's clock). While `open` is not set, nothing passes; what
    came meanwhile then passes at once.
    """

    def __init__(self, target: str) -> None:
        self._host, _, port = target.partition(":")
        self._port = int(port)
        self.rtt = 0.0
        self.passed: Callable[[bytes, float], None] = lambda _request, _when: None
        self.open = asyncio.Event()
        self.open.set()
        self._last = 0.0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """The address to use in the place of the target's."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def quiet(self, seconds: float) -> None:
        """Until nothing has come for so long."""
        loop = asyncio.get_running_loop()
        while (left := self._last + seconds - loop.time()) > 0:  # noqa: ASYNC110 - silence is no event
            await asyncio.sleep(left)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            upstream, downstream = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        asked = bytearray()

        def received(_: bytes) -> None:
            self.passed(bytes(asked), asyncio.get_running_loop().time())
            asked.clear()

        pumps = self._pump(reader, downstream, asked.extend), self._pump(upstream, writer, received)
        with contextlib.suppress(asyncio.CancelledError):  # asyncio would print the end of a connection that we stop
            await asyncio.gather(*pumps, return_exceptions=True)
        for end in (writer, downstream):
            end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: Callable[[bytes], None]
    ) -> None:
        """Pieces keep their order and do not wait for each other."""
        loop, under_way = asyncio.get_running_loop(), asyncio.Queue[tuple[float, bytes]]()

        async def deliver() -> None:
            while True:
                due, data = await under_way.get()
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                await self.open.wait()
                told(data)
                if not data:
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        delivering = asyncio.create_task(deliver())
        try:
            while data := await reader.read(CHUNK):
                self._last = loop.time()
                under_way.put_nowait((loop.time() + self.rtt / 2, data))
            under_way.put_nowait((loop.time() + self.rtt / 2, b""))
            await delivering
        finally:
            delivering.cancel()
