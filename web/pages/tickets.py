"""The page of a ticket, with the button that reserves it."""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from babel import Locale
from jinja2 import Environment
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import Order, Ticket, TraderDetails
from web.api_client import Refused
from web.forms import shown_price
from web.page_cache.renderings import CATALOGUE
from web.page_context import Page
from web.pages import previews
from web.redirects import sign_in_address
from web.rendering import locales, schema_org
from web.rendering.heads import Head
from web.rendering.isolation import isolated
from web.rendering.prices import Prices
from web.rendering.templating import seconds_left
from web.rendering.ticket_texts import has_begun, places

Tone = Literal["good", "waiting", "quiet"]
Relation = Literal["seller", "buyer", "other"]
State = Literal["on-sale", "held-for-you", "held", "yours", "sold", "withdrawn", "past", "awaits-files"]
"""The state of a ticket from the viewer's perspective."""

# The color and the icon of each state
TONES_AND_ICONS: dict[State, tuple[Tone, str]] = {
    "on-sale": ("good", "check"),
    "held-for-you": ("waiting", "clock"),
    "held": ("waiting", "lock"),
    "yours": ("good", "ticket"),
    "sold": ("quiet", "ticket"),
    "withdrawn": ("quiet", "cross"),
    "past": ("quiet", "calendar"),
    "awaits-files": ("waiting", "lock"),
}

MAX_SIMILAR = 4


@dataclass(frozen=True)
class SellerView:
    """What buyers see about the seller."""

    sold: int
    """Number of tickets that the seller has sold."""
    since: datetime | None
    """When the seller signed up. None while auth is down."""
    name: str | None = None
    """The name that the seller has chosen, if any."""
    is_deleted: bool = False
    """Whether the seller has deleted the account."""
    trader: bool | None = None
    """Whether the seller sells as a trader, if the seller has said so."""
    trader_details: TraderDetails | None = None
    upheld_problems: int = 0
    failed_deliveries: int = 0


@dataclass(frozen=True)
class TicketView:
    ticket: Ticket
    relation: Relation
    order: Order | None = None
    """The viewer's active order for the ticket, if any."""
    seller: SellerView | None = None
    """The seller. None if the viewer is the seller, or if the tickets service doesn't respond."""
    similar: Sequence[Ticket] = ()
    """Similar tickets, if the viewer can't buy this one."""

    @property
    def state(self) -> State:
        match self.ticket.status:
            case "available":
                if self.has_begun:
                    return "past"
                return "awaits-files" if self.ticket.awaits_files else "on-sale"
            case "reserved":
                return "held-for-you" if self.order else "held"
            case "sold":
                return "yours" if self.order else "sold"
        return "withdrawn"

    @property
    def has_begun(self) -> bool:
        return has_begun(self.ticket.starts_at)

    @property
    def tone(self) -> Tone:
        return TONES_AND_ICONS[self.state][0]

    @property
    def icon(self) -> str:
        return TONES_AND_ICONS[self.state][1]

    @property
    def listens(self) -> bool:
        """Whether the state can still change. A refunded ticket may go on sale again."""
        return self.ticket.status != "withdrawn"

    @property
    def held_until(self) -> datetime | None:
        """When the current reservation ends. None if that is unknown or in the past."""
        deadline = self.ticket.held_until
        return deadline if deadline and seconds_left(deadline) else None

    @property
    def can_buy(self) -> bool:
        return self.state == "on-sale" and self.relation != "seller"

    @property
    def shows_breakdown(self) -> bool:
        """Whether the page shows how the price is composed: only if the viewer may still buy the ticket."""
        return self.state in {"on-sale", "held", "held-for-you"}

    @property
    def has_sticky_action(self) -> bool:
        """Whether the main button stays in view while the user scrolls on a phone."""
        return self.can_buy or self.state == "held-for-you"


