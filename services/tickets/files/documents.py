"""Stored files, their encrypted chunks, who claims their codes, and who read them."""

from beanie import Document, PydanticObjectId
from pydantic import Field
from pymongo import ASCENDING, IndexModel

from contracts.wire import Moment, now
from kit.sealing import WrappedKey
from services.tickets.files.entries import FileKind

ONE_LIVE_CLAIM_A_CODE = "one_live_claim_a_code"


class SealedFile(Document):
    """A file, whose chunks are stored after it, so that an interrupted upload is found by its file."""

    id: str  # type: ignore[assignment] # random, chosen before the upload is encrypted
    ticket_id: PydanticObjectId
    kind: FileKind
    size: int
    key_id: str
    """Which key wraps the data key."""
    wrapped: bytes
    """The data key, encrypted."""
    created_at: Moment = Field(default_factory=now)
    check_at: Moment
    """When the sweep looks next at whether the file is still needed."""

    class Settings:
        name = "ticket_files"
        indexes = [
            IndexModel([("check_at", ASCENDING)], name="check_at"),
            IndexModel([("ticket_id", ASCENDING)], name="of_ticket"),
            IndexModel([("key_id", ASCENDING)], name="key_id"),
        ]

    @property
    def wrapped_key(self) -> WrappedKey:
        return WrappedKey(self.key_id, self.wrapped)


class FileChunk(Document):
    """A part of a file, encrypted. It has at most 256 KiB."""

    id: str  # type: ignore[assignment] # the file and the index
    file_id: str
    index: int
    data: bytes

    class Settings:
        name = "ticket_file_chunks"
        indexes = [IndexModel([("file_id", ASCENDING), ("index", ASCENDING)], name="of_file")]


class CodeClaim(Document):
    """Which listing has a code, or the last one that had it. There is one claim of each code.

    The code itself isn't stored, only a keyed hash of it. A whole file has such a claim as well.
    """

    id: PydanticObjectId = Field(default_factory=PydanticObjectId)
    code: str
    """The keyed hash."""
    ticket_id: PydanticObjectId
    file_id: str
    seller_id: str
    was_bought: bool = False
    """Whether the lister had bought the code here, so that nobody else may list it after that."""
    claimed_at: Moment = Field(default_factory=now)
    expires_at: Moment | None = None
    """When the claim of a file that is deleted may be forgotten. None while the file is stored."""

    class Settings:
        name = "code_claims"
        indexes = [
            IndexModel([("code", ASCENDING)], name=ONE_LIVE_CLAIM_A_CODE, unique=True),
            IndexModel([("file_id", ASCENDING)], name="of_file"),
            IndexModel([("expires_at", ASCENDING)], name="expires_at", sparse=True),
        ]


class FileAccess(Document):
    """Somebody received the content of a file."""

    id: PydanticObjectId = Field(default_factory=PydanticObjectId)
    ticket_id: PydanticObjectId
    file_id: str
    user_id: str
    at: Moment = Field(default_factory=now)
    expires_at: Moment
    """When the record may be forgotten. Until then, it is evidence if the buyer disputes the payment."""

    class Settings:
        name = "file_accesses"
        indexes = [
            IndexModel([("ticket_id", ASCENDING), ("file_id", ASCENDING)], name="of_ticket"),
            IndexModel([("expires_at", ASCENDING)], name="expires_at"),
        ]


class FileKey(Document):
    """A key that hashes codes, wrapped like the data key of a file. Its hashes outlive a rotation."""

    id: str  # type: ignore[assignment] # its purpose
    key_id: str
    wrapped: bytes

    class Settings:
        name = "file_keys"
