"""The timeline of an order: what happened, what is missing, and which component is awaited."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from nats.js.api import Header, RawStreamMsg
from pydantic import ValidationError

from contracts.events import GRACE, LIVE_STATUSES
from contracts.wire import now
from kit.errors import Unavailable
from kit.nats import EVENTS
from kit.stripe.client import StripeApi
from ops.audit.accounts import money
from ops.dead_letters import letters
from ops.health import health
from ops.lookup import NotFound
from ops.order_events import StoredEvent
from ops.payout_facts import Payout, awaited_payout, payout_facts, read_payout, report_fact
from ops.sources import Position, Sources, has_due_timer, has_timer, position_of
from ops.trace import events, line
from services.payments.money_back import MoneyBack
from services.payments.stripe_gateway.ledger import StripeRecord, find_record
from settings import SERVICES, ServiceName
from streams.delivery import DeadLetter
from streams.processes import CONSUMERS
from streams.topology import Consumer

Document = Mapping[str, Any]

EMAIL_TIME = timedelta(minutes=1)
"""After this time, an email that isn't sent is missing."""

OUTBOX_TIME = timedelta(seconds=2)
"""A message isn't missing before this time: the relay removes published messages twice a second."""

WEBHOOK_TIME = timedelta(seconds=10)
"""A webhook isn't missing before this time. Payments waits for half a second, and then asks Stripe."""


@dataclass(frozen=True)
class Missing:
    """Something that should have happened or has to happen."""

    sentence: str
    awaited: str
    """The component, or who has to act."""


@dataclass
class Timeline:
    """Everything that is known about an order."""

    order_id: str
    order_status: str | None = None
    payment_status: str | None = None
    is_disputed: bool = False
    """Whether a dispute is open."""
    ticket_id: str | None = None
    expires_at: datetime | None = None
    """The order's deadline."""
    owed: int = 0
    """What the seller owes for the order, in minor units."""
    debt: str = ""
    """The same as a text, such as `18.99 usd`."""
    facts: list[str] = field(default_factory=list)
    """The order, its ticket and its payment as they are stored."""
    events: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """What limits this timeline."""

    def lines(self) -> list[str]:
        found = [*self.facts, "", *self.events, ""]
        if self.missing:
            found += ["What is missing, or awaited:"]
            found += [f"  - {each.sentence} (awaited: {each.awaited})" for each in self.missing]
        else:
            found += ["Nothing is missing."]
        return [*found, *(f"Note: {warning}" for warning in self.warnings)]


@dataclass(frozen=True)
class Records:
    """What the databases and streams have about an order."""

    order: Document | None
    payment: Document | None
    ticket: Document | None
    replica: Document | None
    """The order as payments knows it."""
    offer: Document | None
    """The ticket as orders knows it."""
    webhooks: Sequence[Document]
    """Webhooks that aren't processed."""
    events: Sequence[StoredEvent]
    positions: Mapping[str, Position | None]
    """By the consumer's name."""
    dead: Sequence[RawStreamMsg]
    """Dead letters about the order."""
    emails: Sequence[Document]
    """What the buyer and the seller are told by email."""
    books: Payout
    """What payouts has."""


async def timeline(sources: Sources, order_id: str) -> Timeline:
    """Read everything about an order, and say what is missing.

    Raises:
        NotFound: neither the databases nor the stream have the order.
        nats.errors.Error, TimeoutError, pymongo.errors.PyMongoError
    """
    found = Timeline(order_id)
    records = await _read(sources, order_id, found.warnings)
    if records.order is None and records.payment is None and not records.events:
        raise NotFound(f"Neither the databases nor the event stream have an order {order_id}.")
    moment = now()
    found.payment_status = records.payment["status"] if records.payment else None
    disputes = records.payment.get("disputes", ()) if records.payment else ()
    found.is_disputed = any(each["status"] == "open" for each in disputes)
    if order := records.order:
        found.order_status, found.ticket_id = order["status"], order["ticket_id"]
        found.expires_at = order["expires_at"]
    if sale := records.books.sale:
        found.owed, found.debt = sale.owed, f"{money(sale.owed)} {sale.currency}"
    found.facts = [*_facts(records), *payout_facts(records.books)]
    found.events = [_event_line(event, records) for event in records.events]
    found.missing = [
        *_unpublished(records, moment),
        *_unhandled(records),
        *await _timers(sources, records, moment),
        *_undecided(records, moment),
        *_money(records, moment),
        *(Missing(*each) for each in awaited_payout(records.books, records.order, records.payment, moment)),
        *_unsent(records, moment),
        *await _at_stripe(sources, records),
    ]
    found.missing += await _unready(sources, found.missing)
    return found


