"""HTTP by hand: one request on a fresh connection, every byte of it the test's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


async def send(port: int, *pieces: bytes, beginning: bool = False) -> Answer:
    """Send the pieces, read until the server is done or closes; of a stream only the `beginning`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # refused half-way, as it should be: the answer is there
        return await read(reader, beginning)
    finally:
        writer.close()


async def read(reader: asyncio.StreamReader, beginning: bool = False) -> Answer:
    """One answer, or of one in chunks the first chunk."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    status = int(first.split(" ")[1])
    if status == 204:
        return Answer(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        if beginning:
            return Answer(status, headers, await anext(chunks(reader)))
        return Answer(status, headers, b"".join([chunk async for chunk in chunks(reader)]))
    return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a body as they come."""
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)


def head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
