"""Create or update every stream and consumer of JetStream."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import APIError, NotFoundError

from kit.nats import connection_to
from ops.errors import explain
from streams.processes import CONSUMERS
from streams.topology import LIMITS, Consumer, consumer_config, streams

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
RETRY_SECONDS = 1.0

UNAVAILABLE = 503
INSUFFICIENT_STORAGE = 10047
"""JetStream's error code when it can't reserve the maximum size of a stream."""
NO_SUITABLE_PEERS = 10005
"""JetStream's error code when a cluster has fewer nodes than the configured number of replicas."""


Config = Mapping[str, Any]
"""The configuration of a stream or a consumer, as JetStream's API has it."""

NO_LIMITS: Mapping[str, Config] = {}


async def provision(
    js: JetStreamContext, replicas: int = 1, limits: Mapping[str, Config] = NO_LIMITS
) -> None:
    """Create missing streams and consumers, and update the others. Repeating it changes nothing.

    Only what the code needs is updated: other settings of an existing stream or consumer, and limits that
    aren't given, stay as operators have set them.

    Args:
        limits: the limits to set, by stream.
    """
    for stream in streams(replicas):
        await _provision_stream(js, stream, limits.get(str(stream.name), {}))
    for consumer in CONSUMERS:
        await _provision_consumer(js, consumer)


async def _provision_stream(js: JetStreamContext, stream: StreamConfig, limits: Config) -> None:
    try:
        existing = await _config(js, f"STREAM.INFO.{stream.name}")
    except NotFoundError:
        await _create_stream(js, stream, limits)
        log.info("created stream %s", stream.name)
        return
    needed = {key: value for key, value in _needed(stream).items() if key not in LIMITS}
    changed = {**existing, **needed, **limits}
    if changed != existing:
        await _request(js, f"STREAM.UPDATE.{stream.name}", changed)


async def _create_stream(js: JetStreamContext, stream: StreamConfig, limits: Config) -> None:
    """Create a stream, without the default maximum size if the server has too little storage for it."""
    try:
        await _request(js, f"STREAM.CREATE.{stream.name}", {**stream.as_dict(), **limits})
    except APIError as error:
        if error.err_code != INSUFFICIENT_STORAGE or "max_bytes" in limits:
            raise
        log.warning("stream %s has no maximum size, because NATS has too little storage for it", stream.name)
        await _request(js, f"STREAM.CREATE.{stream.name}", {**stream.as_dict(), "max_bytes": -1, **limits})


async def _provision_consumer(js: JetStreamContext, consumer: Consumer) -> None:
    config = consumer_config(consumer)
    try:
        existing = await _config(js, f"CONSUMER.INFO.{consumer.stream}.{consumer.name}")
    except NotFoundError:
        await js.add_consumer(consumer.stream, config)
        return
    changed = {**existing, **_needed(config)}
    if changed != existing:
        create = f"CONSUMER.DURABLE.CREATE.{consumer.stream}.{consumer.name}"
        await _request(js, create, {"stream_name": consumer.stream, "config": changed})


def _needed(config: StreamConfig | ConsumerConfig) -> Config:
    """The fields that the code sets. Operators may have changed the others."""
    defaults = type(config)().as_dict()
    return {key: value for key, value in config.as_dict().items() if value != defaults.get(key)}


async def _config(js: JetStreamContext, subject: str) -> dict[str, Any]:
    """The complete configuration. nats-py would leave out the fields that it doesn't know."""
    config: dict[str, Any] = (await _request(js, subject))["config"]
    return config


async def _request(js: JetStreamContext, subject: str, body: Config | None = None) -> dict[str, Any]:
    request = json.dumps(body).encode() if body else b""
    answer: dict[str, Any] = await js._api_request(f"{js._prefix}.{subject}", request, timeout=js._timeout)
    return answer


async def provision_with_retries(
    js: JetStreamContext, replicas: int, within: float = TIMEOUT_SECONDS
) -> None:
    """Provision JetStream, which may still be electing a leader or waiting for nodes.

    Raises:
        nats.errors.Error: JetStream rejected a request, or wasn't ready after `within` seconds.
    """
    await _retry(lambda: provision(js, replicas), within)


async def provision_servers(
    servers: Sequence[str],
    replicas: int,
    limits: Mapping[str, Config] = NO_LIMITS,
    within: float = TIMEOUT_SECONDS,
) -> None:
    """Provision servers that may not run yet. Each attempt uses a new connection, because a closed connection
    doesn't reconnect.

    Raises:
        NoAnswer, nats.errors.Error: the servers rejected a request, or weren't ready after `within` seconds.
    """

    async def attempt() -> None:
        async with connection_to(servers) as connection:
            await provision(connection.jetstream(timeout=5), replicas, limits)

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
