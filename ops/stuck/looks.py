"""The queries for each state. Every one uses an index and reads at most `SCANNED` documents."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from pydantic import ValidationError
from pymongo import ASCENDING, DESCENDING

from contracts.events import GRACE, LIVE_STATUSES
from kit.outbox import HAS_OUTBOX_MESSAGES
from ops.audit.accounts import money
from ops.audit.payouts import SaleEntry
from ops.dead_letters import letters
from ops.payout_facts import frozen_because
from ops.sources import (
    Sources,
    has_due_timer,
    has_timer,
    object_ids,
    oldest_unhandled,
    position_of,
)
from ops.stuck.states import (
    DEAD_LETTER,
    DISPUTE_OPEN,
    EVENT_UNHANDLED,
    EVENT_UNPUBLISHED,
    MESSAGE_UNSENT,
    ORDER_UNCONFIRMED,
    ORDER_UNPAID,
    PAYMENT_OVERDUE,
    PAYMENT_UNCAPTURED,
    PAYMENT_UNDECIDED,
    PAYMENT_UNRELEASED,
    PAYOUT_FROZEN,
    PAYOUT_OVERDUE,
    PROBLEM_UNDECIDED,
    REFUND_FAILED,
    REFUND_ORDERED,
    REFUND_PENDING,
    TICKET_HELD,
    TICKET_SOLD,
    WEBHOOK_UNPROCESSED,
    Finding,
)
from services.payments.money_back import MoneyBack
from services.payments.schedule import OPEN_STATUSES
from settings import ServiceName
from streams.delivery import DeadLetter
from streams.processes import CONSUMERS, OUTBOXES

MOST = 200
"""Maximum number of findings of each state."""

SCANNED = 10_000
"""Maximum number of documents that are read for each state."""

SOLD_WITHIN = timedelta(days=1)
"""Only sales of this time are compared with orders, because all sales together grow without limit."""

DECIDED_WITHIN = timedelta(days=30)
"""Only decisions of this time are compared with refunds, because all together grow without limit."""


Look = Callable[[Sources, datetime], AsyncIterator[Finding]]
"""Finds what is in a state at a moment."""


async def _unpaid(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `overdue` finds the orders."""
    latest = moment - ORDER_UNPAID.longest
    kept = [{"kept_until": None}, {"kept_until": {"$lte": latest}}]
    which = {"live": True, "expires_at": {"$lte": latest - GRACE}, "$or": kept}
    found = sources.database("orders")["orders"].find(
        which, {"expires_at": 1, "kept_until": 1, "status": 1}, sort=[("expires_at", ASCENDING)], limit=MOST
    )
    async for order in found:
        key, deadline = str(order["_id"]), order["expires_at"]
        if await has_due_timer(sources.js, key):
            reason, awaited = "its timer has fired and isn't handled", "expiration"
        elif await has_timer(sources.js, key, deadline):
            reason, awaited = "its timer is still in TIMERS", "NATS, or the sweep of orders"
        else:
            reason, awaited = "TIMERS has no timer of it", "the sweep of orders"
        since = order.get("kept_until") or deadline + GRACE
        yield Finding(ORDER_UNPAID, f"order {key}", since, f"{order['status']}, and {reason}", awaited)


