"""One ticket: what it is, whether it can be had, and the button that reserves it."""

from dataclasses import dataclass
from typing import Any, Literal

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.api import Order, Ticket
from web.page import Page, sign_in_address
from web.services import Refused, ServiceDown

Relation = Literal["seller", "buyer", "other"]


@dataclass(frozen=True)
class TicketView:
    ticket: Ticket
    relation: Relation
    order: Order | None = None
    """The viewer's own order of the ticket."""

    @property
    def listens(self) -> bool:
        """Whether its state may still change: a sold one may go on sale again, after a refund."""
        return self.ticket.status != "withdrawn"


@get("/tickets/{ticket_id:str}")
async def show(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.load(page.services.ticket(ticket_id))
    view = await _view(page, ticket)
    return page.render("tickets/show.html", {"view": view, "alert": None}, fragment="tickets/_ticket.html")


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
    """The ticket as it is now, and why it couldn't be had."""
    ticket = await page.load(page.services.ticket(ticket_id))
    context = {"view": await _view(page, ticket), "alert": refused.problem.title}
    return page.render("tickets/show.html", context, fragment="tickets/_ticket.html", status=refused.status)


async def _view(page: Page, ticket: Ticket) -> TicketView:
    if page.user is None:
        return TicketView(ticket, "other")
    if page.user.id == ticket.user_id:
        return TicketView(ticket, "seller")
    order = await _own_order(page, ticket.order_id) if ticket.order_id else None
    return TicketView(ticket, "buyer" if order else "other", order)


async def _own_order(page: Page, order_id: str) -> Order | None:
    """Nothing of somebody else's order is known here, only that it isn't the viewer's."""
    try:
        return await page.services.order(order_id)
    except (Refused, ServiceDown):
        return None


router = Router("/", route_handlers=[show, card, buy])
