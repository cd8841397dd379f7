"""Build what orders or payments knows of others anew from the stream: `just rebuild orders`.

The service may run: its copies are there at all times. What it owns itself isn't touched. It may be repeated.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nats.errors
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy
from pydantic import ValidationError

import settings
from contracts.events import OrderCreated, OrderEvent, TicketCreated, TicketEvent
from services.kit import rebuilding
from services.kit.aggregates import Aggregate
from services.kit.copies import Copy
from services.kit.mongo import DatabaseError, HalfRestored, database, object_id
from services.orders import actions as orders
from services.orders.documents import Order
from services.orders.documents import Ticket as KnownTicket
from services.payments import actions as payments
from services.payments.documents import Order as KnownOrder
from services.tickets.documents import Ticket
from settings import ServiceName, Settings
from streams.operator import jetstream
from streams.topology import EVENTS

MESSAGE_SECONDS = 5.0
RELAY_SECONDS = 30.0
"""How long the owner's process has to publish what the stream doesn't keep any more."""
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Copies:
    """What a service knows of what another owns."""

    owner: ServiceName
    subject: str
    owned: type[Aggregate]
    known: type[Copy]
    event: type[TicketEvent] | type[OrderEvent]
    """One that all of them can be read as."""
    state: Callable[[Any], dict[str, Any]]


COPIES: Mapping[ServiceName, Copies] = {
    "orders": Copies("tickets", "ticket.*", Ticket, KnownTicket, TicketCreated, orders.known_of),
    "payments": Copies("orders", "order.*", Order, KnownOrder, OrderCreated, payments.known_of),
}


@dataclass
class Said:
    """The newest event of each thing that the stream has."""

    copies: Copies
    newest: dict[str, TicketEvent | OrderEvent] = field(default_factory=dict)
    next: int = 1
    """The sequence number to read on at."""

    async def read_on(self, js: JetStreamContext) -> None:
        """Hear of what was published since the last time."""
        subscription = await js.subscribe(
            self.copies.subject,
            stream=EVENTS,
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self.next),
        )
        try:
            info = await subscription.consumer_info()
            left = (info.num_pending or 0) + (info.delivered.consumer_seq if info.delivered else 0)
            for _ in range(left):
                message = await subscription.next_msg(timeout=MESSAGE_SECONDS)
                self.next = message.metadata.sequence.stream + 1
                self._hear(message.data)
        finally:
            await subscription.unsubscribe()

    def _hear(self, body: bytes) -> None:
        try:
            event = self.copies.event.model_validate_json(body)
        except ValidationError:
            return  # poison, of which a dead letter tells
        # Of one version the last: republishing says what the first may not have known to say.
        if (before := self.newest.get(event.id)) is None or event.version >= before.version:
            self.newest[event.id] = event


async def rebuild(js: JetStreamContext, copies: Copies) -> Counter[str]:
    """Make every copy what its owner last said.

    Gives how many were `right`, `written` and `removed`, and how many `wait` for their owner to say them.
    """
    counts = Counter[str]()
    said = Said(copies)
    await said.read_on(js)
    counts["wait"] = await _ask_for_older(js, said)
    ahead = {}
    for key, event in said.newest.items():
        outcome, version = await rebuilding.put_right(copies.known, key, event.version, copies.state(event))
        if outcome == "ahead":
            ahead[key] = version
        else:
            counts[outcome] += 1
    # Either the service heard of it meanwhile, and then the stream has it too, or nobody ever said it.
    await said.read_on(js)
    for key, version in ahead.items():
        event = said.newest[key]
        nobody_said = event.version < version
        if nobody_said:
            await rebuilding.overwrite(copies.known, key, version, event.version, copies.state(event))
        counts["written" if nobody_said else "right"] += 1
    async for key, version in rebuilding.known(copies.known):
        # An owner writes before it says, and never deletes: what it doesn't have never was, or was lost with
        # a database that was set back.
        if key not in said.newest and not await rebuilding.exists(copies.owned, key):
            await rebuilding.remove(copies.known, key, version)
            counts["removed"] += 1
    return counts


async def _ask_for_older(js: JetStreamContext, said: Said) -> int:
    """Have the owner say again what the stream keeps no more; gives how many it hasn't by the deadline."""
    copies = said.copies
    missing = set()
    async for key, waits in rebuilding.owned(copies.owned):
        if key not in said.newest:
            missing.add(key)
            if not waits:
                await copies.owned.republish(object_id(key))
    clock = asyncio.get_running_loop()
    deadline = clock.time() + RELAY_SECONDS
    while missing and clock.time() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        await said.read_on(js)
        missing -= said.newest.keys()
    return len(missing)


async def run(conf: Settings, js: JetStreamContext, service: ServiceName) -> Counter[str]:
    copies = COPIES[service]
    async with (
        database(conf.database, copies.owner, [copies.owned]),
        database(conf.database, service, [copies.known]),
    ):
        return await rebuild(js, copies)


async def main() -> int:
    parser = argparse.ArgumentParser(prog="just rebuild", description=__doc__)
    parser.add_argument("service", choices=list(COPIES))
    service: ServiceName = parser.parse_args().service
    owner = COPIES[service].owner
    async with jetstream() as js:
        try:
            counts = await run(settings.load(), js, service)
        except (DatabaseError, HalfRestored, nats.errors.Error, TimeoutError) as error:
            sys.stderr.write(f"Not all of it is done; it may be repeated. {error!r}\n")
            return 1
    sys.stdout.write(
        f"Of {owner}, {service} had {counts['right']} right; {counts['written']} were written anew and"
        f" {counts['removed']} removed.\n"
    )
    if counts["wait"]:
        sys.stderr.write(
            f"{counts['wait']} are older than the stream: {owner} has to run to say them. Repeat this then.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
