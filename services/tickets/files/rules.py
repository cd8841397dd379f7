"""Rules of files: who may add, remove and read them, whose a code is, and how long they are kept."""

from datetime import datetime, timedelta
from typing import Literal

from kit.changes import Changes
from kit.errors import Conflict, Forbidden
from services.tickets.files.entries import MAX_FILES, FileEntry, seats_of
from services.tickets.rules import (
    DELIVERED,
    TicketReserved,
    TicketSold,
    TicketState,
    TicketWithdrawn,
    check_is_seller,
    files_ready,
)

GRACE = timedelta(minutes=10)
"""How long an upload may take. Until then, its file and its claims count although no ticket has the file."""

RECHECK = timedelta(days=1)
"""How often the sweep looks at the file of a ticket that isn't sold."""

UNDATED = timedelta(days=365)
"""How long after its sale the code of a ticket without a date can't be listed again."""


class NotTheFilesOwner(Forbidden):
    message = "Only its buyer can read the files of a ticket"


class FilesFinal(Conflict):
    message = "The files of this ticket can't change any more"


class TooManyFiles(Conflict):
    message = f"A listing has at most {MAX_FILES} files"


class QuantityExceeded(Conflict):
    message = "The files are for more tickets than the listing"


class CodeTaken(Conflict):
    """The code is in another listing, or its ticket was sold here to somebody else."""

    message = "This ticket is in a listing already, or was sold here"


def check_may_add_file(ticket: TicketState, by: str) -> None:
    """Check that this user may add a file: the seller, until all files are there that were promised.

    Raises:
        NotTheSeller, TicketWithdrawn, TooManyFiles
        FilesFinal: the ticket is refunded, or sold and complete, or its delivery has failed.
    """
    check_is_seller(ticket, by)
    if ticket.status == "withdrawn" or (ticket.withdrawn and ticket.status == "available"):
        raise TicketWithdrawn("Files can't be added to a withdrawn ticket")
    is_over = ticket.refunded or ticket.files_ready_at is not None or ticket.order_delivery in DELIVERED
    if ticket.status == "sold" and is_over:
        raise FilesFinal
    if sum(not file.is_void for file in ticket.files) >= MAX_FILES:
        raise TooManyFiles


def check_in_time(ticket: TicketState, now: datetime) -> None:
    """Check that the buyer of promised files isn't about to be refunded because they are late.

    Orders waits for `GRACE` after the deadline and then asks for the files. Later ones would reach a buyer
    who gets the money back, until the event about that arrives here.

    Raises:
        FilesFinal
    """
    if ticket.status == "sold" and ticket.upload_by is not None and ticket.upload_by < now:
        raise FilesFinal("The time to upload the files is over")


def add_file(ticket: TicketState, by: str, file: FileEntry, now: datetime) -> Changes | None:
    """Add a file. A repeated call changes nothing.

    Raises:
        NotTheSeller, TicketWithdrawn, FilesFinal, TooManyFiles
        QuantityExceeded: with this file, there would be more tickets than the listing has.
    """
    if any(known.id == file.id for known in ticket.files):
        return None
    check_may_add_file(ticket, by)
    check_in_time(ticket, now)
    files = [*ticket.files, file]
    seats = seats_of(files)
    if seats > ticket.quantity:
        raise QuantityExceeded(
            f"The listing is for {ticket.quantity}, and with this file there would be tickets for {seats}"
        )
    return {"files": files, "files_ready_at": files_ready(ticket, files, ticket.quantity, now)}


def remove_file(ticket: TicketState, by: str, file_id: str, now: datetime) -> Changes | None:
    """Remove a file of a ticket that nobody has reserved or bought. A repeated call changes nothing.

    Raises:
        NotTheSeller, TicketReserved, TicketSold
    """
    check_is_seller(ticket, by)
    if ticket.status == "reserved":
        raise TicketReserved("Files can't be removed while somebody is paying")
    if ticket.status == "sold":
        raise TicketSold("Files of a sold ticket can't be removed")
    files = [file for file in ticket.files if file.id != file_id]
    if len(files) == len(ticket.files):
        return None
    return {"files": files, "files_ready_at": files_ready(ticket, files, ticket.quantity, now)}