async def is_stored(sources: Sources, order_id: str) -> bool:
    """Whether orders or payments has the order. Otherwise `timeline` searches the whole event stream."""
    if await sources.database("orders")["orders"].find_one({"_id": ObjectId(order_id)}, {"_id": 1}):
        return True
    return bool(await sources.database("payments")["payments"].find_one({"order_id": order_id}, {"_id": 1}))


async def _read(sources: Sources, order_id: str, warnings: list[str]) -> Records:
    payments = sources.database("payments")
    key = ObjectId(order_id)
    order = await sources.database("orders")["orders"].find_one({"_id": key})
    ticket_id = order["ticket_id"] if order else None
    tickets = sources.database("tickets")["tickets"]
    webhooks = payments["webhook_events"].find({"processed": False, "order_id": order_id}, limit=20)
    stored = [event async for event in events(sources.js, sources.settings, order_id, warnings.append)]
    return Records(
        order,
        await payments["payments"].find_one({"order_id": order_id}),
        await tickets.find_one({"_id": ObjectId(ticket_id)}) if ticket_id else None,
        await payments["orders"].find_one({"_id": key}),
        await sources.database("orders")["tickets"].find_one({"_id": ObjectId(ticket_id)})
        if ticket_id
        else None,
        await webhooks.to_list(),
        stored,
        {consumer.name: await position_of(sources.js, consumer) for consumer in CONSUMERS},
        await _letters_about(order_id, sources, warnings),
        await sources.database("mail")["messages"].find({"cause": order_id}, limit=20).to_list(),
        await read_payout(sources, order_id),
    )


MOST_LETTERS = 1_000
"""How many dead letters are searched for an order."""


async def _letters_about(order_id: str, sources: Sources, warnings: list[str]) -> list[RawStreamMsg]:
    """The dead letters that contain the order's id, among the oldest."""
    found, read = [], 0
    async with aclosing(letters(sources.js)) as dead:  # type: ignore[type-var] # a generator
        async for letter in dead:
            read += 1
            if read > MOST_LETTERS:
                warnings.append(f"only the {MOST_LETTERS} oldest dead letters were searched")
                break
            if order_id.encode() in (letter.data or b""):
                found.append(letter)
    return found


def _facts(records: Records) -> list[str]:
    found = []
    if order := records.order:
        parts = [
            f"order {order['_id']} {order.get('code') or ''} is {order['status']}",
            f"version {order.get('version')}",
            f"deadline {_time(order.get('expires_at'))}",
            f"hold {order.get('hold')} of ticket {order['ticket_id']}"
            f"{'' if order.get('held') is None else ', confirmed' if order['held'] else ', not confirmed'}",
            f"cancelled: {order['cancel_reason']}" if order.get("cancel_reason") else "",
            "cancelled: operator" if order.get("cancelled_by_operator") else "",
        ]
        found.append(", ".join(filter(None, parts)))
        found += [report_fact(order["report"])] if order.get("report") else []
    else:
        found.append("orders has no such order")
    if ticket := records.ticket:
        found.append(f"ticket {ticket['_id']} is {ticket['status']} for order {ticket.get('order_id')}")
    if payment := records.payment:
        found += _payment_facts(payment)
    else:
        found.append("payments has no payment: the buyer hasn't tried to pay")
    return found + [_email_fact(email) for email in records.emails]


