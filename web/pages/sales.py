"""The page with the list of a seller's tickets, and where the money for each sale is."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.api import SalesSummary, SoldOrder, Ticket
from contracts.events import TicketStatus
from contracts.money import from_minor_units
from contracts.tickets import MAX_FAILED_SALES, Delivery
from web.api_client import ApiClient, Refused, TicketPage
from web.page_context import Page
from web.redirects import sign_in_address
from web.rendering.payout_texts import ShownPayout, ShownSums
from web.rendering.problem_texts import ShownProblem
from web.rendering.templating import seconds_left
from web.rendering.texts import N_
from web.rendering.ticket_texts import has_begun
from web.request import WebRequest

PAGE_SIZE, MAX_SHOWN = 24, 240
"""How many tickets a page shows at first and adds with each "Show more", and the most that it shows."""
LABELS: dict[str, str] = {
    "": N_("All"),
    "available": N_("On sale"),
    "reserved": N_("Reserved"),
    "sold": N_("Sold"),
    "withdrawn": N_("Withdrawn"),
}
PLANS: dict[Delivery, str] = {
    "instant": N_("All files are here: the buyer gets the ticket at once after paying"),
    "promised": N_("Files are missing: upload them now or after the sale"),
    "seller": N_("You hand the ticket over after the sale"),
}
NEEDS_FILES = N_("Nobody can find it before you upload its files")
assert set(LABELS) == {"", *get_args(TicketStatus.__value__)}


@dataclass(frozen=True)
class Tab:
    status: str
    label: str
    address: str


@dataclass(frozen=True)
class Sale:
    """A ticket in the list of its seller."""

    ticket: Ticket
    order: SoldOrder | None = None
    """The order of a sold ticket. None if the orders service is down."""
    payout: ShownPayout | None = None
    """Where the money is. None if the ticket isn't sold, or if payouts doesn't answer."""

    @property
    def delivery(self) -> str | None:
        """What is said about the delivery. None if nothing was paid, or if the order is too old to say it."""
        if self.order is None or self.order.delivery in (None, "sealed"):
            return None
        if self.order.status != "complete" and self.order.delivery != "failed":
            return None
        if self.order.delivery != "due":
            return self.order.delivery
        if self.ticket.delivery == "promised":
            return "upload"
        return "overdue" if self.order.overdue_at else "hand-over"

    @property
    def problem(self) -> ShownProblem | None:
        """The problem that the buyer reported, if any."""
        return ShownProblem.of(self.order)

    @property
    def plan(self) -> str | None:
        """How the buyer will get a ticket that isn't sold yet. None afterwards."""
        if self.is_over or self._is_past:
            return None
        return NEEDS_FILES if self.awaits_files else PLANS[self.ticket.delivery]

    @property
    def is_over(self) -> bool:
        return self.ticket.status in {"sold", "withdrawn"}

    @property
    def _is_past(self) -> bool:
        return self.ticket.status == "available" and has_begun(self.ticket.starts_at)

    @property
    def awaits_files(self) -> bool:
        """Whether nobody can find it until its files are uploaded."""
        return self.ticket.status == "available" and self.ticket.awaits_files

    @property
    def label(self) -> str:
        if self._is_past:
            return N_("Past")
        if self.awaits_files:
            return N_("Files missing")
        if self.ticket.refunded:
            return N_("Refunded")
        if self.ticket.dispute == "open":
            return N_("Disputed")
        return N_("Partly refunded") if self.refunded else LABELS[self.ticket.status]

    @property
    def refunded(self) -> Decimal | None:
        """How much the buyer got back, if anything."""
        amount = self.ticket.refunded_amount
        return from_minor_units(amount) if amount else None

    @property
    def tone(self) -> str:
        if self._is_past or self.ticket.refunded or self.ticket.status == "withdrawn":
            return "quiet"
        return (
            "waiting"
            if self.awaits_files or self.ticket.status == "reserved" or self.ticket.dispute == "open"
            else "good"
        )

    @property
    def held_until(self) -> datetime | None:
        """When the buyer's reservation ends, if that is known."""
        deadline = self.ticket.held_until
        is_held = self.ticket.status == "reserved" and deadline and seconds_left(deadline)
        return deadline if is_held else None