@get(["/tickets/{ticket_id:str}", "/tickets/{ticket_id:str}/offer"])
async def show(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.api.ticket(ticket_id)
    view = await _view(page, ticket)
    page.share(
        ("ticket", ticket.id),
        ("seller", ticket.user_id),
        *([CATALOGUE] if view.similar or not view.can_buy else []),
        differs_for=_who_sees_more(page, ticket),
    )
    return _shown(page, view)


@get("/tickets/{ticket_id:str}/card")
async def card(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    """A card in a list. It is fetched again when its ticket changes."""
    ticket = await page.api.ticket(ticket_id)
    page.share(("ticket", ticket.id), differs_for={ticket.user_id}, version=ticket.version)
    context = {"ticket": ticket, "is_mine": page.user is not None and page.user.id == ticket.user_id}
    return page.render("tickets/card.html", context, fragment="tickets/_card.html")


def render_card(templates: Environment, ticket: Ticket, locale: Locale) -> str:
    """The same card for users who didn't list the ticket."""
    with locales.using(locale):
        return templates.get_template("tickets/_card.html").render(ticket=ticket, is_mine=False)


@post("/tickets/{ticket_id:str}/buy")
async def buy(
    page: NamedDependency[Page], ticket_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """Reserve the ticket and continue on the order's page, which says so if the buyer saw another price."""
    try:
        order = await page.api.reserve(ticket_id)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"/tickets/{ticket_id}"))
        if refused.status == 404:
            raise
        return await _refused(page, ticket_id, refused)
    seen = shown_price(data.get("price"))
    was = f"?was={seen}" if seen is not None and seen != order.ticket.price else ""
    return page.redirect(f"/orders/{order.id}{was}")


async def _refused(page: Page, ticket_id: str, refused: Refused) -> Response[Any]:
    """The current ticket and why it wasn't reserved. A buyer who pressed Buy twice continues to the order."""
    ticket = await page.api.ticket(ticket_id)
    view = await _view(page, ticket)
    if view.order and view.state == "held-for-you":
        return page.redirect(f"/orders/{view.order.id}")
    return _shown(page, view, refused.problem.title, refused.status)


def _shown(page: Page, view: TicketView, alert: str | None = None, status: int = 200) -> Response[Any]:
    context = {"view": view, "alert": alert}
    head = _head(page, view.ticket)
    return page.render(
        "tickets/show.html", context, fragment="tickets/_ticket.html", status=status, head=head
    )


async def _view(page: Page, ticket: Ticket) -> TicketView:
    if page.user is not None and page.user.id == ticket.user_id:
        return TicketView(ticket, "seller")
    order, seller, similar = await asyncio.gather(
        _own_order(page, ticket), _seller(page, ticket.user_id), _similar(page, ticket)
    )
    return TicketView(ticket, "buyer" if order else "other", order, seller, () if order else similar)


def _who_sees_more(page: Page, ticket: Ticket) -> Set[str] | None:
    """The seller, and the buyer if somebody holds or owns the ticket. None if the buyer isn't known."""
    if ticket.status in {"available", "withdrawn"}:
        return {ticket.user_id}
    buyer = page.buyers.of_ticket(ticket.id)
    return None if buyer is None else {ticket.user_id, buyer}


async def _own_order(page: Page, ticket: Ticket) -> Order | None:
    """The viewer's order for the ticket, if any. The orders service refuses orders of other users."""
    if page.user is None or ticket.order_id is None:
        return None
    return await page.optional(page.api.order(ticket.order_id))


async def _seller(page: Page, user_id: str) -> SellerView | None:
    profile, seller = await asyncio.gather(
        page.optional(page.api.profile(user_id)), page.optional(page.api.seller(user_id))
    )
    if seller is None:
        return None
    view = SellerView(
        seller.sold,
        None,
        upheld_problems=seller.upheld_problems,
        failed_deliveries=seller.failed_deliveries,
    )
    if profile is None:
        return view
    return replace(
        view,
        since=profile.since,
        name=profile.name,
        is_deleted=profile.deleted,
        trader=profile.trader,
        trader_details=profile.trader_details,
    )


async def _similar(page: Page, ticket: Ticket) -> Sequence[Ticket]:
    if ticket.status == "available" and not ticket.awaits_files and not has_begun(ticket.starts_at):
        return ()
    return (await page.optional(page.api.similar_tickets(ticket.id)) or ())[:MAX_SIMILAR]


def _head(page: Page, ticket: Ticket) -> Head:
    site, locale = page.settings.site, locales.current()
    price = Prices(page.settings.currency).text(ticket)
    starts_at = (
        locales.date_and_time_in_zone(ticket.starts_at, ticket.time_zone, locale)
        if ticket.starts_at
        else None
    )
    shown = previews.ticket_preview(ticket, page.settings.currency)
    preview = previews.address(site, f"/tickets/{ticket.id}", shown, ticket.picture)
    return Head(
        isolated(ticket.title),
        f"/tickets/{ticket.id}",
        ", ".join(filter(None, (starts_at, *map(isolated, places(ticket)), price))),
        preview=preview,
        data=schema_org.event_of_ticket(ticket, site, page.settings.currency),
    )


router = Router("/", route_handlers=[show, card, buy])
