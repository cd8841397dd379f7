"""Connections to NATS that survive failures, and reading the messages of a stream."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict
from uuid import uuid4

import nats
import nats.errors
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

log = logging.getLogger(__name__)

EVENTS = "EVENTS"
"""The stream of all events."""

LIVE_PREFIX = "live"
"""The prefix of subjects on which the server republishes events for core NATS subscribers:
`live.<subject>`."""

OUTAGE = (nats.errors.Error, TimeoutError)
"""Exceptions that a request to NATS raises while the server is down or has no leader."""

PING_SECONDS = 3
"""Interval between pings.

The client leaves a server that misses three pings. That takes nine seconds, instead of six minutes with the
default interval of nats-py.
"""

CHECK_SECONDS = 2.0
MAX_CHECKS_WITHOUT_LEADER = 4
"""Switch servers after this many consecutive checks without a JetStream leader. Most elections are faster."""

MESSAGE_SECONDS = 5.0
"""How long to wait for the next message when reading a stream."""

PUBLISH_SECONDS = 5.0
"""How long to wait until a stream acknowledges a message."""

READER_SECONDS = 30.0
"""How long `read_subject` waits for other processes of the same user."""

READ_AT_ONCE = 500
"""Number of messages that `read_subject` requests at once."""

CONSUMER_EXISTS = 10148
"""JetStream's error code when a consumer with this name, but other settings, exists."""


class NoAnswer(nats.errors.Error):
    """None of the servers answers."""

    def __init__(self, servers: Sequence[str]) -> None:
        addresses = ", ".join(map(_address, servers))
        super().__init__(f"NATS doesn't answer at {addresses}. Is the marketplace running?")


def _address(server: str) -> str:
    """The server's host and port, for logs. A password is left out, even if the URL is malformed."""
    return server.rpartition("@")[2].rpartition("//")[2].partition("/")[0]


@asynccontextmanager
async def connection_to(servers: Sequence[str]) -> AsyncIterator[Client]:
    """A short-lived connection, closed at the end of the block. Tries each server twice.

    Raises:
        NoAnswer
    """

    async def ignore(_: Exception) -> None:
        """Ignore the errors of single attempts, because NoAnswer reports the failure after the last one."""

    try:
        connection = await nats.connect(
            list(servers), connect_timeout=5, max_reconnect_attempts=1, error_cb=ignore
        )
    except (nats.errors.Error, OSError) as error:
        raise NoAnswer(servers) from error
    try:
        yield connection
    finally:
        await connection.close()


class ConnectionOptions(TypedDict):
    """The arguments of NatsBroker that configure its connection."""

    servers: list[str]
    inbox_prefix: str
    dont_randomize: bool
    ping_interval: int
    max_reconnect_attempts: int
    reconnect_time_wait: int


def inbox_prefix(user: str) -> str:
    """The prefix of the subjects on which a user of NATS receives answers.

    deploy/nats/users.conf lets each user subscribe only to its own. So nobody receives answers to others.
    """
    return f"_INBOX.{user}"


def connection_options(servers: Sequence[str], user: str) -> ConnectionOptions:
    """Options for a long-running process: start with a random server, and try all servers in turn forever.

    Args:
        user: the process's user in deploy/nats/users.conf.
    """
    return {
        "servers": random.sample(servers, len(servers)),
        "inbox_prefix": inbox_prefix(user),
        "dont_randomize": True,  # keep the order above, so that no process returns to the server it left
        "ping_interval": PING_SECONDS,
        # No limit, because nats-py's pull loop spins and starves the event loop when attempts run out.
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 1,
    }


async def connect(broker: NatsBroker) -> None:
    """Connect a broker that reconnects even after the server reports an error.

    nats-py 2.16 closes the connection for good after such an error, whatever `max_reconnect_attempts` is. The
    process would stay up but receive nothing, although another server, or the same one later, could serve it.
    """
    connection = await broker.connect()
    process_err = connection._process_err

    async def reconnect(err_msg: str) -> None:
        if "permissions violation" in err_msg.lower():  # affects one subject: keep the connection
            await process_err(err_msg)
            return
        log.warning("NATS ended the connection: %s", err_msg)
        await connection._process_op_err(nats.errors.Error(f"nats: {err_msg}"))

    connection._process_err = reconnect  # type: ignore[method-assign] # nats-py has no option for it


async def leave_leaderless_servers(broker: NatsBroker) -> None:
    """Switch to another server whenever the current one has no JetStream leader for several checks.

    nats-py alone stays connected to a node that lost its cluster, because the node still answers pings.
    """
    connection = broker.connection
    checks_without_leader = 0
    while True:
        await asyncio.sleep(CHECK_SECONDS)
        if len(connection.servers) == 1:  # the server may announce others later
            continue
        checks_without_leader = 0 if await _has_leader(connection) else checks_without_leader + 1
        if checks_without_leader >= MAX_CHECKS_WITHOUT_LEADER:
            log.warning("JetStream has no leader on this server: switching to the next one")
            await connection.force_reconnect()
            checks_without_leader = 0


