"""Failed sales: what counts as one, and when a seller's new listings need sealed files because of them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bson import ObjectId

from contracts.events import OrderEvent
from contracts.tickets import FAILED_SALE_DAYS, MAX_FAILED_SALES
from contracts.wire import now
from kit.mongo import object_id
from services.tickets.documents import FailedSale
from services.tickets.rules import LetDown

COUNTS = timedelta(days=FAILED_SALE_DAYS)


class Failure(NamedTuple):
    why: LetDown
    at: datetime


def failure_of(order: OrderEvent) -> Failure | None:
    """Why and when the buyer got money back because of the seller: a report, or a broken promise.

    All later events of the order say the same.
    """
    if order.problem in ("refunded", "partly-refunded") and order.refund_due > 0:
        return Failure("problem", order.problem_decided_at or order.problem_at or order.expires_at)
    if order.delivery == "failed":
        return Failure("delivery", order.overdue_at or order.deliver_by or order.expires_at)
    return None


def required_until(failed_at: Sequence[datetime], now: datetime) -> datetime | None:
    """Until when new listings need sealed files. None if they don't.

    Args:
        failed_at: when sales of the seller failed.
    """
    newest_first = sorted(failed_at, reverse=True)
    if len(newest_first) < MAX_FAILED_SALES:
        return None
    until = newest_first[MAX_FAILED_SALES - 1] + COUNTS
    return until if until > now else None


async def record(order: OrderEvent, seller: str) -> None:
    """Remember that a sale failed. Repeated and old events change nothing, because an order fails once."""
    failure = failure_of(order)
    if failure is None:
        return
    known = {"seller_id": seller, "why": failure.why, "at": failure.at}
    sales = FailedSale.get_pymongo_collection()
    await sales.update_one({"_id": ObjectId(order.id)}, {"$setOnInsert": known}, upsert=True)


async def files_required_until(seller: str) -> datetime | None:
    """Until when the seller's new listings need sealed files. None if they don't."""
    recent = FailedSale.find({"seller_id": seller, "at": {"$gt": now() - COUNTS}})
    newest = await recent.sort("-at").limit(MAX_FAILED_SALES).to_list()
    return required_until([sale.at for sale in newest], now())


async def count(seller: str, why: LetDown) -> int:
    """Number of a seller's sales that failed for this reason.

    Raises:
        NotFound: the text isn't the id of a user.
    """
    return await FailedSale.find({"seller_id": str(object_id(seller)), "why": why}).count()


async def forget(seller: str) -> None:
    """Forget the failed sales of a deleted user."""
    await FailedSale.get_pymongo_collection().delete_many({"seller_id": seller})
