"""Report a listing, decide on the reports of one, and carry out decisions."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime

from beanie import PydanticObjectId
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.api import ListingDecision, ListingReportKind
from contracts.wire import now
from kit import closed_users
from kit.aggregates import change
from kit.errors import AccountClosed, NotFound, ServiceError
from kit.mongo import object_id
from services.tickets import actions
from services.tickets.reports import rules
from services.tickets.reports.documents import ListingCase
from services.tickets.rules import TicketSold

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
MAX_SWEPT = 200
"""Cases that one sweep looks at."""


async def report(ticket_id: str, by: str, kind: ListingReportKind, text: str) -> ListingCase:
    """Report a listing. Repeating it changes nothing.

    Raises:
        NotFound, OwnListing, ListingGone, ListingReported, AccountClosed
    """
    ticket = await actions.show(ticket_id)
    rules.check_may_report(ticket.status, ticket.user_id, by)
    await _open_case(ticket.id, ticket.user_id)
    case = await _change(ticket.id, lambda case: rules.report(case, by, kind, text, now()))
    if await closed_users.is_closed(by):  # closed meanwhile, and perhaps deleted
        await _change(ticket.id, lambda case: rules.forget(case, by, now()))
        raise AccountClosed
    return case


async def decide(
    ticket_id: str, decision: ListingDecision, reason: str, seen: Collection[datetime] = ()
) -> ListingCase:
    """Decide on the reports of a listing, and withdraw it if so decided. Repeating it is harmless.

    An order that holds the ticket keeps it until it ends, and nobody can reserve the ticket again. If this
    process stops between both, `sweep` withdraws it.

    Raises:
        NotFound, NoOpenReport, ReportDecided
        TicketSold: it can't be withdrawn any more, so nothing is decided.
    """
    key = object_id(ticket_id)
    if decision == "remove" and (await actions.show(ticket_id)).status == "sold":
        raise TicketSold
    case = await _change(key, lambda case: rules.decide(case, decision, reason, seen, now()))
    return await _remove(case) if case.removal is not None else case


async def open_cases(limit: int) -> Sequence[ListingCase]:
    """Cases with an open report. Those that have waited longest come first."""
    waiting = ListingCase.find({"open_since": {"$type": "date"}})
    return await waiting.sort("open_since").limit(limit).to_list()


async def sweep() -> None:
    """Withdraw listings whose removal was decided, see which have left the sale, and delete old cases."""
    waiting = ListingCase.find({"removal": {"$gt": ""}}).limit(MAX_SWEPT)
    for case in await waiting.to_list():
        try:
            await _remove(case)
        except ServiceError as error:  # the others have to be withdrawn too
            log.warning("the reported listing %s isn't withdrawn: %s", case.key, error)
    old = {"changed_at": {"$lt": now() - rules.KEPT}, "open_since": None, "removal": None}
    await ListingCase.get_pymongo_collection().delete_many(old)


async def _remove(case: ListingCase) -> ListingCase:
    """Withdraw the listing. The case remembers a removal as long as an order holds the ticket.

    A ticket that was sold meanwhile stays sold, and its buyer can report a problem.
    """
    assert case.removal is not None, "the removal was decided"
    try:
        ticket = await actions.remove(case.key, case.removal)
        if ticket.status == "reserved":
            log.info("the reported listing %s is reserved; it is withdrawn when it is free", case.key)
            return case
    except (TicketSold, NotFound) as error:
        log.warning("the reported listing %s can't be withdrawn: %s", case.key, error)
    return await _change(case.id, rules.removed)


async def _open_case(ticket_id: PydanticObjectId, seller: str) -> None:
    """Create the case of a listing, if there is none."""
    case = ListingCase(id=ticket_id, seller_id=seller, changed_at=now())
    try:
        if await ListingCase.find_one({"_id": ticket_id}) is None:
            await case.insert()
    except DuplicateKeyError:  # another request created it
        pass


async def _change(key: ObjectId, decide: rules.Decide) -> ListingCase:
    return await change(lambda: ListingCase.find_one({"_id": key}), decide)
