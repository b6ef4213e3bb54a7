"""A proxy as companies have it: it speaks CONNECT, and plain requests for http addresses."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit


class Tunnel:
    """`asked` are the places that it was asked to lead to; `refusal` is what it answers instead, for example `407`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[str] = []
        self.refusal = ""
        self.url = ""
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.partition("\r\n")[0].split(" ")
            place = target if method == "CONNECT" else urlsplit(target).netloc
            self.asked.append(place)
            self.headers.append(head)
            if self.refusal:
                writer.write(f"HTTP/1.1 {self.refusal} No\r\nContent-Length: 0\r\n\r\n".encode())
                return
            host, _, port = place.rpartition(":")
            there, out = await asyncio.open_connection(host, int(port))
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                out.write(head.replace(f"http://{place}", "", 1).encode())
            with contextlib.closing(out):
                await asyncio.gather(_copy(reader, out), _copy(there, writer))
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            self._open.discard(task)
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
        await writer.drain()
    writer.close()
