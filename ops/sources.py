"""What diagnoses read: JetStream and the databases of all services. They write nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import ObjectId
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError
from pymongo import AsyncMongoClient

from kit.mongo import Database, DatabaseError, connect
from kit.nats import OUTAGE
from ops.connection import jetstream
from ops.errors import CommandError, explain
from settings import ServiceName, Settings
from streams.topology import TIMERS, Consumer


class Unreachable(CommandError):
    """NATS or the database can't be read. The message says which."""

    exit_code = 2


@dataclass(frozen=True)
class Sources:
    """Open connections."""

    settings: Settings
    js: JetStreamContext
    mongo: AsyncMongoClient[dict[str, Any]]

    def database(self, service: ServiceName) -> Database:
        return self.mongo.get_database(service)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Sources]:
    """Connect to NATS and to the database server until the block ends.

    Raises:
        Unreachable: also if something can't be read within the block.
    """
    try:
        async with (
            jetstream(settings) as js,
            connect(settings.database, socketTimeoutMS=15_000) as mongo,
        ):
            yield Sources(settings, js, mongo)
    except (*OUTAGE, DatabaseError) as error:
        raise Unreachable(explain(error, "NATS or the database can't be read") or str(error)) from error


async def has_timer(js: JetStreamContext, order_id: str, deadline: datetime) -> bool:
    """Whether TIMERS has the timer of this deadline."""
    return await _has(js, f"timers.set.{order_id}.{int(deadline.timestamp() * 1000)}")


async def has_due_timer(js: JetStreamContext, order_id: str) -> bool:
    """Whether a timer of the order has fired and expiration hasn't handled it."""
    return await _has(js, f"timers.due.{order_id}")


async def _has(js: JetStreamContext, subject: str) -> bool:
    try:
        await js.get_last_msg(TIMERS, subject)
    except NotFoundError:
        return False
    return True


@dataclass(frozen=True)
class Position:
    """How far a durable consumer has come."""

    consumer: Consumer
    handled: int
    """All its messages up to this number are handled."""
    received: int
    """The newest message that was delivered to a process."""
    waiting: int
    """Messages that were never delivered."""
    unfinished: int
    """Messages that were delivered and aren't acknowledged. They are tried again."""
    is_pulled: bool
    """Whether a process asks for messages, as every process does unless all its lanes are busy."""
    is_paused: bool
    """Whether an operator has paused the consumer, so that the server delivers nothing."""

    @property
    def behind(self) -> str:
        """How far the consumer is behind, in words."""
        number = self.waiting + self.unfinished
        behind = f"{number} message{'' if number == 1 else 's'} behind"
        return f"is paused, and {behind}" if self.is_paused else f"is {behind}"

    @property
    def is_done(self) -> bool:
        """Whether the consumer has handled all its messages."""
        return self.waiting + self.unfinished == 0

    @classmethod
    def of(cls, consumer: Consumer, info: ConsumerInfo) -> "Position":
        floor, delivered = info.ack_floor, info.delivered
        return cls(
            consumer,
            handled=floor.stream_seq if floor else 0,
            received=delivered.stream_seq if delivered else 0,
            waiting=info.num_pending or 0,
            unfinished=info.num_ack_pending or 0,
            is_pulled=bool(info.num_waiting),
            is_paused=bool(info.paused),
        )


async def position_of(js: JetStreamContext, consumer: Consumer) -> Position | None:
    """How far the consumer has come, or None if JetStream doesn't have it."""
    try:
        info = await js.consumer_info(consumer.stream, consumer.name)
    except NotFoundError:
        return None
    return Position.of(consumer, info)


async def oldest_unhandled(js: JetStreamContext, position: Position) -> datetime | None:
    """When the oldest message that the consumer hasn't handled was stored. None if there is none."""
    consumer = position.consumer
    if position.is_done:
        return None
    try:
        oldest = await js.get_msg(
            consumer.stream, seq=position.handled + 1, subject=consumer.subject, next=True
        )
    except NotFoundError:
        return None
    return oldest.time


def object_ids(keys: list[str | None]) -> list[ObjectId]:
    """The ids among these texts."""
    return [ObjectId(key) for key in keys if key and ObjectId.is_valid(key)]
