"""Rules of photos: who may add, remove and read them, and how long they are kept.

Photos are added before the report or the answer that they belong to, and are final with it. So both sides and
the operator decide on the same photos.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from contracts.api import MAX_PHOTOS, PhotoSide
from kit.changes import Changes
from kit.errors import Conflict, Forbidden
from services.orders import problems
from services.orders.evidence.entries import PhotoEntry
from services.orders.rules import OrderState

GRACE = timedelta(minutes=10)
"""How long an upload may take. Until then, its photo is kept although no order has it."""

RECHECK = timedelta(days=1)
"""How often the sweep looks at a photo of which nobody has decided yet."""


class NotYourOrder(Forbidden):
    message = "That order is neither your purchase nor your sale"


class PhotosFinal(Conflict):
    message = "Photos can't be changed after they were sent"


class TooManyPhotos(Conflict):
    message = f"You can send at most {MAX_PHOTOS} photos"


def side_of(order: OrderState, user: str) -> PhotoSide:
    """Whether the user is the buyer or the seller.

    Raises:
        NotYourOrder
    """
    if order.user_id == user:
        return "buyer"
    if order.seller_id == user:
        return "seller"
    raise NotYourOrder


def check_may_change(order: OrderState, by: str, now: datetime) -> PhotoSide:
    """Check that this user may change photos: the buyer before the report, the seller before the answer.

    Raises:
        NotYourOrder, PhotosFinal, NothingToReport, TooLateToReport, NothingToAnswer, TooLateToAnswer
    """
    side, report = side_of(order, by), order.report
    if side == "buyer":
        if report is not None:
            raise PhotosFinal
        if order.status != "complete" or order.delivery == "failed":
            raise problems.NothingToReport
        if not problems.may_report(order, now):
            raise problems.TooLateToReport
        return side
    if report is None:
        raise problems.NothingToAnswer
    if report.state != "open":
        raise PhotosFinal
    if now > report.answer_by:
        raise problems.TooLateToAnswer
    return side


def add_photo(order: OrderState, by: str, photo: PhotoEntry, now: datetime) -> Changes | None:
    """Add a photo. A repeated upload changes nothing.

    Raises:
        NotYourOrder, PhotosFinal, NothingToReport, TooLateToReport, NothingToAnswer, TooLateToAnswer,
        TooManyPhotos
    """
    side = check_may_change(order, by, now)
    own = [each for each in order.photos if each.by == side]
    if any(each.digest == photo.digest for each in own):
        return None
    if len(own) >= MAX_PHOTOS:
        raise TooManyPhotos
    return {"photos": [*order.photos, photo]}


def remove_photo(order: OrderState, by: str, photo_id: str, now: datetime) -> Changes | None:
    """Remove a photo that wasn't sent yet. A repeated call changes nothing.

    Raises:
        NotYourOrder, PhotosFinal, NothingToReport, TooLateToReport, NothingToAnswer, TooLateToAnswer
    """
    side = check_may_change(order, by, now)
    return _without(order, photo_id, side)


def forget_photo(order: OrderState, photo_id: str) -> Changes | None:
    """Remove a photo that isn't kept any longer."""
    return _without(order, photo_id, "buyer") or _without(order, photo_id, "seller")


def _without(order: OrderState, photo_id: str, side: PhotoSide) -> Changes | None:
    left = [each for each in order.photos if (each.id, each.by) != (photo_id, side)]
    return {"photos": left} if len(left) < len(order.photos) else None


def shown_to(order: OrderState, side: PhotoSide) -> Sequence[PhotoEntry]:
    """The photos that this side sees: its own, and those that the other side has sent."""
    return [each for each in order.photos if each.by == side or is_sent(order, each)]


def is_sent(order: OrderState, photo: PhotoEntry) -> bool:
    """Whether the report or the answer that the photo belongs to was sent.

    Operators also see what a seller has added without an answer.
    """
    if order.report is None:
        return False
    return photo.by == "buyer" or order.report.state != "open"


def photo_to_read(order: OrderState, by: str, photo_id: str) -> PhotoEntry | None:
    """The photo, if this user may read it. None if there is no such photo for this user.

    Raises:
        NotYourOrder
    """
    shown = shown_to(order, side_of(order, by))
    return next((each for each in shown if each.id == photo_id), None)


def keep_until(
    order: OrderState | None, photo_id: str, *, leaves: bool, now: datetime, days: float
) -> datetime | None:
    """Until when a photo is kept before it is looked at again. None if it isn't needed any more.

    Args:
        leaves: whether the account of who added it is deleted. Then it isn't kept after the decision.
        days: how long after the decision a photo is kept.
    """
    if order is None or all(each.id != photo_id for each in order.photos):
        return None
    report = order.report
    if report is None:
        return now + RECHECK if problems.may_report(order, now) and not leaves else None
    if report.is_open or order.dispute == "open":
        return now + RECHECK
    end = (report.decided_at or report.reported_at) + timedelta(days=days)
    return end if end > now and not leaves else None
