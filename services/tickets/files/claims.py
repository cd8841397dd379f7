"""Which listing has a code: at most one, because a unique index rejects a second claim of the same code."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.errors import Unavailable
from services.tickets.documents import Ticket
from services.tickets.files import rules, storing
from services.tickets.files.documents import CodeClaim

MAX_ATTEMPTS = 5

Claim = dict[str, Any]
"""A claim as it is stored."""


async def claim(codes: Sequence[str], ticket: Ticket, file_id: str) -> None:
    """Claim all codes of a file for a ticket, or none of them.

    Raises:
        CodeTaken: another listing has one of them, or its ticket was sold here to somebody else.
        Unavailable: other writers were faster in all attempts.
    """
    done: list[tuple[str, Claim | None]] = []
    try:
        for code in codes:
            before = await _claim(code, ticket, file_id)
            done.append((code, before))
    except BaseException:
        for code, before in reversed(done):
            await _restore(code, before, file_id)
        raise


async def release(file_id: str, *, until: datetime | None = None) -> None:
    """Forget the claims of a deleted file: now, or when their time is over."""
    claims = CodeClaim.get_pymongo_collection()
    if until is None:
        await claims.delete_many({"file_id": file_id, "was_bought": False})
        until = now() + rules.UNDATED
    await claims.update_many({"file_id": file_id, "expires_at": None}, {"$set": {"expires_at": until}})


async def _claim(code: str, ticket: Ticket, file_id: str) -> Claim | None:
    """Claim a code. Return the claim that was replaced, if any."""
    claims = CodeClaim.get_pymongo_collection()
    ours: Claim = {
        "code": code,
        "ticket_id": ticket.id,
        "file_id": file_id,
        "seller_id": ticket.user_id,
        "was_bought": False,
        "claimed_at": now(),
        "expires_at": None,
    }
    for _ in range(MAX_ATTEMPTS):
        known: Claim | None = await claims.find_one({"code": code})
        if known is None:
            try:
                await claims.insert_one({"_id": ObjectId(), **ours})
            except DuplicateKeyError:  # somebody else has claimed it meanwhile
                continue
            return None
        verdict = await _verdict(known, ticket.user_id)
        if verdict == "taken":
            raise rules.CodeTaken
        same = {name: known[name] for name in ("_id", "ticket_id", "file_id", "claimed_at")}
        replaced = await claims.update_one(same, {"$set": {**ours, "was_bought": verdict == "bought"}})
        if replaced.matched_count:
            return known
    raise Unavailable


async def _verdict(known: Claim, by: str) -> rules.Verdict:
    ticket = await Ticket.first({"_id": known["ticket_id"]})
    is_over = known["expires_at"] is not None  # then no upload is in progress
    return rules.verdict(
        ticket,
        known["file_id"],
        by,
        claimed_by=known["seller_id"],
        was_bought=known["was_bought"],
        was_read=await storing.was_read(known["file_id"], known["ticket_id"]),
        claimed_at=known["claimed_at"] - rules.GRACE if is_over else known["claimed_at"],
        now=now(),
    )


async def _restore(code: str, before: Claim | None, file_id: str) -> None:
    """Undo a claim of a file that isn't listed. If this process stops here, the claim ends with its file."""
    claims = CodeClaim.get_pymongo_collection()
    ours = {"code": code, "file_id": file_id}
    if before is None:
        await claims.delete_one(ours)
    else:
        former = {name: value for name, value in before.items() if name != "_id"}
        await claims.update_one(ours, {"$set": former})
