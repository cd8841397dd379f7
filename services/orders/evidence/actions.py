"""Add, remove and read the photos of a problem."""

from collections.abc import Callable
from hashlib import sha256

from contracts.wire import now
from kit import closed_users
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import AccountClosed, NotFound
from kit.mongo import object_id
from kit.sealing import Keys
from services.orders.documents import Order
from services.orders.evidence import rules, storing
from services.orders.evidence.entries import PhotoEntry


async def check_may_add(order_id: str, by: str) -> None:
    """Check that this user may add a photo, before it is received.

    Raises:
        NotFound, NotYourOrder, PhotosFinal, NothingToReport, TooLateToReport, NothingToAnswer,
        TooLateToAnswer
    """
    rules.check_may_change(await _load(order_id), by, now())


async def add(keys: Keys, order_id: str, by: str, upload: bytes, copy: bytes) -> PhotoEntry:
    """Store the copy of an uploaded photo, and add it to the order. A repeated upload adds nothing.

    If this process stops before the last step, the order doesn't have the photo, and the sweep deletes it.

    Raises:
        NotFound, NotYourOrder, PhotosFinal, NothingToReport, TooLateToReport, NothingToAnswer,
        TooLateToAnswer, TooManyPhotos, AccountClosed
    """
    order = await _load(order_id)
    photo = PhotoEntry(
        id=storing.new_photo_id(),
        by=rules.side_of(order, by),
        size=len(copy),
        digest=sha256(upload).hexdigest(),
        uploaded_at=now(),
    )
    rules.add_photo(order, by, photo, now())
    if await closed_users.is_closed(by):
        raise AccountClosed
    key = object_id(order_id)
    await storing.store(keys, photo.id, key, by, copy)
    try:
        changed = await _change(order_id, lambda current: rules.add_photo(current, by, photo, now()))
    except Exception:
        # The order may have the photo although the response of the database was lost.
        await storing.delete_unless_listed(key, photo.id)
        raise
    same = next(each for each in changed.photos if (each.by, each.digest) == (photo.by, photo.digest))
    if same.id != photo.id:
        await storing.delete_unless_listed(key, photo.id)
    return same


async def remove(order_id: str, by: str, photo_id: str) -> None:
    """Remove a photo that wasn't sent yet. A repeated call changes nothing.

    Raises:
        NotFound, NotYourOrder, PhotosFinal, NothingToReport, TooLateToReport, NothingToAnswer,
        TooLateToAnswer
    """
    await _change(order_id, lambda order: rules.remove_photo(order, by, photo_id, now()))
    await storing.delete_unless_listed(object_id(order_id), photo_id)


async def read(keys: Keys, order_id: str, by: str, photo_id: str) -> bytes:
    """A photo, for the buyer or the seller.

    Raises:
        NotFound, NotYourOrder, FileKeyLost, FileDamaged
    """
    if rules.photo_to_read(await _load(order_id), by, photo_id) is None:
        raise NotFound
    return await storing.read(keys, photo_id)


async def read_by_operator(keys: Keys, order_id: str, photo_id: str) -> bytes:
    """A photo of a reported problem, for operators.

    Raises:
        NotFound, FileKeyLost, FileDamaged
    """
    order = await _load(order_id)
    if order.report is None or all(each.id != photo_id for each in order.photos):
        raise NotFound
    return await storing.read(keys, photo_id)


async def _load(order_id: str) -> Order:
    order = await Order.first({"_id": object_id(order_id)})
    if order is None:
        raise NotFound
    return order


async def _change(order_id: str, decide: Callable[[Order], Changes | None]) -> Order:
    key = object_id(order_id)
    return await change(lambda: Order.first({"_id": key}), decide)
