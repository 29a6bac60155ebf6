"""HTTP/1.1 written by hand: requests that no client library would send, and answers read byte by byte."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class RawAnswer:
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """Return the body's value."""
        return json.loads(self.body)


class RawConnection:
    """One connection, kept alive; opened again when the server has closed it."""

    def __init__(self, url: str) -> None:
        """Take the base URL of the server."""
        address = urlsplit(url)
        assert address.hostname is not None
        self._host, self._port = address.hostname, address.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self, method: str, target: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b""
    ) -> RawAnswer:
        """Send one request, its target and headers verbatim, and return the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}:{self._port}", f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers)])
        writer.write(head.encode("latin-1") + b"\r\n\r\n" + body)
        answer = await _read(reader)
        if answer.headers.get("connection", "") == "close":
            await self.close()
        return answer

    async def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@asynccontextmanager
async def raw_connection(url: str) -> AsyncGenerator[RawConnection]:
    """Give a connection and hang up afterwards."""
    connection = RawConnection(url)
    try:
        yield connection
    finally:
        await connection.close()


async def _read(reader: asyncio.StreamReader) -> RawAnswer:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return RawAnswer(status=int(lines[0].split()[1]), headers=headers, body=body)
