"""How an operator's commands reach the bus."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

import settings


class NoAnswer(nats.errors.Error):
    """None of the servers answers."""

    def __init__(self, servers: Sequence[str]) -> None:
        places = ", ".join(map(_place, servers))
        super().__init__(f"NATS doesn't answer at {places}. Is the marketplace running?")


def _place(server: str) -> str:
    """Host and port: no log may hold the password before them, be it written by the rules or not."""
    return server.rpartition("@")[2].rpartition("//")[2].partition("/")[0]


@asynccontextmanager
async def connection_to(servers: Sequence[str]) -> AsyncIterator[Client]:
    """A connection until the block ends. Each server is tried twice.

    Raises:
        NoAnswer
    """

    async def say_nothing(_: Exception) -> None:
        """What matters is said once, at the end."""

    try:
        connection = await nats.connect(
            list(servers), connect_timeout=5, max_reconnect_attempts=1, error_cb=say_nothing
        )
    except (nats.errors.Error, OSError) as error:
        raise NoAnswer(servers) from error
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """A connection for as long as a command takes; ends the program with one line if NATS is away."""
    try:
        async with connection_to(settings.load().bus) as connection:
            yield connection
    except NoAnswer as error:
        sys.exit(str(error))


@asynccontextmanager
async def jetstream() -> AsyncIterator[JetStreamContext]:
    """JetStream, for as long as a command takes; ends the program with one line if NATS is away."""
    async with connected() as connection:
        yield connection.jetstream(timeout=10)
