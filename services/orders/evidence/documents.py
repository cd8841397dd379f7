"""Stored photos, and their encrypted chunks."""

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from contracts.wire import Moment, now
from kit.sealing import WrappedKey


class SealedPhoto(Document):
    """A photo, whose chunks are stored after it, so that an interrupted upload is found by its photo."""

    id: str  # type: ignore[assignment] # random, chosen before the upload is encrypted
    order_id: PydanticObjectId
    user_id: str
    """Who added it."""
    size: int
    key_id: str
    """Which key wraps the data key."""
    wrapped: bytes
    """The data key, encrypted."""
    leaves: bool = False
    """Whether the account of who added it is deleted."""
    created_at: Moment = Field(default_factory=now)
    check_at: Moment
    """When the sweep looks next at whether the photo is still needed."""

    class Settings:
        name = "evidence_photos"
        indexes = [
            IndexModel([("check_at", ASCENDING)], name="check_at"),
            IndexModel([("user_id", ASCENDING)], name="of_user"),
            IndexModel([("key_id", ASCENDING)], name="key_id"),
        ]

    @property
    def wrapped_key(self) -> WrappedKey:
        return WrappedKey(self.key_id, self.wrapped)


class PhotoChunk(Document):
    """A part of a photo, encrypted. It has at most 256 KiB."""

    id: str  # type: ignore[assignment] # the photo and the index
    data: bytes

    class Settings:
        name = "evidence_chunks"
