"""Create or update every stream and consumer of JetStream."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import nats.errors
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError

from kit.nats import connection_to
from ops.errors import explain
from streams.processes import CONSUMERS
from streams.topology import consumer_config, streams

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
RETRY_SECONDS = 1.0

UNAVAILABLE = 503
NO_SUITABLE_PEERS = 10005
"""JetStream's error code when a cluster has fewer nodes than the configured number of replicas."""


async def provision(js: JetStreamContext, replicas: int = 1) -> None:
    """Create missing streams and consumers and update the others. Repeating it changes nothing."""
    for stream in streams(replicas):
        try:
            await js.stream_info(str(stream.name))
        except NotFoundError:
            await js.add_stream(stream)
            log.info("created stream %s", stream.name)
        else:
            await js.update_stream(replace(stream))
    for consumer in CONSUMERS:
        await js.add_consumer(consumer.stream, consumer_config(consumer))


async def provision_with_retries(
    js: JetStreamContext, replicas: int, within: float = TIMEOUT_SECONDS
) -> None:
    """Provision JetStream, which may still be electing a leader or waiting for nodes.

    Raises:
        nats.errors.Error: JetStream rejected a request, or wasn't ready after `within` seconds.
    """
    await _retry(lambda: provision(js, replicas), within)


async def provision_servers(servers: Sequence[str], replicas: int, within: float = TIMEOUT_SECONDS) -> None:
    """Provision servers that may not run yet. Each attempt uses a new connection, because a closed connection
    doesn't reconnect.

    Raises:
        NoAnswer, nats.errors.Error: the servers rejected a request, or weren't ready after `within` seconds.
    """

    async def attempt() -> None:
        async with connection_to(servers) as connection:
            await provision(connection.jetstream(timeout=5), replicas)

    await _retry(attempt, within)


async def _retry(attempt: Callable[[], Awaitable[None]], within: float) -> None:
    deadline = time.monotonic() + within
    while True:
        try:
            return await attempt()
        except nats.errors.Error as error:
            if not _may_pass(error) or time.monotonic() > deadline:
                raise
            log.warning("the bus isn't ready, trying again: %s", explain(error))
        await asyncio.sleep(RETRY_SECONDS)


def _may_pass(error: nats.errors.Error) -> bool:
    return not isinstance(error, APIError) or error.code == UNAVAILABLE or error.err_code == NO_SUITABLE_PEERS