@get("/listings")
async def listings(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """Show the seller's tickets. The address contains how many are shown, so that live updates keep them."""
    given = request.query_params
    status = given.get("status", "")
    status = status if status in LABELS else ""
    after = given.get("after", "")[:200]
    shown = request.number("show", minimum=PAGE_SIZE, maximum=MAX_SHOWN)
    search = {"limit": str(shown), "status": status, "after": after}
    try:
        tickets, summary = await _tickets_and_summary(page.api, search)
    except Refused as refused:
        if refused.problem.type != "/problems/bad-cursor":
            raise
        return page.redirect(_address(status))
    sold = [ticket.order_id for ticket in tickets.tickets if ticket.status == "sold" and ticket.order_id]
    orders, (sums, payouts), missing = await asyncio.gather(
        _orders(page, sold), _payouts(page, sold), _missing(page)
    )
    context = {
        "sales": [
            Sale(ticket, orders.get(ticket.id), payouts.get(ticket.order_id or ""))
            for ticket in tickets.tickets
        ],
        "sums": sums,
        "summary": summary,
        "max_failed_sales": MAX_FAILED_SALES,
        "missing": missing,
        "counts": _counts(summary),
        "refunded": from_minor_units(summary.refunded.amount),
        "status": status,
        "heading": LABELS[status] if status else N_("All your tickets"),
        "tabs": [Tab(name, label, _address(name)) for name, label in LABELS.items()],
        "first": _address(status) if after else None,
        "more": _more(status, after, shown, tickets),
    }
    return page.render("sell/listings.html", context, fragment="sell/_listings.html")


@post("/orders/{order_id:str}/handover")
async def hand_over(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """Record that the seller has handed the ticket over. The list says what came of it."""
    try:
        await page.api.hand_over(order_id)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/listings"))
        if refused.status != 409:
            raise
    return page.redirect("/listings?status=sold")


async def _orders(page: Page, sold: Sequence[str]) -> Mapping[str, SoldOrder]:
    """The orders of sold tickets, by ticket. The page does without them if orders doesn't answer."""
    found = await page.optional(page.api.sales_of(sold)) if sold else None
    return {order.ticket_id: order for order in found or ()}


async def _missing(page: Page) -> Literal["capacity", "details"] | None:
    """What the seller hasn't said: whether they sell as a trader, or who the trader is. None too if auth
    doesn't answer."""
    if page.user is None:
        return None
    profile = await page.optional(page.api.profile(page.user.id))
    if profile is None:
        return None
    if profile.trader is None:
        return "capacity"
    return "details" if profile.trader and profile.trader_details is None else None


async def _tickets_and_summary(api: ApiClient, search: dict[str, str]) -> tuple[TicketPage, SalesSummary]:
    given = {name: value for name, value in search.items() if value}
    return await asyncio.gather(api.my_tickets(given), api.my_sales())


async def _payouts(page: Page, sold: Sequence[str]) -> tuple[list[ShownSums], Mapping[str, ShownPayout]]:
    """The seller's sums, and the money by order. The page does without both if payouts doesn't answer."""
    found = await page.optional(page.api.payouts_of(sold))
    if found is None:
        return [], {}
    sums, payouts = found
    return [ShownSums(each) for each in sums], {each.order_id: ShownPayout(each) for each in payouts}


def _counts(summary: SalesSummary) -> dict[str, int]:
    states = {
        "available": summary.available.count,
        "reserved": summary.reserved.count,
        "sold": summary.sold.count,
        "withdrawn": summary.withdrawn.count,
    }
    return {"": sum(states.values()), **states}


def _more(status: str, after: str, shown: int, tickets: TicketPage) -> str | None:
    """The address with more tickets: this page with more of them, or if this page is full, the next page."""
    if tickets.after is None:
        return None
    if shown < MAX_SHOWN:
        return _address(status, after=after, show=shown + PAGE_SIZE)
    return _address(status, after=tickets.after)


def _address(status: str, *, after: str = "", show: int = 0) -> str:
    given = {"status": status, "after": after, "show": str(show) if show > PAGE_SIZE else ""}
    query = urlencode({name: value for name, value in given.items() if value})
    return f"/listings?{query}" if query else "/listings"


router = Router("/", route_handlers=[listings, hand_over])
