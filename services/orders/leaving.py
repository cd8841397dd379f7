"""What orders knows of users who leave: what is open, what is stored, and what to forget."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING

from contracts.api import MatterKind, OpenMatter
from contracts.events import UserEvent
from contracts.export import ExportedOrder
from contracts.internal import Part
from kit.paging import newest_first
from services.orders.documents import Order
from services.orders.evidence import storing
from services.orders.views import view_of

MAX_MATTERS = 20
"""The most open matters of a kind that are listed."""

WITHOUT_DATE = timedelta(days=30)
"""How long after its reservation a ticket without a date counts as not used yet."""

MAX_PAGE = 200


async def open_matters(buyer: str, now: datetime) -> list[OpenMatter]:
    """The buyer's live orders, and the paid ones whose events haven't begun."""
    recent = {"$gt": ObjectId.from_datetime(now - WITHOUT_DATE)}
    return [
        *await _matters("reservation", {"user_id": buyer, "live": True}),
        *await _matters(
            "purchase", {"user_id": buyer, "status": "complete", "details.starts_at": {"$gt": now}}
        ),
        *await _matters(
            "purchase", {"user_id": buyer, "status": "complete", "details.starts_at": None, "_id": recent}
        ),
    ]


async def page_of_data(buyer: str, after: str | None, window: timedelta) -> Part[ExportedOrder]:
    """A part of what is stored about a buyer.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    found, following = await newest_first(Order, {"user_id": buyer}, {}, after, MAX_PAGE)
    entries = [_exported(Order.model_validate(raw), window) for raw in found]
    return Part[ExportedOrder](entries=entries, after=following)


async def follow_user(user: UserEvent) -> None:
    """Forget from which networks a deleted user reserved tickets, and photos once nothing about them is open.

    The books keep ids and amounts.
    """
    await storing.follow_user(user)
    if user.deleted:
        await forget_networks({"user_id": user.id})


async def forget_networks(orders: Mapping[str, Any]) -> None:
    """Forget from which networks tickets were reserved. Live orders need them for the limits."""
    over = {**orders, "live": False}
    forgotten = {"$set": {"network": None, "wide_network": None}}
    await Order.get_pymongo_collection().update_many(over, forgotten)


async def _matters(kind: MatterKind, which: Mapping[str, Any]) -> list[OpenMatter]:
    orders = Order.get_pymongo_collection()
    fields = dict.fromkeys(("ticket_id", "ticket_title", "details.starts_at", "expires_at", "live"), 1)
    found = orders.find(which, fields, sort=[("_id", DESCENDING)], limit=MAX_MATTERS)
    return [
        OpenMatter(
            kind=kind,
            ticket_id=order["ticket_id"],
            order_id=str(order["_id"]),
            title=order["ticket_title"],
            starts_at=order.get("details", {}).get("starts_at"),
            until=order["expires_at"] if order["live"] else None,
        )
        for order in await found.to_list()
    ]


def _exported(order: Order, window: timedelta) -> ExportedOrder:
    return ExportedOrder(
        **dict(view_of(order, window)),
        reserved_at=order.reserved_at,
        ended_at=order.ended_at,
        paid_at=order.paid_at,
        refunded_at=order.refunded_at,
        network=order.network,
        wide_network=order.wide_network,
    )
