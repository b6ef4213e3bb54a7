"""A small forward proxy on loopback, as a company puts one between its machines and the internet."""

import asyncio
import contextlib


class Proxy:
    """Takes CONNECT and requests in absolute form, and leads all of them to `target` (`host:port`).

    `credentials` is what it wants to read in `Proxy-Authorization`, if anything. `asked` keeps the first line of each.
    """

    def __init__(self, target: str, credentials: str | None = None) -> None:
        self.asked: list[str] = []
        self.address = ""
        self._target = target
        self._credentials = credentials

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.asked.append(lines[0].removesuffix(" HTTP/1.1"))
        if self._credentials is not None and f"Proxy-Authorization: {self._credentials}" not in lines:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        host, port = self._target.split(":")
        onward, back = await asyncio.open_connection(host, int(port))
        if lines[0].startswith("CONNECT "):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            back.write(head)  # an HTTP server takes the absolute form too
        await asyncio.gather(_pour(reader, back), _pour(onward, writer))


async def _pour(source, sink):
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()
