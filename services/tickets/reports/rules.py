"""Rules of reported listings: who may report one, and what an operator may decide.

A listing has one case with all its reports. So reports and decisions of the same moment are decided by the
case's guarded write.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from contracts.api import ListingDecision, ListingReportKind, ListingReportState
from contracts.events import TicketStatus
from contracts.wire import Moment
from kit.changes import Changes
from kit.errors import Conflict, Forbidden

MAX_OPEN = 20
"""Open reports of a listing. Operators have to look at it anyway, and further ones would say nothing new."""
MAX_CLOSED = 30
"""The newest reports that were decided, which a case keeps."""
KEPT = timedelta(days=180)
"""How long a case is kept after its last report or decision. People may complain about a decision so long."""


class OwnListing(Forbidden):
    message = "You can't report your own listing. Withdraw it if it is wrong"


class ListingGone(Conflict):
    message = "The listing is no longer on sale, so there is nothing to report"


class ListingReported(Conflict):
    message = "You have reported this listing already. We will look at it"


class NoOpenReport(Conflict):
    message = "Nobody has reported this listing, or it was decided already"


class ReportDecided(Conflict):
    message = "These reports have been decided already"


class Report(BaseModel):
    """What one person reported, and what was decided."""

    model_config = ConfigDict(frozen=True)

    reporter_id: str | None
    """None after the account was deleted."""
    kind: ListingReportKind
    text: str
    reported_at: Moment
    state: ListingReportState = "open"
    reason: str | None = None
    """Why an operator decided so."""
    decided_at: Moment | None = None


class CaseState(BaseModel):
    """The fields of a case that rules need."""

    reports: Sequence[Report] = ()
    """The oldest first."""
    further: int = 0
    """Number of reports that weren't stored, because there were enough."""
    open_since: Moment | None = None
    """When the oldest open report was made. None if none is open."""
    removal: str | None = None
    """Why the listing has to be withdrawn, until it is."""
    changed_at: Moment | None = None


Decide = Callable[[CaseState], Changes | None]


def check_may_report(status: TicketStatus, seller: str, by: str) -> None:
    """
    Raises:
        OwnListing, ListingGone
    """
    if seller == by:
        raise OwnListing
    if status == "withdrawn":
        raise ListingGone


def report(case: CaseState, by: str, kind: ListingReportKind, text: str, now: datetime) -> Changes | None:
    """Add a report. A person has at most one open report of a listing. Repeating it changes nothing.

    Raises:
        ListingReported, ListingGone
    """
    if case.removal is not None:
        raise ListingGone
    for each in opened(case):
        if each.reporter_id == by:
            if (each.kind, each.text) == (kind, text):
                return None
            raise ListingReported
    if len(opened(case)) >= MAX_OPEN:
        return {"further": case.further + 1}
    made = Report(reporter_id=by, kind=kind, text=text, reported_at=now)
    return _with_reports([*case.reports, made], now)


def decide(
    case: CaseState, decision: ListingDecision, reason: str, seen: Collection[datetime], now: datetime
) -> Changes | None:
    """Decide on the reports that an operator has read. A repeated call changes nothing.

    A removal settles all open reports, because they are about the same listing.

    Args:
        seen: when the reports were made that the operator has read. Empty for all.

    Raises:
        NoOpenReport, ReportDecided
    """
    state: ListingReportState = "removed" if decision == "remove" else "kept"
    read = [each for each in case.reports if not seen or each.reported_at in seen]
    if not read:
        raise NoOpenReport
    if not any(each.state == "open" for each in read):
        if all((each.state, each.reason) == (state, reason) for each in read):
            return None
        if not seen:
            raise NoOpenReport
        raise ReportDecided
    if any(each.state != "open" for each in read) and seen:
        raise ReportDecided
    decided = {"state": state, "reason": reason, "decided_at": now}
    reports = [
        each.model_copy(update=decided)
        if each.state == "open" and (decision == "remove" or each in read)
        else each
        for each in case.reports
    ]
    changes = _with_reports(reports, now)
    return {**changes, "removal": reason} if decision == "remove" else changes


def removed(case: CaseState) -> Changes | None:
    """Note that the listing is withdrawn, or can't be any more."""
    return None if case.removal is None else {"removal": None}


def forget(case: CaseState, user: str, now: datetime) -> Changes | None:
    """Forget who has reported. What somebody has reported who has left stays, and waits for its decision."""
    if not any(each.reporter_id == user for each in case.reports):
        return None
    reports = [
        each.model_copy(update={"reporter_id": None}) if each.reporter_id == user else each
        for each in case.reports
    ]
    return _with_reports(reports, case.changed_at or now)


def opened(case: CaseState) -> list[Report]:
    """The open reports, the oldest first."""
    return [each for each in case.reports if each.state == "open"]


def _with_reports(reports: Sequence[Report], now: datetime) -> Changes:
    open_ = [each for each in reports if each.state == "open"]
    closed = [each for each in reports if each.state != "open"][-MAX_CLOSED:]
    since = min((each.reported_at for each in open_), default=None)
    changes: Changes = {
        "reports": sorted([*closed, *open_], key=lambda each: each.reported_at),
        "open_since": since,
        "changed_at": now,
    }
    return changes if open_ else {**changes, "further": 0}
