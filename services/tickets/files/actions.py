"""Add, remove, list and read the files of a ticket."""

from collections.abc import Callable
from hashlib import sha256

from bson import ObjectId

from contracts.api import FileList
from contracts.api import TicketFile as FileView
from contracts.wire import now
from kit import closed_users
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import AccountClosed, NotFound, ServiceError
from kit.mongo import object_id
from services.tickets.documents import Ticket
from services.tickets.files import claims, rules, storing
from services.tickets.files.contents import Inspected
from services.tickets.files.documents import SealedFile
from services.tickets.files.entries import FileEntry, seats_of
from services.tickets.files.vault import Vault


async def check_may_add(ticket_id: str, seller: str) -> None:
    """Check that this user may add a file to the ticket.

    Raises:
        NotFound, NotTheSeller, TicketWithdrawn, FilesFinal, TooManyFiles
    """
    rules.check_may_add_file(await _load(ticket_id), seller)


async def add(vault: Vault, ticket_id: str, seller: str, inspected: Inspected, content: bytes) -> FileView:
    """Store a file, claim its codes, and add it to the ticket.

    If this process stops before the last step, the ticket doesn't have the file, and the sweep deletes it.

    Raises:
        NotFound, NotTheSeller, TicketWithdrawn, FilesFinal, TooManyFiles, QuantityExceeded, CodeTaken,
        FileKeyLost, AccountClosed
    """
    ticket = await _load(ticket_id)
    file = FileEntry(
        id=storing.new_file_id(),
        kind=inspected.kind,
        size=len(content),
        seats=inspected.seats,
        has_code=bool(inspected.codes),
        uploaded_at=now(),
    )
    rules.add_file(ticket, seller, file, now())
    if await closed_users.is_closed(seller):
        raise AccountClosed
    codes = [await vault.fingerprint("file", sha256(content).digest())]
    codes += [await vault.fingerprint("code", code.encode()) for code in inspected.codes]
    key = object_id(ticket.key)
    await storing.store(vault, file.id, key, file.kind, content)
    try:
        await claims.claim(codes, ticket, file.id)
        await _change(key, lambda current: rules.add_file(current, seller, file, now()))
    except Exception:
        # The ticket may have the file although the response of the database was lost.
        await forget_unless_listed(key, file.id)
        raise
    return view_of(file, reads=0)


async def remove(ticket_id: str, seller: str, file_id: str) -> None:
    """Remove a file of a ticket that nobody has reserved or bought. A repeated call changes nothing.

    Raises:
        NotFound, NotTheSeller, TicketReserved, TicketSold
    """
    if not storing.is_file_id(file_id):
        raise NotFound
    ticket = await _load(ticket_id)
    key = object_id(ticket.key)
    await _change(key, lambda current: rules.remove_file(current, seller, file_id, now()))
    known = await SealedFile.get_pymongo_collection().find_one({"_id": file_id, "ticket_id": key}, {"_id": 1})
    if known is not None:
        await forget_unless_listed(key, file_id)


async def show(ticket_id: str, by: str) -> FileList:
    """The files of a ticket, for its seller and its buyer.

    Raises:
        NotFound, NotTheFilesOwner
    """
    ticket = await _load(ticket_id)
    rules.check_may_see_files(ticket, by)
    valid = [file for file in ticket.files if not file.is_void]
    reads = await storing.count_reads(object_id(ticket.key), [file.id for file in valid])
    is_seller = ticket.user_id == by
    return FileList(
        delivery=ticket.delivery,
        files_ready_at=ticket.files_ready_at,
        quantity=ticket.quantity,
        seats=seats_of(valid),
        can_upload=is_seller and _can_upload(ticket, by),
        can_remove=is_seller and ticket.status in {"available", "withdrawn"},
        can_read=rules.may_read_files(ticket, by),
        files=[view_of(file, reads[file.id]) for file in valid],
    )


async def read(
    vault: Vault, ticket_id: str, by: str, file_id: str, days: float
) -> tuple[FileEntry, int, bytes]:
    """A file for its buyer, its number among the files, and its content. The access is recorded.

    Args:
        days: `FILE_DAYS`, how long after the event the access is on record.

    Raises:
        NotFound, NotTheFilesOwner, FileKeyLost, FileDamaged
    """
    ticket = await _load(ticket_id)
    file = rules.file_to_read(ticket, by, file_id)
    if file is None:
        raise NotFound
    number = [each.id for each in ticket.files if not each.is_void].index(file_id) + 1
    until = rules.record_until(ticket, now(), days)
    return file, number, await storing.read(vault, file_id, by=by, record_until=until)


async def forget_unless_listed(ticket_id: ObjectId, file_id: str) -> None:
    """Delete a file and its claims unless its ticket has it."""
    ticket = await Ticket.first({"_id": ticket_id})
    if ticket is not None and any(file.id == file_id for file in ticket.files):
        return
    await claims.release(file_id)
    await storing.delete(file_id)


def view_of(file: FileEntry, reads: int) -> FileView:
    """A file as its seller and its buyer see it."""
    return FileView(
        id=file.id,
        kind=file.kind,
        size=file.size,
        seats=file.seats,
        code_found=file.has_code,
        uploaded_at=file.uploaded_at,
        reads=reads,
    )


def _can_upload(ticket: Ticket, by: str) -> bool:
    try:
        rules.check_may_add_file(ticket, by)
        rules.check_in_time(ticket, now())
    except ServiceError:
        return False
    return ticket.status == "available" or ticket.files_ready_at is None


async def _load(ticket_id: str) -> Ticket:
    ticket = await Ticket.first({"_id": object_id(ticket_id)})
    if ticket is None:
        raise NotFound
    return ticket


async def _change(key: ObjectId, decide: Callable[[Ticket], Changes | None]) -> Ticket:
    return await change(lambda: Ticket.first({"_id": key}), decide)
