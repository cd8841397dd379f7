"""Reserve tickets, and extend, cancel, expire and complete orders."""

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from pydantic import ValidationError
from pymongo.errors import DuplicateKeyError

from contracts.events import (
    ExpirationComplete,
    PaymentEvent,
    ProblemKind,
    ProblemState,
    PublicTicket,
    TicketEvent,
)
from contracts.money import to_minor_units
from contracts.wire import now
from kit import closed_users
from kit.aggregates import change
from kit.alerts import alert
from kit.changes import Changes
from kit.errors import AccountClosed, NotFound, Unavailable
from kit.mongo import object_id
from kit.networks import Networks
from kit.owners import Owner
from kit.replicas import State
from services.orders import dates, delivery, hoarding, holds, leaving, problems, rules
from services.orders.documents import ONE_ORDER_A_TICKET, Order, ShownOrder, TicketReplica

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 50
"""Maximum attempts to insert one reservation. An attempt fails only if a concurrent one succeeded."""

SWEEP_BATCH = 200
"""Maximum number of orders that one sweep cancels."""

RETRY_DELIVERY = timedelta(minutes=5)
"""When the sweep looks again at a delivery that it couldn't end. Until then, others have their turn."""

MAX_SECONDS = 5.0
"""No attempt begins after this time. One takes long if no majority has what it conflicts with."""


@dataclass(frozen=True)
class Terms:
    """The conditions of a reservation."""

    window: timedelta
    """Time to pay."""
    max_live: int
    """Maximum unpaid reservations that one user may have at the same time."""
    max_live_per_network: int = 0
    """The same for all users of one network; 0 for no limit."""
    limits: hoarding.Limits = field(default_factory=hoarding.Limits)
    """How often and how long the buyer may hold the same ticket."""
    delivery_hours: float = 24
    """How many hours after the payment promised files have to arrive."""


class Reservation(NamedTuple):
    """The order that holds the buyer's ticket."""

    order: Order
    is_new: bool
    """False if the buyer held the ticket already."""


async def reserve(
    ticket_id: str, buyer: str, terms: Terms, tickets: Owner, networks: Networks | None = None
) -> Reservation:
    """Reserve the ticket for the buyer with one insert. Unique indexes let one of several buyers succeed.

    A buyer who holds the ticket already, for example because they pressed the button twice, gets their order.

    Args:
        networks: hashes of the buyer's networks, if limits per network apply to them.

    Raises:
        NotFound, OwnTicket, TicketNotForSale, TicketAwaitsFiles, TooLateToDeliver, TicketReserved,
        TooManyReservations, TooManyFromNetwork, ReservedTooOften, HeldTooLong, AccountClosed, Unavailable
    """
    ticket = await TicketReplica.stored_or_asked(ticket_id, partial(_ask, tickets))
    rules.check_may_reserve(ticket, buyer)
    rules.check_has_not_begun(ticket, now())
    delivery.check_can_be_delivered(ticket, now())
    # Most often nobody has held a new ticket, and slots are free. Unique indexes detect the rest.
    hold, last_start = 1, time.monotonic() + MAX_SECONDS
    for attempt in range(MAX_ATTEMPTS):
        if time.monotonic() > last_start:
            break
        if attempt > 0 or ticket.version > 0:
            past = await holds.of_ticket(ticket.key)
            if past.live_buyer == buyer and (held := await _held_by(buyer, ticket.key)) is not None:
                return Reservation(held, is_new=False)
            hoarding.check_may_hold(past.ended, buyer, networks, terms.window, terms.limits, now())
            # The hold number is unique, so no other hold can have begun since the past ones were read.
            hold = past.newest + 1
        slots = await holds.choose_slots(
            buyer, networks, terms.max_live, terms.max_live_per_network, look=attempt > 0
        )
        order = _new_order(ticket, buyer, hold, slots, terms)
        try:
            await order.add()
        except DuplicateKeyError as taken:
            if (held := await _held_by(buyer, ticket.key)) is not None:
                return Reservation(held, is_new=False)
            if _violated(taken, ONE_ORDER_A_TICKET) and await _is_taken(ticket.key):
                raise rules.TicketReserved from None
            # Another order of the ticket has ended, or no majority has it yet. Then it may be this buyer's.
            continue  # a concurrent request took the hold number, a slot or the code
        if await closed_users.is_closed(buyer):
            await cancel(order.key, buyer)  # if this process stops here, the order expires
            await leaving.forget_networks({"_id": order.id})  # the deletion may be over already
            raise AccountClosed
        return Reservation(order, is_new=True)
    raise Unavailable


def _new_order(ticket: TicketReplica, buyer: str, hold: int, slots: Mapping[str, Any], terms: Terms) -> Order:
    return Order(
        user_id=buyer,
        seller_id=ticket.user_id,
        ticket_id=ticket.key,
        ticket_version=ticket.version,
        ticket_title=ticket.title,
        price_minor=ticket.price_minor,
        details=rules.Details.model_validate(dict(ticket)),
        date_changes=ticket.date_changes,
        hold=hold,
        code="".join(secrets.choice(rules.CODE_LETTERS) for _ in range(rules.CODE_LENGTH)),
        expires_at=now() + terms.window,
        delivery_hours=terms.delivery_hours,
        held=False,
        **slots,
    )