async def _has_leader(connection: Client) -> bool:
    """Whether JetStream answers on the current server. True while reconnecting, which is a switch already."""
    if not connection.is_connected:
        return True
    try:
        await connection.jetstream(timeout=2).account_info()
    except OUTAGE:
        return False
    return True


def sequence_number(headers: Mapping[str, str]) -> int | None:
    """The position in the stream of a message that the server republished.

    It is None for other messages, which come from no stream and should be ignored.
    """
    number = headers.get("Nats-Sequence", "")
    return int(number) if number.isascii() and number.isdecimal() else None


@dataclass(frozen=True)
class StoredMessage:
    """A message of a stream."""

    subject: str
    sequence: int
    stored_at: datetime
    """When the server stored the message, by the server's clock."""
    headers: Mapping[str, str]
    body: bytes


async def read_stream(
    js: JetStreamContext, stream: str, subject: str, start: datetime | int
) -> AsyncGenerator[StoredMessage, None]:
    """The messages that match a subject, oldest first, up to the newest one at the time of the call.

    Args:
        start: the time or the sequence number from which to read.

    Raises:
        nats.errors.Error, TimeoutError: not everything was read.
    """
    if isinstance(start, datetime):
        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=start)
    else:
        config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=start)
    subscription = await js.subscribe(subject, stream=stream, ordered_consumer=True, config=config)
    try:
        info = await subscription.consumer_info()
        delivered = info.delivered.consumer_seq if info.delivered else 0
        for _ in range((info.num_pending or 0) + delivered):
            yield _stored(await subscription.next_msg(timeout=MESSAGE_SECONDS))
    finally:
        await subscription.unsubscribe()


async def read_message(js: JetStreamContext, stream: str, sequence: int) -> StoredMessage | None:
    """The message with this number, or None if the stream doesn't have it (any more).

    Raises:
        nats.errors.Error, TimeoutError
    """
    try:
        found = await js.get_msg(stream, sequence)
    except NotFoundError:
        return None
    assert found.subject is not None
    assert found.time is not None
    return StoredMessage(found.subject, sequence, found.time, found.headers or {}, found.data or b"")


async def read_subject(
    connection: Client, user: str, stream: str, subject: str, start: datetime
) -> AsyncGenerator[StoredMessage, None]:
    """The messages on a subject since a time, oldest first, up to the newest one at the time of the call.

    Unlike `read_stream`, this needs no permission to create consumers with any name or for any subject: the
    consumer is named after the user and the subject. Of a user's processes, one reads at a time; others wait.

    Raises:
        nats.errors.Error, TimeoutError: not everything was read.
    """
    name = f"{user}-{subject.replace('.', '-')}"
    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox)
    try:
        unread = await _create_reader(connection, stream, name, subject, start)
        while unread:
            batch = min(unread, READ_AT_ONCE)
            request = json.dumps({"batch": batch, "expires": int(MESSAGE_SECONDS * 1e9)})
            await connection.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", request.encode(), reply=inbox
            )
            for _ in range(batch):
                yield _stored(await subscription.next_msg(timeout=MESSAGE_SECONDS))
            unread -= batch
        await _ask(connection, f"CONSUMER.DELETE.{stream}.{name}")
    finally:
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()


async def _create_reader(connection: Client, stream: str, name: str, subject: str, start: datetime) -> int:
    """Create the consumer of `read_subject`, and return how many messages it will deliver."""
    config = ConsumerConfig(
        name=name,
        # Different for each reader: two readers with the same settings would share the consumer's messages.
        description=str(uuid4()),
        filter_subject=subject,
        deliver_policy=DeliverPolicy.BY_START_TIME,
        opt_start_time=start,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=MESSAGE_SECONDS,  # the server deletes the consumer of a reader that died
        mem_storage=True,
        num_replicas=1,
    )
    # Without the action, the server would change the settings of another reader's consumer.
    wanted = {"stream_name": stream, "config": config.as_dict(), "action": "create"}
    deadline = asyncio.get_running_loop().time() + READER_SECONDS
    while True:
        try:
            created = await _ask(connection, f"CONSUMER.CREATE.{stream}.{name}.{subject}", wanted)
        except APIError as error:
            if error.err_code != CONSUMER_EXISTS or asyncio.get_running_loop().time() > deadline:
                raise
        else:
            return int(created["num_pending"])
        await asyncio.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - not a secret


async def _ask(connection: Client, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Send a request to JetStream's API."""
    request = json.dumps(body).encode() if body else b""
    answer = await connection.request(f"$JS.API.{subject}", request, timeout=MESSAGE_SECONDS)
    found: dict[str, Any] = json.loads(answer.data)
    if "error" in found:
        raise APIError.from_error(found["error"])
    return found


def _stored(message: Msg) -> StoredMessage:
    return StoredMessage(
        subject=message.subject,
        sequence=message.metadata.sequence.stream,
        stored_at=message.metadata.timestamp,
        headers=message.headers or {},
        body=message.data,
    )
