"""Reports of users who delete their account."""

from functools import partial

from contracts.wire import now
from kit.aggregates import change
from services.tickets.reports import rules
from services.tickets.reports.documents import ListingCase


async def forget(user: str) -> None:
    """Forget who has made a deleted user's reports. Repeating it changes nothing."""
    cases = ListingCase.get_pymongo_collection()
    async for raw in cases.find({"reports.reporter_id": user}, {"_id": 1}):
        case = partial(ListingCase.find_one, {"_id": raw["_id"]})
        await change(case, lambda case: rules.forget(case, user, now()))