async def _unconfirmed(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `overdue` contains the unpaid orders only, which are few."""
    made_before = ObjectId.from_datetime(moment - ORDER_UNCONFIRMED.longest)
    found = sources.database("orders")["orders"].find(
        {"live": True, "expires_at": {"$gt": datetime(1970, 1, 1, tzinfo=UTC)}, "held": False}
        | {"_id": {"$lt": made_before}},
        {"ticket_id": 1},
        sort=[("expires_at", ASCENDING)],
        limit=MOST,
    )
    async for order in found:
        yield Finding(
            ORDER_UNCONFIRMED,
            f"order {order['_id']}",
            order["_id"].generation_time,
            f"tickets hasn't confirmed the hold of ticket {order['ticket_id']}",
            "tickets",
        )


async def _authorized(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """Authorized payments, most of which last for less than a second."""
    latest = moment - PAYMENT_UNDECIDED.longest
    found = sources.database("payments")["payments"].find(
        {"status": "authorized", "authorized_at": {"$lte": latest}},
        {"order_id": 1, "authorized_at": 1},
        sort=[("next_look_at", ASCENDING)],
        limit=MOST,
    )
    payments = await found.to_list()
    orders = await _orders(sources, [payment["order_id"] for payment in payments])
    for payment in payments:
        order = orders.get(payment["order_id"])
        status = order["status"] if order else "missing"
        if order and status in LIVE_STATUSES and order.get("held") is False:
            state, reason, awaited = PAYMENT_UNDECIDED, "tickets hasn't confirmed the hold", "tickets"
        elif order and status in LIVE_STATUSES:
            state, reason, awaited = PAYMENT_UNDECIDED, f"the order is {status}", "orders"
        elif status == "complete":
            state, reason, awaited = PAYMENT_UNCAPTURED, "the order is complete", "payments"
        else:
            state, reason, awaited = PAYMENT_UNRELEASED, f"the order is {status}", "payments"
        reason = f"Stripe has authorized the payment, and {reason}"
        yield Finding(state, f"order {payment['order_id']}", payment["authorized_at"], reason, awaited)


async def _unlooked(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `next_look` finds the payments."""
    found = sources.database("payments")["payments"].find(
        {
            "status": {"$in": list(OPEN_STATUSES)},
            "next_look_at": {"$lte": moment - PAYMENT_OVERDUE.longest},
        },
        {"order_id": 1, "next_look_at": 1, "status": 1},
        sort=[("next_look_at", ASCENDING)],
        limit=MOST,
    )
    async for payment in found:
        reason = f"the reconciler should have looked at the {payment['status']} payment"
        yield Finding(
            PAYMENT_OVERDUE, f"order {payment['order_id']}", payment["next_look_at"], reason, "payments"
        )


async def _refunds(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `next_look` finds the payments by their status."""
    found = sources.database("payments")["payments"].find(
        {"status": "refunding"}, sort=[("next_look_at", ASCENDING)], limit=SCANNED
    )
    async for payment in found:
        about = f"order {payment['order_id']}"
        since = payment.get("refund_requested_at") or payment["_id"].generation_time
        try:
            money = MoneyBack.model_validate(payment)
        except ValidationError as error:
            yield Finding(REFUND_FAILED, about, since, f"its payment can't be read: {error!r}", "an operator")
            continue
        if money.refund_failed:
            why = next((refund.failure for refund in reversed(money.refunds) if refund.failure), None)
            reason = f"the bank rejected the refund{f' ({why})' if why else ''}"
            yield Finding(REFUND_FAILED, about, since, reason, "an operator: refund --again or --returned")
        elif since <= moment - REFUND_PENDING.longest:
            has_request = any(refund.status == "pending" for refund in money.refunds)
            reason = "Stripe hasn't completed it" if has_request else "Stripe hasn't accepted it"
            yield Finding(REFUND_PENDING, about, since, reason, "Stripe" if has_request else "payments")


async def _webhooks(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `due` finds the events."""
    services: tuple[ServiceName, ...] = ("payments", "payouts")
    for service in services:
        found = sources.database(service)["webhook_events"].find(
            {"processed": False, "received_at": {"$lte": moment - WEBHOOK_UNPROCESSED.longest}},
            {"received_at": 1, "failures": 1, "order_id": 1},
            sort=[("due", ASCENDING)],
            limit=MOST,
        )
        async for event in found:
            reason = f"{event.get('failures', 0)} attempts failed"
            about = f"webhook {event['_id']} of order {event.get('order_id') or 'unknown'}"
            yield Finding(WEBHOOK_UNPROCESSED, about, event["received_at"], reason, service)


async def _ordered_refunds(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `decided_reports` finds the orders."""
    times = {"$gte": moment - DECIDED_WITHIN, "$lte": moment - REFUND_ORDERED.longest}
    orders = sources.database("orders")["orders"].find(
        {"report.decided_at": times},
        {"refund_due_minor": 1, "refunded_minor": 1, "price_minor": 1, "report.decided_at": 1, "status": 1},
        sort=[("report.decided_at", DESCENDING)],
        limit=SCANNED,
    )
    async for order in orders:
        due = min(order.get("refund_due_minor", 0), order.get("price_minor", 0))
        is_made = order["status"] == "refunded" or order.get("refunded_minor", 0) >= due
        if not is_made:
            back = f"{money(due)} is ordered, and {money(order.get('refunded_minor', 0))} is returned"
            yield Finding(
                REFUND_ORDERED, f"order {order['_id']}", order["report"]["decided_at"], back, "payments"
            )


async def _undecided_problems(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `reports` contains the open reports only."""
    found = sources.database("orders")["orders"].find(
        {"report_open": True, "reported_at": {"$lte": moment - PROBLEM_UNDECIDED.longest}},
        {"reported_at": 1, "report.state": 1},
        sort=[("reported_at", ASCENDING)],
        limit=MOST,
    )
    async for order in found:
        state = order.get("report", {}).get("state")
        reason = f"the problem that its buyer reported is {state}"
        yield Finding(PROBLEM_UNDECIDED, f"order {order['_id']}", order["reported_at"], reason, "an operator")


async def _unlooked_sales(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `next_look` finds the sales."""
    found = sources.database("payouts")["sales"].find(
        {"next_look_at": {"$lte": moment - PAYOUT_OVERDUE.longest}},
        {"next_look_at": 1, "state": 1},
        sort=[("next_look_at", ASCENDING)],
        limit=MOST,
    )
    async for sale in found:
        reason = f"the reconciler should have looked at the {sale['state']} sale"
        yield Finding(PAYOUT_OVERDUE, f"order {sale['_id']}", sale["next_look_at"], reason, "payouts")


async def _frozen(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `frozen` finds the sales."""
    latest = moment - min(PAYOUT_FROZEN.longest, DISPUTE_OPEN.longest)
    found = sources.database("payouts")["sales"].find(
        {"frozen_at": {"$gt": datetime(1970, 1, 1, tzinfo=UTC), "$lte": latest}},
        sort=[("frozen_at", ASCENDING)],
        limit=SCANNED,
    )
    async for raw in found:
        sale = SaleEntry.model_validate(raw)
        since = raw["frozen_at"]
        if sale.dispute != "open":
            [reason, awaited] = next(frozen_because(sale), ("nothing freezes it any more", "payouts"))
            yield Finding(PAYOUT_FROZEN, f"order {sale.order_id}", since, reason, awaited)
        elif since <= moment - DISPUTE_OPEN.longest:
            reason = "the buyer disputes the payment"
            yield Finding(DISPUTE_OPEN, f"order {sale.order_id}", since, reason, "Stripe, the bank")


async def _held(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """Reserved tickets are about as many as unpaid orders. The index `on_sale` finds them."""
    which = {"status": "reserved", "updated_at": {"$lte": moment - TICKET_HELD.longest}}
    async for ticket, order in _with_orders(sources, which, [("_id", DESCENDING)]):
        status = order["status"] if order else "missing"
        if status not in LIVE_STATUSES:
            reason = f"it is reserved for order {ticket.get('order_id')}, which is {status}"
            yield Finding(TICKET_HELD, f"ticket {ticket['_id']}", ticket["updated_at"], reason, "tickets")


async def _sold(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `updated_at` finds the newest sales."""
    times = {"$gte": moment - SOLD_WITHIN, "$lte": moment - TICKET_SOLD.longest}
    async for ticket, order in _with_orders(
        sources, {"status": "sold", "updated_at": times}, [("updated_at", DESCENDING)]
    ):
        status = order["status"] if order else "missing"
        if status not in ("complete", "refunded"):
            reason = f"it is sold to order {ticket.get('order_id')}, which is {status}"
            yield Finding(TICKET_SOLD, f"ticket {ticket['_id']}", ticket["updated_at"], reason, "orders")


async def _with_orders(
    sources: Sources, which: Mapping[str, Any], sort: list[tuple[str, int]]
) -> AsyncIterator[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """Tickets, each with its order, read in batches."""
    fields = {"order_id": 1, "updated_at": 1}
    found = sources.database("tickets")["tickets"].find(which, fields, sort=sort, limit=SCANNED)
    async with found:
        while tickets := await found.to_list(MOST):
            orders = await _orders(sources, [ticket.get("order_id") for ticket in tickets])
            for ticket in tickets:
                yield ticket, orders.get(ticket.get("order_id"))


async def _orders(sources: Sources, keys: list[str | None]) -> dict[str | None, Mapping[str, Any]]:
    """What is known of these orders, by id."""
    which = {"_id": {"$in": object_ids(keys)}}
    found = sources.database("orders")["orders"].find(which, {"status": 1, "held": 1})
    return {str(order["_id"]): order async for order in found}


async def _unsent(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `next_attempt` contains the queued messages together."""
    found = sources.database("mail")["messages"].find(
        {"status": "queued"}, sort=[("next_attempt_at", ASCENDING)], limit=SCANNED
    )
    async for email in found:
        if email["created_at"] <= moment - MESSAGE_UNSENT.longest:
            about = f"email {email['kind']} about {email['cause']} to user {email['recipient']}"
            reason = f"{email['attempts']} attempts, the last ended with {email.get('error') or 'nothing'}"
            yield Finding(MESSAGE_UNSENT, about, email["created_at"], reason, "mail, the mail server")


async def _unpublished(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """The index `unpublished` finds the documents, those with the oldest messages first."""
    latest = moment - EVENT_UNPUBLISHED.longest
    for service, collection in OUTBOXES:
        found = sources.database(service)[collection].find(
            HAS_OUTBOX_MESSAGES, {"outbox": 1}, sort=[("outbox.time", ASCENDING)], limit=MOST
        )
        async for document in found:
            entry = document["outbox"][0]
            if entry["time"] <= latest:
                about = f"{entry['subject']} of {document['_id']}"
                reason = f"it waits in the outbox of {service}"
                yield Finding(EVENT_UNPUBLISHED, about, entry["time"], reason, service)


async def _unhandled(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    """One request for each consumer, and one for its oldest event."""
    for consumer in CONSUMERS:
        position = await position_of(sources.js, consumer)
        about = f"consumer {consumer.name}"
        if position is None:
            reason = "JetStream doesn't have it: run `just provision`"
            yield Finding(EVENT_UNHANDLED, about, moment, reason, "an operator")
            continue
        since = await oldest_unhandled(sources.js, position)
        if since is not None and since <= moment - EVENT_UNHANDLED.longest:
            reason = (
                f"it {position.behind}, of which {position.unfinished} were delivered and are tried again"
            )
            yield Finding(EVENT_UNHANDLED, about, since, reason, consumer.service)


async def _dead(sources: Sources, moment: datetime) -> AsyncIterator[Finding]:
    async for letter in letters(sources.js):
        headers = letter.headers or {}
        consumer, error = headers.get(DeadLetter.CONSUMER, ""), headers.get(DeadLetter.ERROR, "")
        reason = f"{consumer} gave up: {error}"
        yield Finding(DEAD_LETTER, f"dead letter {letter.seq}", letter.time or moment, reason, "an operator")


LOOKS: tuple[Look, ...] = (
    _unpaid,
    _unconfirmed,
    _authorized,
    _unlooked,
    _refunds,
    _webhooks,
    _ordered_refunds,
    _undecided_problems,
    _unlooked_sales,
    _frozen,
    _held,
    _sold,
    _unsent,
    _unpublished,
    _unhandled,
    _dead,
)