def _email_fact(email: Document) -> str:
    """The address isn't stored: only auth knows it."""
    parts = [
        f"email {email['kind']} to user {email['recipient']} is {email['status']}",
        f"sent {_time(email['sent_at'])}" if email.get("sent_at") else "",
        f"attempts {email['attempts']}",
        f"last error {email['error']}" if email.get("error") else "",
        f"next attempt {_time(email['next_attempt_at'])}" if email["status"] == "queued" else "",
    ]
    return ", ".join(filter(None, parts))


def _unsent(records: Records, moment: datetime) -> list[Missing]:
    found = []
    for email in records.emails:
        what = f"The email {email['kind']} to user {email['recipient']}"
        error = email.get("error") or "no attempt has ended"
        if email["status"] == "failed":
            found.append(Missing(f"{what} can't be sent: {error}", "an operator"))
        elif email["status"] == "queued" and moment - email["created_at"] > EMAIL_TIME:
            found.append(Missing(f"{what} isn't sent: {error}", "mail"))
    return found


def _payment_facts(payment: Document) -> list[str]:
    parts = [
        f"payment {payment['_id']} is {payment['status']}",
        f"attempt {payment.get('attempt', 1)} since {_time(payment.get('attempt_began_at'))}",
        f"at Stripe {payment.get('intent_id') or payment.get('session_id') or 'nothing yet'}",
        f"declined: {payment['decline_message']}" if payment.get("decline_message") else "",
        "the bank asks the buyer to confirm" if payment.get("bank_check") else "",
        f"next look {_time(payment['next_look_at'])}" if payment.get("next_look_at") else "",
    ]
    found = [", ".join(filter(None, parts))]
    found += [f"  earlier attempt {ended}" for ended in payment.get("ended", ())]
    for refund in payment.get("refunds", ()):
        failure = f", {refund['failure']}" if refund.get("failure") else ""
        found.append(f"  refund {refund['id']} is {refund['status']}{failure}")
    return found


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "unknown"


def _name(event: StoredEvent) -> str:
    return f"{event.message.subject} {event.body.get('version', '')}".rstrip()


def _consumers_of(event: StoredEvent) -> list[Consumer]:
    subject = event.message.subject
    return [each for each in CONSUMERS if each.stream == EVENTS and each.receives(subject)]


def _event_line(event: StoredEvent, records: Records) -> str:
    handled: list[str] = []
    waiting: list[str] = []
    for consumer in _consumers_of(event):
        is_handled = _why_unhandled(event, consumer, records) is None
        (handled if is_handled else waiting).append(consumer.service)
    start = records.events[0].message.stored_at
    parts = [line(event, start)]
    if handled:
        parts.append(f"handled by {', '.join(handled)}")
    if waiting:
        parts.append(f"WAITS for {', '.join(waiting)}")
    return "  ".join(parts)


def _unpublished(records: Records, moment: datetime) -> list[Missing]:
    owners: tuple[tuple[ServiceName, Document | None], ...] = (
        ("orders", records.order),
        ("payments", records.payment),
        ("tickets", records.ticket),
        ("payouts", records.books.stored),
    )
    # A process that was killed may have published a message without removing it.
    published = {event.message.headers.get("ce-id") for event in records.events}
    return [
        Missing(
            f"{entry.get('subject')} was stored at {_time(entry.get('time'))};"
            f" {service} hasn't published it: it waits in the outbox",
            service,
        )
        for service, document in owners
        for entry in (document or {}).get("outbox", ())
        if moment - entry["time"] > OUTBOX_TIME and entry.get("id") not in published
    ]


def _unhandled(records: Records) -> list[Missing]:
    found = []
    for event in records.events:
        for consumer in _consumers_of(event):
            reason = _why_unhandled(event, consumer, records)
            if reason is not None:
                published = f"{_name(event)} was published at {_time(event.message.stored_at)}"
                found.append(Missing(f"{published}; {consumer.service} {reason}", consumer.service))
    return found