async def show(order_id: str, buyer: str) -> ShownOrder:
    """The order, if it is this buyer's.

    Raises:
        NotFound, NotTheBuyer
    """
    order = await ShownOrder.find(object_id(order_id))
    if order is None:
        raise NotFound
    if order.user_id != buyer:
        raise rules.NotTheBuyer
    return order


async def cancel(order_id: str, buyer: str) -> None:
    """Cancel an unpaid order. A repeated call changes nothing.

    Raises:
        NotFound, NotTheBuyer, OrderComplete
    """
    await _change(order_id, lambda order: rules.cancel(order, buyer, now()))


async def extend(order_id: str, buyer: str, window: timedelta) -> Order:
    """Give the buyer more time to pay.

    Raises:
        NotFound, NotTheBuyer, NoMoreTime
    """
    moment = now()
    longer = rules.extended_deadline(object_id(order_id).generation_time, window, moment)
    return await _change(order_id, lambda order: rules.extend(order, buyer, longer, window, moment))


async def cancel_by_operator(order_id: str) -> Order:
    """Cancel an unpaid order for an operator. A repeated call changes nothing.

    Raises:
        NotFound, OrderComplete
    """
    return await _change(order_id, lambda order: rules.cancel_by_operator(order, now()))


async def extend_by_operator(order_id: str, until: datetime) -> Order:
    """Move an unpaid order's deadline to `until`, unless it is later already.

    Raises:
        NotFound, NoMoreTime, DeadlineNotAllowed
    """
    return await _change(
        order_id, lambda order: rules.extend_by_operator(order, until, order.reserved_at, now())
    )


async def show_sales(seller: str, order_ids: Sequence[str]) -> Sequence[ShownOrder]:
    """Those of these orders that are the seller's."""
    return await ShownOrder.of_seller(seller, order_ids)


async def hand_over(order_id: str, seller: str) -> None:
    """Record that the seller has handed the ticket over. A repeated call changes nothing.

    Raises:
        NotFound, NotTheSeller, UploadInstead, NothingToHandOver
    """
    await _change(order_id, lambda order: delivery.hand_over(order, seller, now()))


async def confirm_delivery(order_id: str, buyer: str) -> Order:
    """Record that the buyer has the ticket. A repeated call changes nothing.

    Raises:
        NotFound, NotTheBuyer, NotDelivered
    """

    def confirm(order: Order) -> Changes | None:
        if order.user_id != buyer:
            raise rules.NotTheBuyer
        return delivery.confirm(order, now())

    return await _change(order_id, confirm)


async def report_problem(order_id: str, buyer: str, kind: ProblemKind, text: str) -> Order:
    """Record the buyer's report of a problem. A repeated call changes nothing.

    Raises:
        NotFound, NotTheBuyer, ProblemReported, NothingToReport, NotDueYet, TooLateToReport
    """
    return await _change(order_id, lambda order: problems.report(order, buyer, kind, text, now()))


async def answer_problem(order_id: str, seller: str, text: str) -> Order:
    """Record the seller's answer to the report. A repeated call changes nothing.

    Raises:
        NotFound, NotTheSeller, NothingToAnswer, TooLateToAnswer
    """
    return await _change(order_id, lambda order: problems.answer(order, seller, text, now()))


async def decide_problem(
    order_id: str,
    decision: problems.Decision,
    *,
    amount: int | None,
    reason: str,
    seen: ProblemState | None = None,
) -> Order:
    """Decide on a report for an operator. Of two who decide at once, one does, and the other gets an error.

    Raises:
        NotFound, NothingToDecide, ProblemDecided, AnsweredMeanwhile, TooEarlyToDecide, DisputedAtBank,
        AmountNotAllowed
    """
    return await _change(
        order_id, lambda order: problems.decide(order, decision, amount, reason, seen, now())
    )


async def expire(event: ExpirationComplete, tickets: Owner | None = None) -> None:
    """Cancel an order that wasn't paid in time, or end a delivery that is overdue.

    Timers of orders that were paid, extended or delivered meanwhile have no effect.

    Raises:
        Unavailable: tickets can't say whether the files are there. Retry later.
    """
    order = await _change(event.order_id, lambda order: rules.expire(order, now()))
    await _pass_time(order, tickets)


