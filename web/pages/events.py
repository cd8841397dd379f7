"""The page of an event: all its tickets, other dates, and other events at the venue."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from web.page_context import Page


@get(["/events/{show_id:str}", "/events/{show_id:str}/tickets"])
async def show(page: NamedDependency[Page], show_id: FromPath[str]) -> Response[Any]:
    """An event that was merged into another one redirects there."""
    event = await page.api.show(show_id)
    if event.id != show_id:
        return page.redirect(f"/events/{event.id}")
    page.share(("show", event.id))
    tickets = [ticket for group in event.groups for ticket in group.tickets]
    context = {
        "event": event,
        "on_sale": sum(ticket.quantity for ticket in tickets if ticket.status == "available"),
    }
    return page.render("events/show.html", context, fragment="events/_event.html")


router = Router("/", route_handlers=[show])
