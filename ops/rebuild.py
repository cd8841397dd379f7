"""Rebuild the replicas of a service from the event stream.

The service may run meanwhile: its replicas are available at all times, and its own aggregates don't change.
A replica is written only if it still has the version that was read, so that a newer event that the service
handles meanwhile isn't lost.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from beanie import PydanticObjectId
from nats.js import JetStreamContext
from pydantic import BaseModel, Field, ValidationError
from pymongo.results import UpdateResult

from contracts.events import OrderCreated, OrderEvent, TicketCreated, TicketEvent
from kit.aggregates import Aggregate
from kit.mongo import database, object_id
from kit.nats import EVENTS, read_stream
from kit.replicas import Replica
from ops.connection import jetstream
from services.orders import actions as orders
from services.orders.documents import Order, TicketReplica
from services.payments import actions as payments
from services.payments.documents import OrderReplica
from services.tickets.documents import Ticket
from settings import ServiceName, Settings

RELAY_SECONDS = 30.0
"""How long to wait for the owner to publish aggregates whose events the stream no longer has."""
POLL_SECONDS = 0.5

State = dict[str, Any]
Outcome = Literal["right", "written", "ahead"]


@dataclass(frozen=True)
class Replication:
    """How a service replicates another service's aggregates."""

    owner: ServiceName
    subject: str
    owned: type[Aggregate]
    replica: type[Replica]
    event: type[TicketEvent] | type[OrderEvent]
    """An event type that can parse all events of the subject."""
    state: Callable[[Any], State]


REPLICATIONS: Mapping[ServiceName, Replication] = {
    "orders": Replication("tickets", "ticket.*", Ticket, TicketReplica, TicketCreated, orders.replica_fields),
    "payments": Replication("orders", "order.*", Order, OrderReplica, OrderCreated, payments.replica_fields),
}


NOT_REBUILT: Mapping[ServiceName, str] = {
    "payouts": (
        "Payouts can't be rebuilt from events: its ledger, transfers and accounts are in no event, and money"
        " has moved because of them. If replicas are missing or outdated, run `just republish orders` and"
        " `just republish payments`: payouts adds what it lacks, and changes its sales accordingly. Then run"
        " `just audit`. Sales that are lost come back only with a backup."
    )
}
"""Services that follow others, but can't be rebuilt, each with what to do instead."""


class Versioned(BaseModel):
    """The version of a document."""

    id: PydanticObjectId = Field(alias="_id")
    version: int


class Published(Versioned):
    """The version of an aggregate, and the ids of the events in its outbox."""

    outbox: list[dict[str, Any]] = []

    class Settings:
        projection = {"version": 1, "outbox.id": 1}


@dataclass
class NewestEvents:
    """The newest event of each entity in the stream."""

    replication: Replication
    by_id: dict[str, TicketEvent | OrderEvent] = field(default_factory=dict)
    next: int = 1
    """The sequence number at which the next read starts."""

    async def read_new(self, js: JetStreamContext) -> None:
        """Read the events that were published since the last call."""
        async for message in read_stream(js, EVENTS, self.replication.subject, self.next):
            self.next = message.sequence + 1
            self._add(message.body)

    def _add(self, body: bytes) -> None:
        try:
            event = self.replication.event.model_validate_json(body)
        except ValidationError:
            return  # a malformed event becomes a dead letter
        # Of several events with one version, keep the last: republishing after an upgrade adds new fields.
        if (before := self.by_id.get(event.id)) is None or event.version >= before.version:
            self.by_id[event.id] = event


async def rebuild(settings: Settings, service: ServiceName) -> Counter[str]:
    """Make every replica of a service equal to the state that its owner published last.

    Repeating it is harmless.

    Return how many replicas were `right`, `written` and `removed`, and how many are `missing`: the stream
    has no event of them, and their owner didn't republish them in time.
    """
    replication = REPLICATIONS[service]
    async with (
        jetstream(settings) as js,
        database(settings.database, replication.owner, [replication.owned]),
        database(settings.database, service, [replication.replica]),
    ):
        return await _rebuild(js, replication)


async def _rebuild(js: JetStreamContext, replication: Replication) -> Counter[str]:
    replica = replication.replica
    counts = Counter[str]()
    newest = NewestEvents(replication)
    await newest.read_new(js)
    counts["missing"] = await _request_missing(js, newest)
    ahead = {}
    for key, event in newest.by_id.items():
        outcome, version = await correct_replica(replica, key, event.version, replication.state(event))
        if outcome == "ahead":
            ahead[key] = version
        else:
            counts[outcome] += 1
    # The replicas in `ahead` are newer than the events read so far. Read the stream again: a version that it
    # still doesn't contain was never published.
    await newest.read_new(js)
    for key, version in ahead.items():
        event = newest.by_id[key]
        never_published = event.version < version
        if never_published:
            await _overwrite(replica, key, version, event.version, replication.state(event))
        counts["written" if never_published else "right"] += 1
    async for found in replica.find({}).project(Versioned):
        # An owner writes an aggregate before publishing it, and never deletes an aggregate. So an aggregate
        # that the owner lacks never existed, or was lost when the owner's database was restored.
        if str(found.id) not in newest.by_id and not await _exists(replication.owned, found.id):
            await replica.find_one({"_id": found.id, "version": found.version}).delete()
            counts["removed"] += 1
    return counts


async def _request_missing(js: JetStreamContext, newest: NewestEvents) -> int:
    """Have the owner republish aggregates that the stream has no event of.

    Return the number of aggregates that the owner didn't publish in time.
    """
    owned = newest.replication.owned
    missing = set()
    async for found in _published(owned):
        if str(found.id) not in newest.by_id:
            missing.add(str(found.id))
            if not found.outbox:
                await owned.republish(found.id)
    clock = asyncio.get_running_loop()
    deadline = clock.time() + RELAY_SECONDS
    while missing and clock.time() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        await newest.read_new(js)
        missing -= newest.by_id.keys()
    return len(missing)


async def _published(owned: type[Aggregate]) -> AsyncIterator[Published]:
    """Every aggregate that was ever published."""
    async for found in owned.find({}).project(Published):
        if found.version >= 0:
            yield found


async def _exists(owned: type[Aggregate], key: PydanticObjectId) -> bool:
    return await owned.find_one({"_id": key}).project(Versioned) is not None


async def correct_replica(
    replica: type[Replica], key: str, version: int, state: State
) -> tuple[Outcome, int]:
    """Write `state` to the replica if the replica differs and isn't newer.

    Return the outcome and the replica's resulting version.
    """
    while True:
        # Read the raw document, because a replica that was damaged by hand may not be valid.
        found = await replica.get_pymongo_collection().find_one({"_id": object_id(key)})
        if found is None:
            await replica.follow(key, version, state)
            return "written", version
        if found["version"] > version:
            return "ahead", found["version"]
        if found["version"] == version and all(found.get(name) == state[name] for name in state):
            return "right", version
        if await _overwrite(replica, key, found["version"], version, state):
            return "written", version


async def _overwrite(replica: type[Replica], key: str, expected: int, version: int, state: State) -> bool:
    """Overwrite a replica if its version is still `expected`. Return whether it was overwritten."""
    guard = {"_id": object_id(key), "version": expected}
    result = await replica.find_one(guard).update({"$set": {**state, "version": version}})
    assert isinstance(result, UpdateResult)
    return result.matched_count == 1
