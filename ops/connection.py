"""A command's connection to JetStream."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.js import JetStreamContext

from kit.nats import connection_to
from kit.secrets import OPERATOR, nats_servers
from settings import Settings


@asynccontextmanager
async def jetstream(settings: Settings) -> AsyncIterator[JetStreamContext]:
    """Connect to JetStream until the block ends.

    Raises:
        NoAnswer: no server answers.
    """
    async with connection_to(nats_servers(settings, OPERATOR)) as connection:
        yield connection.jetstream(timeout=10)