async def _pass_time(order: Order, tickets: Owner | None) -> None:
    """End a delivery whose time is over, or have its seller reminded.

    Before that, tickets is asked for promised files: the event that they are there may be late.
    """
    changes = delivery.pass_time(order, now())
    if changes is None:
        return
    ticket = None
    concerns_files = changes.get("delivery") == "failed" or "reminded_at" in changes
    if concerns_files and tickets is not None:
        with suppress(NotFound):
            ticket = await tickets.get(f"/api/tickets/{order.ticket_id}", PublicTicket)
    if ticket is not None and ticket.status == "sold" and ticket.delivery == "instant":
        ready_at = ticket.files_ready_at
        await _change(order.key, lambda stored: delivery.files_arrived(stored, ready_at, now()))
    else:
        await _change(order.key, lambda stored: delivery.pass_time(stored, now()))


async def sweep_deliveries(tickets: Owner | None = None) -> int:
    """End up to `SWEEP_BATCH` deliveries whose time is over. Returns how many it has looked at.

    Those that can't be ended go to the end of the queue, so that they don't keep others from their turn.
    """
    found = await Order.with_delivery_to_look_at(now(), SWEEP_BATCH)
    for key, acts_at in found:
        try:
            order = await Order.first({"_id": key})
            if order is not None:
                await _pass_time(order, tickets)
        except (NotFound, Unavailable, ValidationError) as error:
            log.warning("the delivery of order %s is overdue and can't be ended: %r", key, error)
            await Order.postpone_delivery(key, acts_at, now() + RETRY_DELIVERY)
    return len(found)


async def sweep() -> int:
    """Cancel up to `SWEEP_BATCH` orders whose time is over, in case their timers were lost.

    It also ends the orders that are kept longer than their timers. Returns how many orders it has looked at.
    """
    overdue = await Order.overdue(now(), SWEEP_BATCH)
    for key in overdue:
        try:
            await _change(str(key), lambda order: rules.expire(order, now()))
        except (NotFound, Unavailable, ValidationError) as error:
            log.warning("order %s is overdue and can't be cancelled: %r", key, error)
    return len(overdue)


async def follow_payment(payment: PaymentEvent, window: timedelta) -> None:
    """Apply a payment's state to its order. For a bank check, the buyer gets another `window` to pay."""
    reserved_at = object_id(payment.order_id).generation_time
    longer = rules.extended_deadline(reserved_at, window, now())

    def follow(order: Order) -> Changes | None:
        changes = rules.follow_payment(order, payment, longer)
        after = order.model_copy(update=dict(changes or {}))
        money_back = rules.follow_money_back(after, payment)
        return {**(changes or {}), **(money_back or {})} or None

    order = await _change(payment.order_id, follow)
    if not rules.pays(payment, order):
        alert(
            "payment_amount",
            "payment %s is of %s, not of the price of order %s",
            payment.id,
            payment.amount,
            order.key,
        )


async def follow_ticket(ticket: TicketEvent) -> None:
    """Update the replica of a ticket, confirm or cancel the order that waits for it, and note files and date.

    The replica is updated first, so that the buyer of a refused hold can reserve the ticket as it is now.
    """
    await TicketReplica.follow(ticket.id, ticket.version, replica_fields(ticket))
    if ticket.hold is None and ticket.order_id is None:
        return

    def follow(order: Order) -> Changes | None:
        dated = dates.follow_ticket(order, ticket, order.key, now()) or {}
        after = order.model_copy(update=dict(dated))
        arrived = delivery.follow_ticket(after, ticket, order.key, now()) or {}
        after = after.model_copy(update=dict(arrived))
        return {**dated, **arrived, **(rules.follow_ticket(after, ticket, order.key) or {})} or None

    with suppress(NotFound):  # no order waits or owns the ticket
        await change(lambda: Order.first({"ticket_id": ticket.id, "active": True}), follow)


def replica_fields(ticket: PublicTicket) -> dict[str, Any]:
    """The fields that a replica of this ticket stores."""
    return {
        "title": ticket.title,
        "price_minor": to_minor_units(ticket.price),
        "user_id": ticket.user_id,
        "status": ticket.status,
        "awaits_files": ticket.awaits_files,
        "date_changes": ticket.date_changes if isinstance(ticket, TicketEvent) else 0,
        **ticket.model_dump(include=set(rules.Details.model_fields)),
    }


async def _ask(tickets: Owner, ticket_id: str) -> State:
    ticket = await tickets.get(f"/api/tickets/{ticket_id}", PublicTicket)
    return ticket.version, replica_fields(ticket)


async def _change(order_id: str, decide: Callable[[Order], Changes | None]) -> Order:
    key = object_id(order_id)
    return await change(lambda: Order.first({"_id": key}), decide)


async def _held_by(buyer: str, ticket_id: str) -> Order | None:
    return await Order.first({"ticket_id": ticket_id, "user_id": buyer, "live": True})


async def _is_taken(ticket_id: str) -> bool:
    taken = {"ticket_id": ticket_id, "active": True}
    return await Order.get_pymongo_collection().find_one(taken, {"_id": 1}) is not None


def _violated(error: DuplicateKeyError, index: str) -> bool:
    # MongoDB and the embedded database name the index in the message. Their `keyPattern` isn't enough: two
    # indexes may have the same keys.
    return f"index: {index} " in str(error.details.get("errmsg", "") if error.details else error)