def may_read_files(ticket: TicketState, by: str) -> bool:
    """Whether this user may read the files: only the buyer who paid, and isn't refunded."""
    is_refunded = ticket.refunded or ticket.order_delivery == "failed"
    return ticket.status == "sold" and not is_refunded and ticket.buyer_id == by


def check_may_see_files(ticket: TicketState, by: str) -> None:
    """Check that this user may know which files there are: the seller, and who may read them.

    Raises:
        NotTheFilesOwner
    """
    if ticket.user_id != by and not may_read_files(ticket, by):
        raise NotTheFilesOwner


def file_to_read(ticket: TicketState, by: str, file_id: str) -> FileEntry | None:
    """The file, if this user may read it. None if the ticket has no such file.

    Raises:
        NotTheFilesOwner
    """
    if not may_read_files(ticket, by):
        raise NotTheFilesOwner
    return next((file for file in ticket.files if file.id == file_id and not file.is_void), None)


def record_until(ticket: TicketState, now: datetime, days: float) -> datetime:
    """Until when it is on record that somebody receives a file now: some days after it or the event."""
    return max(now, ticket.starts_at or now) + timedelta(days=days)


Verdict = Literal["free", "bought", "taken"]
"""Whether a code may be listed: by anybody, by who owns it after a sale here, or not."""


def verdict(
    ticket: TicketState | None,
    file_id: str,
    by: str,
    *,
    claimed_by: str,
    was_bought: bool,
    was_read: bool = False,
    claimed_at: datetime,
    now: datetime,
) -> Verdict:
    """Whether this user may list a code that is claimed already.

    Args:
        ticket: the listing that claims the code.
        file_id: the file with which it does.
        claimed_by: the seller of that listing.
        was_bought: whether that seller had bought the code here.
        was_read: whether a buyer has downloaded the file. After a refund, that buyer may have kept a copy.
    """
    owner = claimed_by if was_bought else None
    file = next((each for each in ticket.files if each.id == file_id), None) if ticket else None
    if ticket is None or file is None:
        if now < claimed_at + GRACE:
            return "taken"  # by an upload in progress
    elif file.is_void or (ticket.status == "sold" and ticket.refunded):
        if was_read:
            return "taken"
        owner = ticket.user_id
    elif ticket.status == "sold":
        owner = ticket.buyer_id
    elif ticket.status != "withdrawn":
        return "taken"
    if owner is None:
        return "free"
    return "bought" if owner == by else "taken"


def keep_until(
    ticket: TicketState | None, file_id: str, sold_at: datetime, now: datetime, days: float
) -> datetime | None:
    """Until when a file is kept before it is looked at again. None if it isn't needed any more.

    Args:
        sold_at: when the ticket changed last.
        days: how long after its event a file is kept.
    """
    file = next((each for each in ticket.files if each.id == file_id), None) if ticket else None
    if ticket is None or file is None or file.is_void or ticket.status == "withdrawn":
        return None
    if ticket.starts_at is None:
        end = sold_at + timedelta(days=days) if ticket.status == "sold" else now + RECHECK
    else:
        end = ticket.starts_at + timedelta(days=days)
    if end <= now:
        return None
    return end if ticket.status == "sold" else min(end, now + RECHECK)


def claim_until(
    ticket: TicketState | None, file_id: str, *, was_bought: bool, now: datetime, days: float
) -> datetime | None:
    """Until when the claims of a deleted file are kept. None if anybody may list its codes now."""
    file = next((each for each in ticket.files if each.id == file_id), None) if ticket else None
    was_sold = ticket is not None and (ticket.status == "sold" or (file is not None and file.is_void))
    if not was_sold and not was_bought:
        return None
    if ticket is None or ticket.starts_at is None:
        return now + UNDATED
    return max(now, ticket.starts_at) + timedelta(days=days)
