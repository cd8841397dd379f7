"""Finds the events about one order, with few reads.

The documents of the order, of its payment and of its ticket remember the sequence numbers of the events that
they published (kit/outbox.py). Timers have no document: their events are searched for around the deadlines
that the events of the order contain.
"""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from nats.js import JetStreamContext
from pydantic_core import from_json

from contracts.events import LIVE_STATUSES, ExpirationComplete
from kit.aggregates import Aggregate
from kit.mongo import DatabaseError, Unusable, database
from kit.nats import EVENTS, StoredMessage, read_message, read_stream
from kit.outbox import MAX_SEQUENCES
from ops.errors import explain
from services.orders.documents import Order
from services.payments.documents import Payment
from services.payouts.documents import Sale
from services.tickets.documents import Ticket
from settings import ServiceName, Settings

CLOCK_SKEW = timedelta(seconds=5)
"""The largest difference between the clocks of NATS and of the services that is tolerated."""

LATE = timedelta(minutes=1)
"""The event of a timer that had no effect is searched for until this long after its deadline."""


class Incomplete(Exception):
    """The documents don't name all events of the order. The message says why, for an operator."""


@dataclass(frozen=True)
class StoredEvent:
    """An event in the stream, with its parsed body."""

    message: StoredMessage
    body: Mapping[str, Any]

    @classmethod
    def of(cls, message: StoredMessage) -> "StoredEvent":
        return cls(message, decoded(message))

    def is_of(self, kind: str, document_id: str) -> bool:
        """Whether this document published the event. `kind` is the first word of the subject."""
        return self.message.subject.startswith(f"{kind}.") and self.body.get("id") == document_id

    def is_about(self, order_id: str) -> bool:
        """Whether the event is about the order, its payment, or its ticket while the order holds it."""
        is_own = self.is_of("order", order_id) or self.is_of("payout", order_id)
        return self.body.get("orderId") == order_id or is_own


def decoded(message: StoredMessage) -> dict[str, Any]:
    """The body of a message, or an empty dict if the body isn't a JSON object and therefore not an event."""
    try:
        body = from_json(message.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def of_order(js: JetStreamContext, settings: Settings, order_id: str) -> Sequence[StoredEvent]:
    """The events about the order that the stream still has, oldest first.

    Raises:
        Incomplete
        nats.errors.Error, TimeoutError: the events can't be read.
    """
    try:
        order = await _document(settings, "orders", Order, {"_id": ObjectId(order_id)})
        payment = await _document(settings, "payments", Payment, {"order_id": order_id})
        on_sale = {"_id": ObjectId(order["ticket_id"])} if order else {}
        ticket = await _document(settings, "tickets", Ticket, on_sale) if order else None
        sale = await _document(settings, "payouts", Sale, {"_id": ObjectId(order_id)})
    except (DatabaseError, Unusable) as error:
        raise Incomplete(explain(error, "the databases can't be read")) from error
    if order is None or ticket is None:
        raise Incomplete("the databases don't contain the order and its ticket")
    first = (await js.stream_info(EVENTS)).state.first_seq
    of_order = await _published(js, "order", order, first)
    begun = min(order["sequences"])
    found = [
        *of_order,
        *(await _published(js, "payment", payment, first) if payment else ()),
        *(await _published(js, "payout", sale, first) if sale else ()),
        *await _published(js, "ticket", ticket, first, since=begun),
        *await _timers(js, order_id, of_order),
    ]
    about = [event for event in found if event.is_about(order_id)]
    return sorted(about, key=lambda event: event.message.sequence)


async def _document(
    settings: Settings, service: ServiceName, kind: type[Aggregate], which: Mapping[str, Any]
) -> dict[str, Any] | None:
    """What a document of a service remembers of its events."""
    async with database(settings.database, service, []) as bound:
        fields = {"version": 1, "sequences": 1, "ticket_id": 1}
        return await bound[kind.Settings.name].find_one(which, fields)


async def _published(
    js: JetStreamContext, what: str, document: Mapping[str, Any], first: int, since: int = 0
) -> list[StoredEvent]:
    """The events that a document has published, as far as the stream still has them.

    Args:
        what: the first word of the events' subjects.
        first: the first sequence number in the stream. Older events have been deleted.
        since: only events after this sequence number have to be complete.

    Raises:
        Incomplete
    """
    sequences = sorted(set(document.get("sequences", ())))
    deleted = [sequence for sequence in sequences if sequence < first]
    messages = [await read_message(js, EVENTS, sequence) for sequence in sequences if sequence >= first]
    events = [StoredEvent.of(message) for message in messages if message is not None]
    # After a restore, a number may be that of another message.
    own = [event for event in events if event.is_of(what, str(document["_id"]))]
    versions = {int(event.body["version"]) for event in own}
    forgets = len(sequences) >= MAX_SEQUENCES
    oldest = min(versions, default=0) if forgets else 0
    missing = set(range(oldest, document["version"] + 1)) - versions
    if len(missing) > (0 if forgets else len(deleted)) or (forgets and sequences[0] > since):
        raise Incomplete(f"the {what} doesn't remember all its events")
    return own


async def _timers(js: JetStreamContext, order_id: str, of_order: Sequence[StoredEvent]) -> list[StoredEvent]:
    """The events that the time to pay was over, one for each deadline that passed while the order was unpaid.

    Raises:
        Incomplete: the order expired, but there is no such event before its cancellation.
    """
    ended = next(
        (event.message.stored_at for event in of_order if event.body.get("status") not in LIVE_STATUSES),
        datetime.now(UTC),
    )
    has_expired = any(event.body.get("cancelReason") == "expired" for event in of_order)
    deadlines = {datetime.fromisoformat(event.body["expiresAt"]) for event in of_order}
    found = []
    for deadline in sorted(deadlines):
        if deadline <= ended + CLOCK_SKEW:
            end = max(deadline + LATE, ended) if has_expired else deadline + LATE
            found += await _timer(js, order_id, deadline, end)
    if has_expired and not found:
        raise Incomplete("the event of its timer wasn't found near its deadline")
    return found


async def _timer(js: JetStreamContext, order_id: str, deadline: datetime, end: datetime) -> list[StoredEvent]:
    """The event of the timer for this deadline, if it was stored before `end`."""
    start = deadline - CLOCK_SKEW
    async with aclosing(read_stream(js, EVENTS, ExpirationComplete.subject, start)) as messages:
        async for message in messages:
            if message.stored_at > end:
                return []
            event = StoredEvent.of(message)
            if event.is_about(order_id) and datetime.fromisoformat(event.body["expiresAt"]) == deadline:
                return [event]
    return []
