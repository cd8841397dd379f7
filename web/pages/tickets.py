"""One ticket: what it is, whether it can be had, and the button that reserves it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.api import Order, Ticket
from web.page import Page, if_known, sign_in_address
from web.services import Refused
from web.templating import has_begun

Relation = Literal["seller", "buyer", "other"]
State = Literal["on-sale", "held-for-you", "held", "yours", "sold", "withdrawn", "past"]
"""What a ticket is to who looks at it."""

# https://schema.org/Event and its kinds
KINDS = {
    "music": "MusicEvent",
    "theatre": "TheaterEvent",
    "comedy": "ComedyEvent",
    "sport": "SportsEvent",
    "festival": "Festival",
    "family": "ChildrensEvent",
    "art": "VisualArtsEvent",
}
MOST_SIMILAR = 4


@dataclass(frozen=True)
class SellerView:
    sold: int
    since: datetime | None
    """None while auth can't be asked."""


@dataclass(frozen=True)
class TicketView:
    ticket: Ticket
    relation: Relation
    order: Order | None = None
    """The viewer's own order of the ticket."""
    seller: SellerView | None = None
    """Unless the viewer is the seller, or nobody can say."""
    similar: Sequence[Ticket] = ()
    """For who can't have this one."""

    @property
    def state(self) -> State:
        match self.ticket.status:
            case "available":
                return "past" if has_begun(self.ticket.starts_at) else "on-sale"
            case "reserved":
                return "held-for-you" if self.order else "held"
            case "sold":
                return "yours" if self.order else "sold"
        return "withdrawn"

    @property
    def listens(self) -> bool:
        """Whether its state may still change: a sold one may go on sale again, after a refund."""
        return self.ticket.status != "withdrawn"


@get("/tickets/{ticket_id:str}")
async def show(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.load(page.services.ticket(ticket_id))
    view = await _view(page, ticket)
    return _shown(page, view)


@get("/tickets/{ticket_id:str}/card")
async def card(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    """One row of a list, fetched again when its ticket has changed."""
    ticket = await page.load(page.services.ticket(ticket_id))
    context = {"ticket": ticket, "mine": page.user is not None and page.user.id == ticket.user_id}
    return page.render("tickets/card.html", context, fragment="tickets/_card.html")


@post("/tickets/{ticket_id:str}/buy")
async def buy(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    """Reserve it; the order's page takes over from there."""
    try:
        order = await page.services.reserve(ticket_id)
    except Refused as refused:
        if refused.status == 401:
            return page.go(sign_in_address(f"/tickets/{ticket_id}"))
        if refused.status == 404:
            raise
        return await _refused(page, ticket_id, refused)
    return page.go(f"/orders/{order.id}")


async def _refused(page: Page, ticket_id: str, refused: Refused) -> Response[Any]:
    """The ticket as it is now, and why it couldn't be had. Who pressed twice has it already."""
    ticket = await page.load(page.services.ticket(ticket_id))
    view = await _view(page, ticket)
    if view.order and view.state == "held-for-you":
        return page.go(f"/orders/{view.order.id}")
    return _shown(page, view, refused.problem.title, refused.status)


def _shown(page: Page, view: TicketView, alert: str | None = None, status: int = 200) -> Response[Any]:
    site = page.settings.site
    event = _event(view.ticket, site, page.settings.currency)
    context = {"view": view, "alert": alert, "site": site, "event": event}
    return page.render("tickets/show.html", context, fragment="tickets/_ticket.html", status=status)


async def _view(page: Page, ticket: Ticket) -> TicketView:
    if page.user is not None and page.user.id == ticket.user_id:
        return TicketView(ticket, "seller")
    order, seller, similar = await asyncio.gather(
        _own_order(page, ticket), _seller(page, ticket.user_id), _similar(page, ticket)
    )
    return TicketView(ticket, "buyer" if order else "other", order, seller, () if order else similar)


async def _own_order(page: Page, ticket: Ticket) -> Order | None:
    """Nothing of somebody else's order is known here, only that it isn't the viewer's."""
    if page.user is None or ticket.order_id is None:
        return None
    return await if_known(page.services.order(ticket.order_id))


async def _seller(page: Page, user_id: str) -> SellerView | None:
    profile, seller = await asyncio.gather(
        if_known(page.services.profile(user_id)), if_known(page.services.seller(user_id))
    )
    return SellerView(seller.sold, profile.since if profile else None) if seller else None


async def _similar(page: Page, ticket: Ticket) -> Sequence[Ticket]:
    if ticket.status == "available" and not has_begun(ticket.starts_at):
        return ()
    return (await if_known(page.services.similar_tickets(ticket.id)) or ())[:MOST_SIMILAR]


def _event(ticket: Ticket, site: str, currency: str) -> dict[str, Any] | None:
    """As schema.org describes it, for machines that read pages. An event without a date is none."""
    if ticket.starts_at is None:
        return None
    address = f"{site}/tickets/{ticket.id}"
    on_sale = ticket.status == "available" and not has_begun(ticket.starts_at)
    offer = {
        "@type": "Offer",
        "url": address,
        "price": f"{ticket.price:.2f}",
        "priceCurrency": currency.upper(),
        "availability": "https://schema.org/" + ("InStock" if on_sale else "SoldOut"),
    }
    event: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": KINDS.get(ticket.category or "", "Event"),
        "name": ticket.title,
        "startDate": ticket.starts_at.astimezone(ZoneInfo(ticket.time_zone or "UTC")).isoformat(),
        "url": address,
        "offers": offer,
    }
    if place := ticket.venue or ticket.city:
        event["location"] = {"@type": "Place", "name": place, "address": ticket.city or place}
    if ticket.picture:
        event["image"] = f"{site}/api/tickets/pictures/{ticket.picture}/large"
    return event


router = Router("/", route_handlers=[show, card, buy])
