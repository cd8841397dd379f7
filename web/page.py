"""One page view: who looks, what the services say, and how the answer is rendered."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from babel import Locale
from litestar import Request
from litestar.datastructures import State
from litestar.response import Redirect, Response, Template

from contracts.api import User
from settings import Settings
from web.locales import locale_of
from web.services import Caller, Refused, ServiceDown, Services, trace_of

T = TypeVar("T")

EXTRAS_WITHIN = 3.0
"""Seconds."""
VIEWER_WITHIN = 5.0
"""Seconds, after which auth is taken to be away. A page that waited longer for it would keep its place from
those that can be shown."""

WebRequest = Request[Any, Any, State]
Answer = Response[Any]


@dataclass(frozen=True)
class Viewer:
    user: User | None = None
    known: bool = True
    """False while auth can't be asked."""


class Page:
    """What a page's handler works with."""

    def __init__(
        self, request: WebRequest, services: Services, settings: Settings, position: int | None
    ) -> None:
        self.services = services
        self.settings = settings
        self.position = position
        """Of the live updates: what is said after this may not be on the page yet."""
        self.viewer = Viewer()
        self._request = request

    @property
    def user(self) -> User | None:
        return self.viewer.user

    @property
    def address(self) -> str:
        """The page's own path and query."""
        query = self._request.scope["query_string"].decode("latin-1")
        return self._request.url.path + (f"?{query}" if query else "")

    @property
    def was_sent_by_stripe(self) -> bool:
        """Whether the address is that of who comes back from Stripe's page or a bank. Anybody can type it."""
        return not {"paid", "payment_intent"}.isdisjoint(self._request.query_params)

    def has(self, parameter: str) -> bool:
        """Whether the address has it, whatever its value."""
        return parameter in self._request.query_params

    def parameter(self, name: str) -> str:
        """Of the address; empty if it isn't there."""
        return str(self._request.query_params.get(name, ""))

    @property
    def target(self) -> str | None:
        """The element that htmx will put the answer into, as `tag#id`."""
        return self._request.headers.get("hx-target")

    async def load(self, data: Awaitable[T]) -> T:
        """The page's data, fetched while auth is asked who looks.

        What goes wrong with the data is raised once the viewer is known, so that the error's page can
        show who is signed in.
        """
        (viewer, fetched) = await asyncio.gather(
            _viewer(self.services), asyncio.ensure_future(data), return_exceptions=True
        )
        if isinstance(viewer, Viewer):
            self.viewer = self._request.state.viewer = viewer
        for outcome in (fetched, viewer):
            if isinstance(outcome, BaseException):
                raise outcome
        return fetched  # type: ignore[return-value] # no exception, so it is what `data` gave

    async def look(self) -> None:
        """Find out who looks, for a page that has no data of its own."""
        await self.load(asyncio.sleep(0))

    def render(
        self, template: str, context: Mapping[str, Any], *, fragment: str, status: int = 200
    ) -> Template:
        """The fragment for an htmx request, the whole page for everyone else; both from one context."""
        return Template(
            fragment if is_partial(self._request) else template,
            context={
                "viewer": self.viewer,
                "position": self.position,
                "address": self.address,
                "partial": self.is_partial,
                "locale": reader_of(self._request),
                **context,
            },
            status_code=status,
            headers=page_headers(self.viewer),
        )

    def go(self, address: str) -> Answer:
        """Send the browser to another page."""
        return go(self._request, address)

    @property
    def is_partial(self) -> bool:
        return is_partial(self._request)


async def _viewer(services: Services) -> Viewer:
    try:
        async with asyncio.timeout(VIEWER_WITHIN):
            return Viewer(await services.current_user())
    except (TimeoutError, ServiceDown):
        return Viewer(known=False)


async def if_known(thing: Awaitable[T]) -> T | None:
    """What a page can be shown without, and doesn't wait for long."""
    try:
        async with asyncio.timeout(EXTRAS_WITHIN):
            return await thing
    except (TimeoutError, ServiceDown, Refused):
        return None


def is_partial(request: WebRequest) -> bool:
    """Whether htmx will put the answer into a part of the page that it has."""
    headers = request.headers
    return (
        headers.get("hx-request") == "true"
        and headers.get("hx-request-type", "partial") == "partial"
        and headers.get("hx-history-restore-request") != "true"
    )


def go(request: WebRequest, address: str) -> Answer:
    if request.headers.get("hx-request") == "true":
        return Response(b"", status_code=200, headers={"HX-Redirect": address})
    return Redirect(address, status_code=303)


def reader_of(request: WebRequest) -> Locale:
    return locale_of(request.headers.get("accept-language", ""))


def page_headers(viewer: Viewer | None) -> dict[str, str]:
    """One address has a page and a fragment; and what a signed-in user saw isn't kept after signing out."""
    signed_in = viewer is not None and viewer.user is not None
    return {
        "Cache-Control": "no-store" if signed_in else "private, no-cache",
        "Vary": "HX-Request, HX-Request-Type, Cookie, Accept-Language",
    }


def local_address(value: str | None, otherwise: str = "/") -> str:
    """An address of ours to go on to, or `otherwise`: never another site's.

    Browsers read `//host` and `/\\host` as another host, and drop tabs and line breaks before they look.
    """
    if not value or not value.startswith("/") or len(value) > 1000:
        return otherwise
    if not value.isprintable() or "\\" in value:
        return otherwise
    parts = urlsplit(value)
    return otherwise if parts.scheme or parts.netloc else value


def how_many(given: str, least: int, most: int) -> int:
    """A number from an address; whatever else is there means the least."""
    is_number = given.isascii() and given.isdigit() and len(given) < 10
    return min(max(int(given), least), most) if is_number else least


def sign_in_address(then: str) -> str:
    """Sign in, and come back."""
    return f"/signin?next={quote(local_address(then), safe='/')}"


def caller_of(request: WebRequest, session: str | None) -> Caller:
    came_through = request.headers.get("x-forwarded-for")
    peer = request.client.host if request.client else "unknown"
    return Caller(
        session=session,
        trace=trace_of(request.headers.get("traceparent")),
        forwarded_for=f"{came_through}, {peer}" if came_through else peer,
    )
