"""Finds orders by whatever an operator has: ids, addresses, codes, ids of Stripe, email addresses, traces."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING

from contracts.identity import normalised_email
from contracts.wire import now
from kit.errors import Unavailable
from kit.nats import EVENTS, read_stream
from kit.stripe.client import StripeApi
from ops.errors import CommandError
from ops.order_events import decoded
from ops.sources import Sources
from services.orders.rules import CODE_LENGTH, CODE_LETTERS
from services.payments.stripe_gateway.ledger import order_of

MOST = 50
"""Maximum number of orders, and of tickets, that are listed. The newest come first."""

TRACED_WITHIN = timedelta(days=1)
"""A trace is searched for among the events of this time, because a trace id has no time."""

ID = re.compile("[0-9a-f]{24}")
CODE = re.compile(f"[{CODE_LETTERS}]{{{CODE_LENGTH}}}")
STRIPE_ID = re.compile("(pi|cs|re|ch)_[A-Za-z0-9_]{1,200}")
TRACE = re.compile("[0-9a-f]{8}|[0-9a-f]{32}")


class NotFound(CommandError):
    """Nothing has this name. The message says what was searched."""


class Unclear(CommandError):
    """The text isn't of any kind that can be searched for."""

    exit_code = 2


@dataclass(frozen=True)
class Found:
    """What was found. If it is one order without tickets, its timeline is meant."""

    what: str
    """What was given, as a sentence begins: `ticket 65f0…`."""
    orders: list[str] = field(default_factory=list)
    """Ids, newest first."""
    lines: list[str] = field(default_factory=list)
    """A line about each of the orders and tickets."""
    person: str | None = None
    """The id of the person whose orders and tickets these are."""
    ticket: str | None = None
    """The ticket with the given id. Its orders are listed, newest first."""
    show: str | None = None
    """The event with the given id. Its tickets are listed, newest first."""

    @property
    def summary(self) -> str:
        return f"{self.what}: {len(self.orders)} order{'' if len(self.orders) == 1 else 's'}"

    @property
    def order(self) -> str | None:
        """The order whose timeline is meant."""
        return self.orders[0] if len(self.orders) == 1 and not self.lines else None


async def find(sources: Sources, given: str) -> Found:
    """Find what is meant by `given`.

    Raises:
        NotFound, Unclear
    """
    text = given.strip().partition("?")[0].rstrip("/")
    if "@" in text:
        return await _of_address(sources, text)
    text = text.rpartition("/")[2]
    if STRIPE_ID.fullmatch(text):
        return Found(text, [await _of_stripe(sources, text)])
    if ID.fullmatch(text):
        return await _of_id(sources, text)
    if CODE.fullmatch(text.upper()):
        order = await _one(sources, {"code": text.upper()})
        if order is None:
            raise NotFound(f"No order has the code {text.upper()}.")
        return Found(f"order {text.upper()}", [order])
    if TRACE.fullmatch(text):
        return await _of_trace(sources, text)
    raise Unclear(
        "Give an order's id, page or code, a ticket's or event's id, an id of Stripe (pi_, cs_, re_, ch_), an"
        " email address, or a trace id."
    )


async def _of_id(sources: Sources, key: str) -> Found:
    which = {"_id": ObjectId(key)}
    if await _one(sources, which) is not None:
        return Found(f"order {key}", [key])
    if await sources.database("tickets")["tickets"].find_one(which, {"_id": 1}):
        return await of_ticket(sources, key)
    if await sources.database("tickets")["shows"].find_one(which, {"_id": 1}):
        return await of_show(sources, key)
    payment = await sources.database("payments")["payments"].find_one(which, {"order_id": 1})
    if payment is not None:
        return Found(f"payment {key}", [payment["order_id"]])
    if await sources.database("auth")["users"].find_one(which, {"_id": 1}) is not None:
        return await of_person(sources, key)
    raise NotFound(f"No order, ticket, event, payment or person has the id {key}.")


async def of_ticket(sources: Sources, key: str) -> Found:
    """The orders of a ticket, newest first."""
    found = await _listing(sources, f"ticket {key}", {"ticket_id": key}, [("hold", DESCENDING)])
    return replace(found, ticket=key)


