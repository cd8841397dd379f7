"""HTTP API of reported listings: people report one, and operators decide."""

from litestar import get, post
from litestar.params import RequestBody

from contracts.api import (
    ListingDecisionBody,
    ListingReport,
    ListingReportBody,
    ReceivedReport,
    ReportedListing,
)
from kit.errors import AccountClosed, NotFound
from kit.http.guards import operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import OPERATORS, SIGNED_IN, PathId, refusals
from kit.http.request import ApiRequest
from kit.security_log import OPERATOR, record
from services.tickets.reports import actions, rules
from services.tickets.reports.documents import ListingCase
from services.tickets.reports.rules import (
    ListingGone,
    ListingReported,
    NoOpenReport,
    OwnListing,
    ReportDecided,
)
from services.tickets.rules import TicketSold

MAX_CASES = 200
"""The most reported listings that are listed. Deciding on one makes room for the next."""


@post(
    "/{ticket_id:str}/reports",
    status_code=200,
    guards=[signed_in, Limited("report-listing", "rate_report")],
    security=SIGNED_IN,
    summary="Report a listing",
    responses=refusals(OwnListing, ListingGone, ListingReported, AccountClosed),
)
async def report_listing(
    request: ApiRequest, ticket_id: PathId, data: RequestBody[ListingReportBody]
) -> ListingReport:
    """A person has at most one open report of a listing."""
    case = await actions.report(ticket_id, request.user.id, data.kind, data.text)
    own = [each for each in rules.opened(case) if each.reporter_id == request.user.id]
    return ListingReport.model_validate(_fields(own[0])) if own else _counted(case, data)


@get(
    "/reports",
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Reported listings that wait for a decision",
)
async def list_reported_listings() -> list[ReportedListing]:
    """Those that have waited longest come first."""
    return [view_of(case) for case in await actions.open_cases(MAX_CASES)]


@post(
    "/reports/decisions",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Decide on the reports of a listing",
    responses=refusals(NotFound, NoOpenReport, ReportDecided, TicketSold),
)
async def decide_on_listing(data: RequestBody[ListingDecisionBody]) -> ReportedListing:
    """A removal withdraws the ticket, or as soon as no order holds it. Repeating it changes nothing."""
    case = await actions.decide(data.ticket_id, data.decision, data.reason, data.seen)
    record(
        *("listing-decision", "success"),
        actor=OPERATOR,
        ticket=case.key,
        decision=data.decision,
        reason=data.reason,
    )
    return view_of(case)


def view_of(case: ListingCase) -> ReportedListing:
    """The case as operators see it."""
    return ReportedListing(
        ticket_id=case.key,
        seller_id=case.seller_id,
        open_since=case.open_since,
        further=case.further,
        removing=case.removal is not None,
        reports=[ReceivedReport.model_validate(dict(each)) for each in case.reports],
    )


def _fields(report: rules.Report) -> dict[str, object]:
    return {name: value for name, value in dict(report).items() if name != "reporter_id"}


def _counted(case: ListingCase, data: ListingReportBody) -> ListingReport:
    """The answer to a report that was only counted, because there are enough."""
    assert case.changed_at is not None, "a case has been changed once"
    return ListingReport(kind=data.kind, text=data.text, reported_at=case.changed_at, state="open")


ROUTES = (report_listing, list_reported_listings, decide_on_listing)
