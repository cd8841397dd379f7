"""Deletes files that nobody needs any more, interrupted uploads, and old records of accesses."""

import logging
from datetime import datetime

from pydantic import ValidationError

from contracts.wire import now
from services.tickets.documents import Ticket
from services.tickets.files import claims, rules, storing
from services.tickets.files.documents import CodeClaim, FileAccess, SealedFile

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0

MAX_FILES_PER_SWEEP = 500


async def sweep(days: float) -> None:
    """Delete what isn't needed any more. Several processes may do this at the same time.

    Args:
        days: `FILE_DAYS`, how long after its event a file is kept.
    """
    due = {"check_at": {"$lte": now()}}
    found = await SealedFile.find(due).sort("+check_at").limit(MAX_FILES_PER_SWEEP).to_list()
    for file in found:
        try:
            await _look_at(file, days)
        except (ValidationError, OverflowError) as error:  # then the other files are still looked at
            log.error("whether file %s is still needed can't be decided: %r", file.id, error)
            await _postpone(file, now() + rules.RECHECK)
    moment = now()
    for kind in (CodeClaim, FileAccess):
        await kind.get_pymongo_collection().delete_many({"expires_at": {"$lte": moment}})


async def delete_files_of(ticket: Ticket) -> None:
    """Let the next sweep delete the files of a ticket that isn't offered any more."""
    if ticket.files:
        files = SealedFile.get_pymongo_collection()
        await files.update_many({"ticket_id": ticket.id}, {"$set": {"check_at": now()}})


async def _look_at(file: SealedFile, days: float) -> None:
    ticket = await Ticket.first({"_id": file.ticket_id})
    moment = now()
    sold_at = ticket.updated_at if ticket else moment
    until = rules.keep_until(ticket, file.id, sold_at, moment, days)
    if until is not None:
        await _postpone(file, until)
        return
    bought = await CodeClaim.find({"file_id": file.id, "was_bought": True}).exists()
    kept = rules.claim_until(ticket, file.id, was_bought=bought, now=moment, days=days)
    await claims.release(file.id, until=kept)
    await storing.delete(file.id)


async def _postpone(file: SealedFile, until: datetime) -> None:
    """Look at the file again at this time, unless somebody has set another one meanwhile."""
    which = {"_id": file.id, "check_at": file.check_at}
    await SealedFile.get_pymongo_collection().update_one(which, {"$set": {"check_at": until}})
