"""Reserve, cancel, complete."""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from contracts.events import ExpirationComplete, PaymentEvent, TicketEvent
from contracts.money import to_minor_units
from contracts.wire import now
from services.kit.aggregates import change
from services.kit.changes import Changes
from services.kit.errors import NotFound, Unavailable
from services.kit.mongo import object_id
from services.orders import rules
from services.orders.documents import ONE_ORDER_A_TICKET, Order, Ticket

log = logging.getLogger(__name__)

MAX_TRIES = 50
"""Inserts of one reservation. Each try lost to a rival's means that the rival got further."""


@dataclass(frozen=True)
class Terms:
    """What a reservation grants."""

    window: timedelta
    """Time to pay."""
    max_live: int
    """Unpaid reservations that one user may have at once."""


async def reserve(ticket_id: str, buyer: str, terms: Terms) -> Order:
    """Hold the ticket for the buyer: one insert, which the unique indexes let only one rival make.

    Raises:
        NotFound, OwnTicket, TicketNotForSale, TicketReserved, TooManyReservations
    """
    ticket = await Ticket.arrived(ticket_id)
    rules.check_may_reserve(ticket, buyer)
    rules.check_is_ahead(ticket, now())
    for _ in range(MAX_TRIES):
        slots = rules.free_slots(await _taken_slots(buyer), terms.max_live)
        order = Order(
            user_id=buyer,
            ticket_id=ticket.key,
            ticket_version=ticket.version,
            ticket_title=ticket.title,
            price_minor=ticket.price_minor,
            details=rules.Details.model_validate(dict(ticket)),
            hold=await _next_hold(ticket.key),
            expires_at=now() + terms.window,
            slot=random.choice(slots),  # noqa: S311 - keeps a user's own rivals apart, guards no secret
        )
        try:
            await order.add()
        except DuplicateKeyError as taken:
            if _violated(taken, ONE_ORDER_A_TICKET):
                raise rules.TicketReserved from None
            continue  # the hold number or the slot went to a rival: look again
        return order
    raise Unavailable


async def list_mine(buyer: str) -> list[Order]:
    """All orders of a buyer, newest first; at most a thousand."""
    return await Order.find({"user_id": buyer}, sort="-_id", limit=1000).to_list()


async def show(order_id: str, buyer: str) -> Order:
    """An order of this buyer.

    Raises:
        NotFound, NotTheBuyer
    """
    order = await Order.find_one({"_id": object_id(order_id)})
    if order is None:
        raise NotFound
    if order.user_id != buyer:
        raise rules.NotTheBuyer
    return order


async def cancel(order_id: str, buyer: str) -> None:
    """Let go of the ticket. Repeating it changes nothing.

    Raises:
        NotFound, NotTheBuyer, OrderComplete
    """
    await _change(order_id, lambda order: rules.cancel(order, buyer))


async def extend(order_id: str, buyer: str, window: timedelta) -> Order:
    """Give the buyer more time to pay.

    Raises:
        NotFound, NotTheBuyer, NoMoreTime
    """
    moment = now()
    longer = rules.extended_deadline(object_id(order_id).generation_time, window, moment)
    return await _change(order_id, lambda order: rules.extend(order, buyer, longer, window, moment))


async def expire(event: ExpirationComplete) -> None:
    """End an order that wasn't paid in time. Timers of paid or extended orders change nothing."""
    await _change(event.order_id, lambda order: rules.expire(order, event.expires_at))


async def follow_payment(payment: PaymentEvent, window: timedelta) -> None:
    """Let a payment complete its order, if that is still live; a bank's check gives it another `window`."""
    reserved_at = object_id(payment.order_id).generation_time
    longer = rules.extended_deadline(reserved_at, window, now())
    order = await _change(payment.order_id, lambda order: rules.follow_payment(order, payment, longer))
    if not rules.pays(payment, order):
        log.error("payment %s is of %s, not of the price of order %s", payment.id, payment.amount, order.key)


async def follow_ticket(ticket: TicketEvent) -> None:
    """Remember a ticket's newest state. What an older publisher doesn't say takes nothing away."""
    await Ticket.follow(ticket.id, ticket.version, known_of(ticket), learns=True)


def known_of(ticket: TicketEvent) -> dict[str, Any]:
    """What orders remembers of a ticket. What an older publisher doesn't say isn't in it."""
    return {
        "title": ticket.title,
        "price_minor": to_minor_units(ticket.price),
        "user_id": ticket.user_id,
        "status": ticket.status,
        **ticket.model_dump(include=set(rules.Details.model_fields), exclude_unset=True),
    }


async def _change(order_id: str, decide: Callable[[Order], Changes | None]) -> Order:
    key = object_id(order_id)
    return await change(lambda: Order.find_one({"_id": key}), decide)


async def _taken_slots(buyer: str) -> list[int]:
    found = Order.get_pymongo_collection().find({"user_id": buyer, "live": True}, {"slot": 1})
    return [order["slot"] async for order in found]


async def _next_hold(ticket_id: str) -> int:
    newest = Order.get_pymongo_collection().find({"ticket_id": ticket_id}, {"hold": 1})
    return max([order["hold"] async for order in newest.sort("hold", DESCENDING).limit(1)], default=0) + 1


def _violated(error: DuplicateKeyError, index: str) -> bool:
    # The name stands in the message on every MongoDB; `keyPattern` can't tell two indexes apart.
    return f"index: {index} " in str(error.details.get("errmsg", "") if error.details else error)
