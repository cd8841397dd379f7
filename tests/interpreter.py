"""Somebody between a client and its server who says something of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Interpreter:
    """Passes on what client and server say, and now and then says something in the server's name."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self._clients: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", self.port):
            yield

    def say(self, words: str) -> None:
        for client in self._clients:
            client.write(words.encode())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._clients.append(writer)
        await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
        self._clients.remove(writer)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while said := await reader.read(65_536):
            writer.write(said)
            await writer.drain()
    writer.close()
