"""The facts about an order that count as evidence when its buyer disputes the payment."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING

from ops.sources import Sources

MOST_ACCESSES = 50


async def evidence(sources: Sources, order_id: str) -> str:
    """What is stored about the delivery of an order, one fact a line. Empty if orders has no such order.

    It has neither a name nor an address: the bank knows its customer.
    """
    order = await sources.database("orders")["orders"].find_one({"_id": ObjectId(order_id)})
    if order is None:
        return ""
    reads = sources.database("tickets")["file_accesses"]
    of_buyer = {"ticket_id": ObjectId(order["ticket_id"]), "user_id": order["user_id"]}
    accesses = await reads.find(of_buyer, sort=[("at", ASCENDING)], limit=MOST_ACCESSES).to_list()
    downloads = [f"Ticket file downloaded by the buyer: {_at(each['at'])}" for each in accesses]
    return "\n".join([*_facts(order), *downloads])


def _facts(order: Mapping[str, Any]) -> Iterator[str]:
    yield f"Order: {order.get('code') or order['_id']}"
    yield f"Product: event ticket, {order['ticket_title']}"
    named = (
        ("Event begins", order.get("details", {}).get("starts_at")),
        ("Paid", order.get("paid_at")),
        ("Ticket delivered", order.get("delivered_at")),
        ("Delivery confirmed", order.get("confirmed_at")),
    )
    for name, moment in named:
        if moment is not None:
            yield f"{name}: {_at(moment)}"
    report = order.get("report")
    if report is None:
        yield "The buyer reported no problem to the marketplace."
    else:
        at = _at(report["reported_at"])
        yield f"The buyer reported a problem: {report['kind']}, {at}, {report['state']}"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