async def of_show(sources: Sources, key: str) -> Found:
    """The tickets of an event, newest first. Seats that several of them offer are marked."""
    fields = {"title": 1, "status": 1, "seat": 1, "seat_key": 1}
    found = sources.database("tickets")["tickets"].find(
        {"show_id": key}, fields, sort=[("_id", DESCENDING)], limit=MOST
    )
    tickets = [each async for each in found]
    offered = [each for each in tickets if each["status"] in ("available", "reserved")]
    seats = Counter(each["seat_key"] for each in offered if each.get("seat_key"))
    lines = [f"ticket {each['_id']}  {each['status']:17} {each['title']}" for each in tickets]
    for number, each in enumerate(tickets):
        times = seats[each.get("seat_key")] if each in offered else 0
        if times > 1:
            lines[number] += f"  ({each['seat']} is listed {times} times)"
    return Found(f"event {key}", lines=lines, show=key)


async def _of_stripe(sources: Sources, stripe_id: str) -> str:
    """The payment's document names its PaymentIntent. Stripe is asked about everything else."""
    payments = sources.database("payments")["payments"]
    if stripe_id.startswith("pi_"):
        payment = await payments.find_one({"intent_id": stripe_id}, {"order_id": 1})
        if payment is not None:
            return str(payment["order_id"])
    api = StripeApi(sources.settings)
    try:
        order = await order_of(api, stripe_id)
    except Unavailable as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise NotFound(f"{stripe_id} is known only to Stripe, which can't be asked: {reason}") from error
    finally:
        await api.close()
    if order is None or not ID.fullmatch(order):  # another application may use the same account
        raise NotFound(f"Stripe has no {stripe_id} of an order.")
    return order


async def _of_address(sources: Sources, email: str) -> Found:
    address = normalised_email(email)
    person = await sources.database("auth")["users"].find_one({"email": address}, {"_id": 1})
    if person is None:
        raise NotFound(f"Nobody has the email address {address}.")
    return await of_person(sources, str(person["_id"]))


async def of_person(sources: Sources, key: str) -> Found:
    """The orders and tickets of the person with the id `key`."""
    found = await _listing(sources, f"person {key}", {"user_id": key}, [("_id", DESCENDING)])
    found = replace(found, person=key)
    tickets = sources.database("tickets")["tickets"].find(
        {"user_id": key}, {"title": 1, "status": 1}, sort=[("_id", DESCENDING)], limit=MOST
    )
    found.lines.extend(
        [f"ticket {ticket['_id']}  {ticket['status']:17} {ticket['title']}" async for ticket in tickets]
    )
    return found


async def _listing(sources: Sources, what: str, which: dict[str, Any], sort: list[tuple[str, int]]) -> Found:
    fields = {"status": 1, "code": 1, "ticket_title": 1}
    found = await sources.database("orders")["orders"].find(which, fields, sort=sort, limit=MOST).to_list()
    lines = [
        f"order  {order['_id']}  {order['status']:17} {order.get('code') or '':10}  {order['ticket_title']}"
        for order in found
    ]
    return Found(what, [str(order["_id"]) for order in found], lines)


async def _of_trace(sources: Sources, trace: str) -> Found:
    orders: dict[str, None] = {}
    async for message in read_stream(sources.js, EVENTS, ">", now() - TRACED_WITHIN):
        trace_id = message.headers.get("traceparent", "").split("-")[1:2]
        if not "".join(trace_id).startswith(trace):
            continue
        body = decoded(message)
        order = body.get("id") if message.subject.startswith("order.") else body.get("orderId")
        if isinstance(order, str):
            orders[order] = None
    if not orders:
        raise NotFound(f"No event of an order within a day has the trace {trace}.")
    keys = list(orders)[-MOST:][::-1]
    return Found(f"trace {trace}", keys, [f"order  {key}" for key in keys] if len(keys) > 1 else [])


async def _one(sources: Sources, which: dict[str, Any]) -> str | None:
    order = await sources.database("orders")["orders"].find_one(which, {"_id": 1})
    return str(order["_id"]) if order else None
