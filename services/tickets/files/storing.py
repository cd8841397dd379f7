"""Stores files in encrypted chunks, and reads them."""

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime

from beanie import PydanticObjectId
from bson import ObjectId

from contracts.wire import now
from kit.errors import NotFound
from kit.sealing import count_chunks, new_data_key, seal, unseal
from services.tickets.files import rules
from services.tickets.files.documents import FileAccess, FileChunk, SealedFile
from services.tickets.files.entries import FileKind
from services.tickets.files.vault import Vault


def new_file_id() -> str:
    return secrets.token_hex(16)


def is_file_id(text: str) -> bool:
    """Whether the text has the form of a file's id."""
    return re.fullmatch("[0-9a-f]{32}", text) is not None


async def store(vault: Vault, file_id: str, ticket_id: ObjectId, kind: FileKind, content: bytes) -> None:
    """Store a file that no ticket has yet. If this process stops here, the sweep deletes it."""
    data_key = new_data_key()
    wrapped = vault.keys.wrap(data_key, file_id)
    await SealedFile(
        id=file_id,
        ticket_id=PydanticObjectId(ticket_id),
        kind=kind,
        size=len(content),
        key_id=wrapped.key_id,
        wrapped=wrapped.sealed,
        check_at=now() + rules.GRACE,
    ).insert()
    chunks = FileChunk.get_pymongo_collection()
    for index, data in enumerate(seal(content, data_key, file_id)):
        chunk = {"_id": f"{file_id}/{index}", "file_id": file_id, "index": index, "data": data}
        await chunks.insert_one(chunk)


async def read(vault: Vault, file_id: str, *, by: str, record_until: datetime) -> bytes:
    """Decrypt a file for a user, and record until this time that the user has received it.

    Raises:
        NotFound: the file is deleted.
        FileKeyLost, FileDamaged
    """
    file = await SealedFile.find_one({"_id": file_id})
    if file is None:
        raise NotFound
    data_key = vault.keys.unwrap(file.wrapped_key, file_id)
    content = unseal(await _chunks(file), data_key, file_id, file.size)
    # Without the record, nobody gets the content.
    await FileAccess(ticket_id=file.ticket_id, file_id=file_id, user_id=by, expires_at=record_until).insert()
    return content


async def delete(file_id: str) -> None:
    """Delete a file and its chunks. The file is deleted last, so that a repetition finds it."""
    await FileChunk.get_pymongo_collection().delete_many({"file_id": file_id})
    await SealedFile.get_pymongo_collection().delete_one({"_id": file_id})


async def count_reads(ticket_id: ObjectId, file_ids: Sequence[str]) -> Mapping[str, int]:
    """How often each file was received."""
    reads = FileAccess.get_pymongo_collection()
    return {
        file_id: await reads.count_documents({"ticket_id": ticket_id, "file_id": file_id})
        for file_id in file_ids
    }


async def was_read(file_id: str, ticket_id: ObjectId) -> bool:
    """Whether somebody has received the file, as far as that is still on record."""
    which = {"ticket_id": ticket_id, "file_id": file_id}
    return await FileAccess.get_pymongo_collection().find_one(which, {"_id": 1}) is not None


async def _chunks(file: SealedFile) -> list[bytes]:
    names = [f"{file.id}/{index}" for index in range(count_chunks(file.size))]
    found = FileChunk.get_pymongo_collection().find({"_id": {"$in": names}}, {"index": 1, "data": 1})
    by_index = {chunk["index"]: bytes(chunk["data"]) for chunk in await found.to_list()}
    return [by_index[index] for index in sorted(by_index)]
