"""Pictures for link previews of events and tickets, which messengers and search engines show."""

from asyncio import to_thread
from collections import OrderedDict
from zlib import crc32

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.api import ShowPage, Ticket
from kit.limiter import Limiter
from kit.networks import networks_of
from web.api_client import ServiceDown
from web.page_context import Page
from web.rendering import locales
from web.rendering.previews import Preview, render
from web.rendering.prices import Prices
from web.rendering.texts import _
from web.rendering.ticket_texts import has_begun, places

MAX_KEPT = 200
"""Previews that a process keeps: about 20 MB."""
MAX_WAITING = 6
"""Requests that wait for their preview. They occupy permits of other pages, so further ones get 503."""
CACHED = "public, max-age=3600"


class Previews:
    """The previews of this process. One is rendered at a time, in a thread, for about 50 ms."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Preview, str | None], bytes] = OrderedDict()
        self._rendering = Limiter(1, queue_size=MAX_WAITING, timeout=2.0)

    async def jpeg(self, page: Page, preview: Preview, picture: str | None) -> bytes:
        key = (preview, picture)
        if (kept := self._find(key)) is not None:
            return kept
        content = None if picture is None else await page.optional(page.api.picture(picture))
        permit = await self._rendering.acquire(networks_of(page.request.client_address))
        if permit is None:
            raise ServiceDown("tickets")
        try:
            if (kept := self._find(key)) is not None:  # another request has rendered it meanwhile
                return kept
            rendered = await to_thread(render, preview, content)
        finally:
            permit.release()
        if picture is None or content is not None:
            self._kept[key] = rendered
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return rendered

    def _find(self, key: tuple[Preview, str | None]) -> bytes | None:
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)


@get("/tickets/{ticket_id:str}/preview.jpg")
async def of_ticket(
    page: NamedDependency[Page], ticket_id: FromPath[str], previews: NamedDependency[Previews]
) -> Response[bytes]:
    ticket = await page.api.ticket(ticket_id)
    content = await previews.jpeg(page, ticket_preview(ticket, page.settings.currency), ticket.picture)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": CACHED})


@get("/events/{show_id:str}/preview.jpg")
async def of_event(
    page: NamedDependency[Page], show_id: FromPath[str], previews: NamedDependency[Previews]
) -> Response[bytes]:
    event = await page.api.show(show_id)
    content = await previews.jpeg(page, event_preview(event, page.settings.currency), event.picture)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": CACHED})


def ticket_preview(ticket: Ticket, currency: str) -> Preview:
    """The same for all readers, because whoever makes a preview shows it to others."""
    when = (
        locales.date_and_time(ticket.starts_at, ticket.time_zone, locales.DEFAULT) if ticket.starts_at else ""
    )
    with locales.using(locales.DEFAULT):
        price = Prices(currency).text(ticket)
    return Preview(ticket.title, when, ", ".join(places(ticket)), price)


def event_preview(event: ShowPage, currency: str) -> Preview:
    """The same for all readers, like that of a ticket."""
    when = locales.date_and_time(event.starts_at, event.time_zone, locales.DEFAULT)
    price = ""
    if event.lowest is not None and not has_begun(event.starts_at):
        with locales.using(locales.DEFAULT):
            price = _("from %(price)s", price=locales.money(event.lowest, currency, locales.DEFAULT))
    return Preview(event.title, when, f"{event.venue}, {event.city}", price)


def address(site: str, page: str, preview: Preview, picture: str | None) -> str:
    """The address of a page's preview. It differs if the preview does, because services keep previews."""
    return f"{site}{page}/preview.jpg?v={crc32(repr((preview, picture)).encode()):08x}"


router = Router("/", route_handlers=[of_ticket, of_event])
