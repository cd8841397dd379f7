"""The page of an event: all its tickets, other dates, and other events at the venue."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.api import ShowPage
from web.page_context import Page
from web.pages import previews
from web.rendering import locales, schema_org
from web.rendering.heads import Head
from web.rendering.isolation import isolated
from web.rendering.texts import _


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
    return page.render("events/show.html", context, fragment="events/_event.html", head=_head(page, event))


def _head(page: Page, event: ShowPage) -> Head:
    site, currency, locale = page.settings.site, page.settings.currency, locales.current()
    starts_at = locales.date_and_time_in_zone(event.starts_at, event.time_zone, locale)
    lowest = (
        None
        if event.lowest is None
        else _("from %(price)s", price=locales.money(event.lowest, currency, locale))
    )
    performers = [name for name in event.performers if name != event.title]
    shown = previews.event_preview(event, currency)
    preview = previews.address(site, f"/events/{event.id}", shown, event.picture)
    return Head(
        isolated(event.title),
        f"/events/{event.id}",
        ", ".join(filter(None, (starts_at, *map(isolated, (event.venue, event.city, *performers)), lowest))),
        preview=preview,
        data=schema_org.event_of_show(event, site, currency),
    )


router = Router("/", route_handlers=[show])