def _why_unhandled(event: StoredEvent, consumer: Consumer, records: Records) -> str | None:
    """Why the consumer hasn't handled the event, or None if it has."""
    sequence, position = event.message.sequence, records.positions.get(consumer.name)
    letter_id = f"{consumer.name}:{EVENTS}:{sequence}"
    for letter in records.dead:
        headers = letter.headers or {}
        if headers.get(Header.MSG_ID) == letter_id:
            return (
                f"gave up after {headers.get(DeadLetter.ATTEMPTS)} attempts: dead letter {letter.seq},"
                f" {headers.get(DeadLetter.ERROR)}"
            )
    if position is None:
        return f"can't receive it: consumer {consumer.name} doesn't exist, run `just provision`"
    if sequence <= position.handled or _has_applied(event, consumer, records):
        return None
    if sequence > position.received:
        return f"hasn't received it: consumer {consumer.name} {position.behind}"
    return (
        f"hasn't handled it: consumer {consumer.name} has delivered it,"
        f" and {position.unfinished} of its messages are tried again"
    )


def _has_applied(event: StoredEvent, consumer: Consumer, records: Records) -> bool:
    """Whether a service's documents are as new as the event. An older message may keep its consumer back."""
    version = event.body.get("version")
    if not isinstance(version, int):
        return False
    if event.message.subject.startswith("order."):
        if consumer.service == "payments" and records.replica:
            return int(records.replica["version"]) >= version
        if consumer.service == "payouts" and records.books.order:
            return int(records.books.order["version"]) >= version
        if consumer.service == "tickets" and records.ticket:
            known = (records.ticket.get("hold", 0), records.ticket.get("order_version", -1))
            return bool(known >= (event.body.get("hold", 0), version))
    if event.message.subject.startswith("ticket.") and records.offer:
        return int(records.offer["version"]) >= version
    if event.message.subject.startswith("payment.") and consumer.service == "payouts":
        return bool(records.books.payment and int(records.books.payment["version"]) >= version)
    if event.message.subject.startswith("payment.") and records.order:
        known_version = records.order.get("payment_version")
        return known_version is not None and int(known_version) >= version
    return False


async def _timers(sources: Sources, records: Records, moment: datetime) -> list[Missing]:
    order = records.order
    if order is None or order["status"] not in LIVE_STATUSES:
        return []
    key, deadline = str(order["_id"]), order["expires_at"]
    if await has_due_timer(sources.js, key):
        return [Missing("The timer has fired; expiration hasn't handled it", "expiration")]
    if not await has_timer(sources.js, key, deadline) and moment < deadline + GRACE:
        sentence = (
            f"The timer at {_time(deadline)} isn't in TIMERS; orders ends the order within seconds after it"
            " nevertheless, if its process runs"
        )
        return [Missing(sentence, "expiration")]
    return []


def _undecided(records: Records, moment: datetime) -> list[Missing]:
    """What an unpaid order waits for, and what a complete or cancelled one hasn't caused yet."""
    order, payment, ticket = records.order, records.payment, records.ticket
    if order is None:
        return []
    status = payment["status"] if payment else None
    if order["status"] in LIVE_STATUSES:
        found = []
        if order.get("held") is False:
            sentence = f"tickets hasn't confirmed the hold of ticket {order['ticket_id']}"
            found.append(Missing(sentence, "tickets"))
        if status in ("authorized", "captured"):
            found.append(Missing("Stripe has authorized; orders hasn't decided", "orders"))
        elif moment > (order.get("kept_until") or order["expires_at"] + GRACE):
            since = _time(order["expires_at"])
            found.append(Missing(f"The time to pay was over at {since}; orders hasn't cancelled", "orders"))
        elif status in (None, "failed"):
            found.append(Missing(f"The buyer may pay until {_time(order['expires_at'])}", "the buyer"))
        return found
    if order["status"] == "complete" and status == "authorized":
        return [Missing("The order is complete; payments hasn't captured the payment", "payments")]
    if order["status"] == "complete" and ticket and ticket.get("order_id") != str(order["_id"]):
        return [Missing("The order is complete; tickets hasn't sold its ticket to it", "tickets")]
    if order["status"] == "cancelled" and status == "authorized":
        return [Missing("The order is cancelled; payments hasn't released the authorization", "payments")]
    if order["status"] == "cancelled" and ticket and ticket.get("order_id") == str(order["_id"]):
        return [Missing("The order is cancelled; tickets hasn't freed its ticket", "tickets")]
    return []


