"""What a buyer takes away from an order: an entry for a calendar, and a copy that needs no connection."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Template

from contracts.text import plain
from contracts.wire import now
from kit.calendar import calendar
from web.api_client import Refused
from web.page_context import Page
from web.pages.order_view import OrderView
from web.pages.orders import view_of
from web.redirects import sign_in_address
from web.rendering.texts import _
from web.rendering.ticket_texts import places


@get("/orders/{order_id:str}/calendar.ics")
async def calendar_file(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """The same entry as in the mail about the payment, so that a calendar has the event once."""
    view = await _owned(page, order_id)
    if isinstance(view, Response):
        return view
    order, ticket = view.order, view.order.ticket
    if ticket.starts_at is None:
        raise NotFoundException("The event has no date")
    site = page.settings.site
    address = f"{site}/orders/{order.id}"
    texts = {
        "SUMMARY": _one_line(ticket.title),
        "LOCATION": _one_line(", ".join(places(ticket))),
        "DESCRIPTION": "\n".join(
            filter(None, [order.code and _("Order %(number)s", number=order.code), address])
        ),
    }
    text = calendar(
        uid=f"{order.id}@{site.partition('://')[2]}",
        stamp=now(),
        starts_at=ticket.starts_at,
        texts={name: value for name, value in texts.items() if value},
        url=address,
    )
    return Response(text, media_type="text/calendar", headers=_attached("event.ics"))


@get("/orders/{order_id:str}/copy")
async def copy(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any] | Template:
    """The order as one HTML file without scripts, pictures or links to styles."""
    view = await _owned(page, order_id)
    if isinstance(view, Response):
        return view
    order = view.order
    context = {
        "view": view,
        "order": order,
        "ticket": order.ticket,
        "at": now(),
        "address": f"{page.settings.site}/orders/{order.id}",
    }
    name = f"stagedoor-{order.code or order.id}.html"
    return Template("orders/copy.html", context=context, headers=_attached(name), media_type="text/html")


async def _owned(page: Page, order_id: str) -> OrderView | Response[Any]:
    """The order of a buyer who has the ticket, or a redirect to the sign-in page.

    Raises:
        NotFoundException: the buyer doesn't have the ticket.
    """
    try:
        view = await view_of(page, order_id)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"/orders/{order_id}"))
        raise
    if view.layout != "owned":
        raise NotFoundException("The order isn't paid")
    return view


def _one_line(text: str) -> str:
    return " ".join(plain(text).split())


def _attached(name: str) -> dict[str, str]:
    return {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}


router = Router("/", route_handlers=[calendar_file, copy])
