"""How an operator's commands reach the bus."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

import settings


@asynccontextmanager
async def connected() -> AsyncIterator[Client]:
    """A connection for as long as a command takes; ends the program with one line if NATS is away."""
    servers = settings.load().bus

    async def say_nothing(_: Exception) -> None:
        """What matters is said below."""

    try:
        connection = await nats.connect(
            servers, connect_timeout=5, max_reconnect_attempts=1, error_cb=say_nothing
        )
    except (nats.errors.Error, OSError):
        sys.exit(f"NATS doesn't answer at {', '.join(servers)}. Is the marketplace running?")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def jetstream() -> AsyncIterator[JetStreamContext]:
    """JetStream, for as long as a command takes; ends the program with one line if NATS is away."""
    async with connected() as connection:
        yield connection.jetstream(timeout=10)
