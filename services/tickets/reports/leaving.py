"""Reports of users who delete their account or export their data."""

from functools import partial

from contracts.export import ExportedListingReport
from contracts.internal import Part
from contracts.wire import now
from kit.aggregates import change
from kit.paging import newest_first
from services.tickets.reports import rules
from services.tickets.reports.documents import ListingCase

MAX_PAGE = 200
"""Cases of a part of what is exported."""


async def page_of_reports(user: str, after: str | None) -> Part[ExportedListingReport]:
    """A part of what the user reported, the newest listing first.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    found, following = await newest_first(ListingCase, {"reports.reporter_id": user}, {}, after, MAX_PAGE)
    cases = [ListingCase.model_validate(raw) for raw in found]
    entries = [
        ExportedListingReport(
            ticket_id=case.key,
            kind=report.kind,
            text=report.text,
            reported_at=report.reported_at,
            state=report.state,
            decided_at=report.decided_at,
        )
        for case in cases
        for report in reversed(case.reports)
        if report.reporter_id == user
    ]
    return Part[ExportedListingReport](entries=entries, after=following)


async def forget(user: str) -> None:
    """Forget who has made a deleted user's reports. Repeating it changes nothing."""
    cases = ListingCase.get_pymongo_collection()
    async for raw in cases.find({"reports.reporter_id": user}, {"_id": 1}):
        case = partial(ListingCase.find_one, {"_id": raw["_id"]})
        await change(case, lambda case: rules.forget(case, user, now()))
