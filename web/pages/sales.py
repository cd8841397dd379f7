"""What a seller offers, what became of it, and what it brought in."""

import asyncio
from typing import Any, get_args
from urllib.parse import urlencode

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts.api import SalesSummary
from contracts.events import TicketStatus
from contracts.money import from_minor_units
from web.page import Page, WebRequest, how_many
from web.services import Refused, Services, TicketPage

STEP, MOST = 24, 240
"""Tickets shown at first and with each "show more", and on one page at most."""
STATES: dict[str, str] = {
    "": "All",
    "available": "On sale",
    "reserved": "Held",
    "sold": "Sold",
    "withdrawn": "Withdrawn",
}
assert set(STATES) == {"", *get_args(TicketStatus)}


@get("/listings")
async def listings(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """The address says how many are shown: a live update brings as many, and so does coming back."""
    given = request.query_params
    status = given.get("status", "")
    status = status if status in STATES else ""
    after = given.get("after", "")[:200]
    shown = how_many(given.get("show", ""), STEP, MOST)
    search = {"limit": str(shown), "status": status, "after": after}
    try:
        tickets, summary = await page.load(_both(page.services, search))
    except Refused as refused:
        if refused.problem.type != "/problems/bad-cursor":
            raise
        return page.go(_address(status))
    context = {
        "tickets": tickets.tickets,
        "summary": summary,
        "counts": _counts(summary),
        "earned": from_minor_units(summary.sold.amount - summary.refunded.amount),
        "refunded": from_minor_units(summary.refunded.amount),
        "status": status,
        "tabs": {name: _address(name) for name in STATES},
        "states": STATES,
        "first": _address(status) if after else None,
        "more": _more(status, after, shown, tickets),
    }
    return page.render("sell/listings.html", context, fragment="sell/_listings.html")


async def _both(services: Services, search: dict[str, str]) -> tuple[TicketPage, SalesSummary]:
    given = {name: value for name, value in search.items() if value}
    return await asyncio.gather(services.my_tickets(given), services.my_sales())


def _counts(summary: SalesSummary) -> dict[str, int]:
    states = {
        "available": summary.available.count,
        "reserved": summary.reserved.count,
        "sold": summary.sold.count,
        "withdrawn": summary.withdrawn.count,
    }
    return {"": sum(states.values()), **states}


def _more(status: str, after: str, shown: int, tickets: TicketPage) -> str | None:
    """More of them on this page, and on another one only where this would get too long."""
    if tickets.after is None:
        return None
    if shown < MOST:
        return _address(status, after=after, show=shown + STEP)
    return _address(status, after=tickets.after)


def _address(status: str, *, after: str = "", show: int = 0) -> str:
    given = {"status": status, "after": after, "show": str(show) if show > STEP else ""}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"/listings?{query}" if query else "/listings"


router = Router("/", route_handlers=[listings])
