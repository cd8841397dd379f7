"""Stores photos in encrypted chunks, and reads and deletes them."""

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import ValidationError

from contracts.events import UserEvent
from contracts.export import ExportedPhoto
from contracts.internal import Part
from contracts.wire import now
from kit.aggregates import change
from kit.errors import NotFound
from kit.rewrapping import rewrap
from kit.sealing import FileKeyLost, Keys, count_chunks, new_data_key, seal, unseal
from services.orders.documents import Order
from services.orders.evidence import rules
from services.orders.evidence.documents import PhotoChunk, SealedPhoto

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0

MAX_PHOTOS_PER_SWEEP = 500

MAX_EXPORTED = 10_001
"""The most photos of a user in an export: one more than it contains, so that it says if some are missing."""


def new_photo_id() -> str:
    return secrets.token_hex(16)


async def store(keys: Keys, photo_id: str, order_id: ObjectId, user: str, content: bytes) -> None:
    """Store a photo that no order has yet. If this process stops here, the sweep deletes it."""
    data_key = new_data_key()
    wrapped = keys.wrap(data_key, photo_id)
    await SealedPhoto(
        id=photo_id,
        order_id=PydanticObjectId(order_id),
        user_id=user,
        size=len(content),
        key_id=wrapped.key_id,
        wrapped=wrapped.sealed,
        check_at=now() + rules.GRACE,
    ).insert()
    chunks = PhotoChunk.get_pymongo_collection()
    for index, data in enumerate(seal(content, data_key, photo_id)):
        await chunks.insert_one({"_id": f"{photo_id}/{index}", "data": data})


async def read(keys: Keys, photo_id: str) -> bytes:
    """Decrypt a photo.

    Raises:
        NotFound: the photo is deleted.
        FileKeyLost, FileDamaged
    """
    photo = await SealedPhoto.find_one({"_id": photo_id})
    if photo is None:
        raise NotFound
    data_key = keys.unwrap(photo.wrapped_key, photo_id)
    names = _chunks_of(photo)
    found = await PhotoChunk.get_pymongo_collection().find({"_id": {"$in": names}}).to_list()
    by_name = {chunk["_id"]: bytes(chunk["data"]) for chunk in found}
    return unseal([by_name[name] for name in names if name in by_name], data_key, photo_id, photo.size)


async def delete(photo: SealedPhoto) -> None:
    """Delete a photo and its chunks. The photo is deleted last, so that a repetition finds it."""
    await PhotoChunk.get_pymongo_collection().delete_many({"_id": {"$in": _chunks_of(photo)}})
    await SealedPhoto.get_pymongo_collection().delete_one({"_id": photo.id})


async def delete_unless_listed(order_id: ObjectId, photo_id: str) -> None:
    """Delete a photo unless its order has it."""
    order = await Order.first({"_id": order_id})
    if order is not None and any(each.id == photo_id for each in order.photos):
        return
    photo = await SealedPhoto.find_one({"_id": photo_id, "order_id": order_id})
    if photo is not None:
        await delete(photo)


async def follow_user(user: UserEvent) -> None:
    """Let the next sweeps delete what a deleted user has added, once nothing about it is open."""
    if user.deleted:
        leaving = {"$set": {"leaves": True, "check_at": now()}}
        await SealedPhoto.get_pymongo_collection().update_many({"user_id": user.id}, leaving)


async def exported(user: str) -> Part[ExportedPhoto]:
    """The photos that the user has added, newest first, without their content."""
    found = await SealedPhoto.find({"user_id": user}).sort("-created_at").limit(MAX_EXPORTED).to_list()
    entries = [
        ExportedPhoto(id=each.id, order_id=str(each.order_id), size=each.size, created_at=each.created_at)
        for each in found
    ]
    return Part[ExportedPhoto](entries=entries, after=None)


async def sweep(keys: Keys, days: float) -> None:
    """Delete what isn't needed any more, and rotate keys. Several processes may do this at the same time.

    Args:
        days: `FILE_DAYS`, how long after the decision a photo is kept.
    """
    due = {"check_at": {"$lte": now()}}
    found = await SealedPhoto.find(due).sort("+check_at").limit(MAX_PHOTOS_PER_SWEEP).to_list()
    for photo in found:
        try:
            await _look_at(photo, days)
        except (ValidationError, OverflowError) as error:  # then the other photos are still looked at
            log.error("whether photo %s is still needed can't be decided: %r", photo.id, error)
            await _postpone(photo, now() + rules.RECHECK)
    for secret in keys.secrets[1:]:
        try:
            await rewrap(keys, SealedPhoto.get_pymongo_collection(), Keys([secret]).current_id)
        except FileKeyLost:
            log.error("the key of a photo is damaged, so it isn't wrapped with the new TICKET_FILE_KEY")


async def _look_at(photo: SealedPhoto, days: float) -> None:
    order = await Order.first({"_id": photo.order_id})
    until = rules.keep_until(order, photo.id, leaves=photo.leaves, now=now(), days=days)
    if until is not None:
        await _postpone(photo, until)
        return
    if order is not None:
        await change(
            lambda: Order.first({"_id": photo.order_id}), lambda found: rules.forget_photo(found, photo.id)
        )
    await delete(photo)


async def _postpone(photo: SealedPhoto, until: datetime) -> None:
    """Look at the photo again at this time, unless somebody has set another one meanwhile."""
    which = {"_id": photo.id, "check_at": photo.check_at}
    await SealedPhoto.get_pymongo_collection().update_one(which, {"$set": {"check_at": until}})


def _chunks_of(photo: SealedPhoto) -> Sequence[str]:
    return [f"{photo.id}/{index}" for index in range(count_chunks(photo.size))]
