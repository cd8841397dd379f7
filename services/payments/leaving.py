"""What payments knows of users who leave: what is open, and what is stored.

Nothing is forgotten when an account is deleted: the books need each payment, and it has neither the buyer's
name nor address. A payment can begin only for a live order, so it needs no guard of its own: orders has one.
"""

from collections.abc import Mapping
from typing import Any

from pymongo import DESCENDING

from contracts.api import OpenMatter
from contracts.export import ExportedPayment
from contracts.internal import Part
from kit.paging import newest_first
from services.payments.documents import Payment
from services.payments.views import view_of

MAX_MATTERS = 20
"""The most open payments that are listed."""

MAX_PAGE = 200


async def open_matters(buyer: str) -> list[OpenMatter]:
    """The buyer's payments that aren't settled, and those that the buyer disputes."""
    unsettled = ["pending", "authorized", "refunding"]
    return [
        *await _matters({"user_id": buyer, "status": {"$in": unsettled}}),
        *await _matters({"user_id": buyer, "status": {"$nin": unsettled}, "disputes.status": "open"}),
    ]


async def page_of_data(buyer: str, after: str | None) -> Part[ExportedPayment]:
    """A part of what is stored about a buyer.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    found, following = await newest_first(Payment, {"user_id": buyer}, {}, after, MAX_PAGE)
    entries = [_exported(Payment.model_validate(raw)) for raw in found]
    return Part[ExportedPayment](entries=entries, after=following)


async def _matters(which: Mapping[str, Any]) -> list[OpenMatter]:
    payments = Payment.get_pymongo_collection()
    found = payments.find(which, {"order_id": 1}, sort=[("_id", DESCENDING)], limit=MAX_MATTERS)
    return [OpenMatter(kind="payment", order_id=payment["order_id"]) for payment in await found.to_list()]


def _exported(payment: Payment) -> ExportedPayment:
    return ExportedPayment(
        **dict(view_of(payment)),
        began_at=payment.began_at,
        authorized_at=payment.authorized_at,
        stripe_id=payment.intent_id,
        decline_code=payment.decline_code,
    )