def _money(records: Records, moment: datetime) -> list[Missing]:
    """What is wrong with refunds and webhooks."""
    found = [
        Missing(
            f"A webhook arrived at {_time(event['received_at'])}; payments hasn't processed it after"
            f" {event.get('failures', 0)} failed attempts",
            "payments",
        )
        for event in records.webhooks
        if moment - event["received_at"] > WEBHOOK_TIME
    ]
    payment = records.payment
    if payment is None or payment["status"] not in ("captured", "refunding"):
        return found
    try:
        money = MoneyBack.model_validate(payment)
    except ValidationError as error:
        return [*found, Missing(f"The payment can't be read: {error.errors()[0]['msg']}", "an operator")]
    if money.refund_failed:
        why = next((refund.failure for refund in reversed(money.refunds) if refund.failure), None)
        sentence = f"The bank rejected the refund{f': {why}' if why else ''}"
        found.append(Missing(sentence, "an operator: `just refund ORDER --again` or `--returned`"))
    elif payment["status"] == "refunding":
        requested = f"The refund was requested at {_time(payment.get('refund_requested_at'))}"
        if any(refund.status == "pending" for refund in money.refunds):
            found.append(Missing(f"{requested}; Stripe has accepted it and hasn't completed it", "Stripe"))
        else:
            found.append(Missing(f"{requested}; Stripe hasn't accepted it", "payments, Stripe"))
    return found


async def _at_stripe(sources: Sources, records: Records) -> list[Missing]:
    """What Stripe knows and payments doesn't, of a payment that isn't final."""
    payment = records.payment
    intent = payment.get("intent_id") if payment else None
    if payment is None or intent is None or payment["status"] in ("captured", "voided", "refunded"):
        return []
    api = StripeApi(sources.settings)
    try:
        record = await find_record(api, intent)
    except Unavailable as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        return [Missing(f"Stripe can't be asked about {intent}: {reason}", "Stripe")]
    finally:
        await api.close()
    return _behind_stripe(payment, record) if record else []


def _behind_stripe(payment: Document, record: StripeRecord) -> list[Missing]:
    """Compare a payment with its PaymentIntent. A webhook or the next look brings what is missing."""
    status = payment["status"]
    next_look = _time(payment.get("next_look_at"))
    until = f"no webhook of it is processed, and payments looks at {next_look} next"
    if record.status == "requires_capture" and status in ("pending", "failed"):
        return [
            Missing(f"Stripe has authorized {record.intent_id}; payments doesn't know: {until}", "payments")
        ]
    if record.status == "succeeded" and status in ("pending", "failed", "authorized"):
        return [
            Missing(f"Stripe has captured {record.intent_id}; payments doesn't know: {until}", "payments")
        ]
    if record.status == "canceled" and status != "refunding":
        return [
            Missing(f"Stripe has cancelled {record.intent_id}; payments doesn't know: {until}", "payments")
        ]
    if record.status == "requires_action":
        return [Missing("The buyer's bank waits for the buyer to confirm", "the buyer")]
    return []


async def _unready(sources: Sources, missing: Sequence[Missing]) -> list[Missing]:
    """The awaited processes that aren't ready."""
    awaited = {service for service in SERVICES if any(service in each.awaited for each in missing)}
    if not awaited:
        return []
    states = await health(sources.settings)
    return [
        Missing(f"{service} {states[service]}", service) for service in sorted(awaited) if states[service]
    ]
