"""The queue of reported listings, and the command `decide-listing` as its action."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import ObjectId
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect, Template

from contracts.api import ListingReportKind, ReceivedReport, ReportedListing
from contracts.money import from_minor_units
from ops import operator_api
from ops.console.page import (
    AnyRequest,
    act_and_note,
    confirmed_reason,
    operators_only,
    page,
    session_of,
    settings_of,
)
from ops.interventions import LISTING_DECISIONS, decide_listing
from ops.lookup import ID
from ops.sources import Sources, opened
from settings import Settings

KINDS: Mapping[ListingReportKind, str] = {
    "fraud": "Forged, stolen or a scam",
    "not-as-described": "Wrong facts",
    "price": "The price isn't allowed",
    "illegal": "Illegal or insulting content",
    "other": "Something else",
}
_TEXTS = ("quantity", "seat", "notes", "venue", "city")
_FIELDS = ("title", "status", "price_minor", "starts_at", *_TEXTS)


@dataclass(frozen=True)
class Shown:
    """A reported listing as operators read it."""

    case: ReportedListing
    title: str
    status: str
    facts: Sequence[str]

    @property
    def opened(self) -> Sequence[ReceivedReport]:
        return [each for each in self.case.reports if each.state == "open"]

    @property
    def decided(self) -> Sequence[ReceivedReport]:
        return [each for each in self.case.reports if each.state != "open"]

    @property
    def can_be_removed(self) -> bool:
        return self.status in {"available", "reserved", "withdrawn"}


@get("/ops/listings", guards=[operators_only])
async def listings(request: AnyRequest) -> Template:
    """Listings with an open report, with what people say and what the listing says."""
    settings = settings_of(request)
    found = await _open_cases(settings)
    async with opened(settings) as sources:
        tickets = await _tickets(sources, [case.ticket_id for case in found])
    currency = settings.currency.upper()
    shown = [_shown(case, tickets.get(case.ticket_id, {}), currency) for case in found]
    return page(request, "listings.html", "Listings", listings=shown, kinds=KINDS)


async def _open_cases(settings: Settings) -> Sequence[ReportedListing]:
    async with operator_api.client() as http:
        result = await operator_api.request(
            http,
            settings,
            *("tickets", "/api/tickets/reports", None),
            failure="The reported listings aren't known",
            unknown="tickets is of an older version",
            method="GET",
        )
    return [ReportedListing.model_validate(each) for each in result]


async def _tickets(sources: Sources, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """What the listings with these ids say, in one query for all."""
    which = {"_id": {"$in": [ObjectId(each) for each in ids]}}
    tickets = sources.database("tickets")["tickets"].find(which, dict.fromkeys(_FIELDS, 1))
    return {str(each["_id"]): each async for each in tickets}


def _shown(case: ReportedListing, found: Mapping[str, Any], currency: str) -> Shown:
    price, starts_at = found.get("price_minor"), found.get("starts_at")
    facts = [
        *([f"Price: {from_minor_units(price):.2f} {currency}"] if price is not None else []),
        *([f"Starts: {starts_at:%Y-%m-%d %H:%M} UTC"] if starts_at else []),
        *(f"{name.capitalize()}: {found[name]}" for name in _TEXTS if found.get(name)),
    ]
    return Shown(case, found.get("title", case.ticket_id), found.get("status", "unknown"), facts)


@post("/ops/listings/{ticket_id:str}/decide", guards=[operators_only])
async def decide(request: AnyRequest, ticket_id: FromPath[str]) -> Redirect:
    """The command `decide-listing`, for the reports that the operator has read."""
    if not ID.fullmatch(ticket_id):
        raise HTTPException("That isn't a ticket's id.", status_code=404)
    form = await request.form()
    decision, seen = str(form.get("decision", "")), str(form.get("seen", "")).split()
    reason = await confirmed_reason(request)
    if reason and decision not in LISTING_DECISIONS:
        session_of(request).notes.append("Nothing was done: choose a decision.")
    elif reason:
        arguments = {"ticket": ticket_id, "decision": decision, "reason": reason}
        await act_and_note(
            request,
            "decide-listing",
            arguments,
            lambda: decide_listing(settings_of(request), ticket_id, decision, reason, seen=seen),
        )
    return Redirect("/ops/listings", status_code=303)


ROUTES = [listings, decide]
