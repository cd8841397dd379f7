"""What handlers need to build a page: the request, the signed-in user, the services, and rendering."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from jinja2 import Environment
from litestar import Response
from litestar.plugins.htmx import HTMXHeaders, HTMXTemplate

from contracts.api import User
from contracts.identity import Identity
from settings import Settings
from web.api_client import ApiClient, Refused, ServiceDown
from web.live.changes import Topic
from web.live.feed import Feed
from web.page_cache.renderings import MAX_SHARED_SECONDS, SHARING, Sharing
from web.redirects import redirect
from web.rendering.heads import Head
from web.request import WebRequest

T = TypeVar("T")

OPTIONAL_DATA_TIMEOUT = 3.0
"""Seconds to wait for optional data before a page is rendered without it."""


@dataclass(frozen=True)
class Viewer:
    """The person who views a page."""

    user: User | None = None
    """The signed-in user; None for a guest."""
    session_id: str | None = None
    unconfirmed: bool = False
    """Whether the user has yet to confirm the address, as far as the viewer's token knows."""
    unidentified: bool = False
    """Whether the user is a trader who has yet to say who that is, as far as the viewer's token knows."""
    known: bool = True
    """Whether the viewer's token could be verified; false while the public keys of auth are unknown."""
    is_valid: Callable[[], bool] = lambda: True
    """Returns whether the viewer's token hasn't expired and the session hasn't ended meanwhile."""

    @classmethod
    def of(cls, identity: Identity, is_valid: Callable[[], bool] = lambda: True) -> "Viewer":
        user = User(id=identity.id, email=identity.email)
        return cls(
            user,
            identity.session_id,
            identity.unconfirmed,
            unidentified=identity.unidentified,
            is_valid=is_valid,
        )


@dataclass(frozen=True)
class Masthead:
    """The bar at the top of a page, with the navigation."""

    path: str
    """The path of the page."""
    sign_in_query: str = ""
    """The query of the links to the sign-in and sign-up pages, which leads back to this page afterwards."""
    back: str | None = None
    """The address of a link that the masthead shows instead of the navigation, if set."""

    @classmethod
    def of(cls, address: str, then: str | None = None, back: str | None = None) -> "Masthead":
        """The masthead of the page with this address. `then` is the address of the page after signing in."""
        path = address.partition("?")[0]
        if then is None:
            then = "/" if path in {"/signin", "/signup"} else address
        return cls(path, "" if path == "/" or then == "/" else f"?next={quote(then, safe='/')}", back)


def layout_context(
    request: WebRequest,
    viewer: Viewer | None,
    address: str,
    *,
    position: int | None = None,
    then: str | None = None,
    back: str | None = None,
    has_secret: bool = False,
) -> dict[str, Any]:
    """The variables of the layout template."""
    return {
        "alternate": None if has_secret or request.method not in {"GET", "HEAD"} else request.address,
        "viewer": viewer,
        "position": position,
        "address": address,
        "partial": request.wants_fragment,
        "masthead": Masthead.of(address, then, back),
        "head": None,
    }


def render_viewer(templates: Environment, identity: Identity) -> str:
    """The part of the masthead that differs for a signed-in user."""
    return templates.get_template("viewer.html").render(viewer=Viewer.of(identity), masthead=Masthead("/"))


class Page:
    """The request for a page, with access to the services and the templates."""

    def __init__(
        self, request: WebRequest, viewer: Viewer, api: ApiClient, settings: Settings, feed: Feed
    ) -> None:
        self.request = request
        self.viewer = viewer
        self.api = api
        self.settings = settings
        self.buyers = feed.buyers
        self.position = feed.hub.position_of_pages
        """The sequence number up to which this page reflects all changes. None if unknown."""
        self.is_incomplete = False
        """Whether a service didn't provide optional data."""

    @property
    def user(self) -> User | None:
        return self.viewer.user

    def share(
        self, *topics: Topic, differs_for: Set[str] | None = frozenset(), version: int | None = None
    ) -> None:
        """Declare that the response is the same for everyone who isn't signed in.

        It isn't shared if a service was unavailable, or doesn't say how current its responses are.

        Args:
            topics: the content changes only with an event about one of these, or by time.
            differs_for: ids of the users who see more than others. None: any signed-in user may see more.
            version: of the ticket, if the response is its card.
        """
        freshness = self.api.freshness
        if self.viewer.user is not None or self.is_incomplete or freshness.position is None:
            return
        seconds = freshness.seconds(MAX_SHARED_SECONDS)
        has_slot = not self.request.wants_fragment
        sharing = Sharing(frozenset(topics), freshness.position, seconds, differs_for, version, has_slot)
        setattr(self.request.state, SHARING, sharing)

    async def optional(self, data: Awaitable[T]) -> T | None:
        """Optional data of the page. None if the service fails or takes too long."""
        try:
            async with asyncio.timeout(OPTIONAL_DATA_TIMEOUT):
                return await data
        except (TimeoutError, ServiceDown):
            self.is_incomplete = True
        except Refused:
            pass
        return None

    def render(
        self,
        template: str,
        context: Mapping[str, Any],
        *,
        fragment: str,
        status: int = 200,
        push_url: str | None = None,
        replace_url: str | None = None,
        then: str | None = None,
        back: str | None = None,
        has_secret: bool = False,
        head: Head | None = None,
    ) -> HTMXTemplate:
        """Render the fragment for an htmx request, and the whole page otherwise, from the same context.

        Args:
            push_url: the address that htmx adds to the browser's history.
            replace_url: the address that htmx shows instead of the current one.
            then: the address of the page after signing in, if it isn't this page.
            back: the address of a link that replaces the navigation at the top of the page.
            has_secret: whether the page's address contains a secret. No cache stores such a page, and signing
                in doesn't lead back to it.
            head: what search engines and link previews read, if the page is public.
        """
        then = "/" if has_secret else then
        is_partial = self.request.wants_fragment
        layout = layout_context(
            self.request,
            self.viewer,
            self.request.address,
            position=self.position,
            then=then,
            back=back,
            has_secret=has_secret,
        )
        layout["head"] = head
        response = HTMXTemplate(
            template_name=fragment if is_partial else template,
            context={**layout, **context},
            status_code=status,
            headers=cache_headers(self.viewer),
            push_url=push_url,
        )
        if has_secret:
            response.headers["Cache-Control"] = "no-store"
        if replace_url is not None:  # HTMXTemplate has no parameter for it
            response.headers[HTMXHeaders.REPLACE_URL.value] = replace_url
        return response

    async def confirmed_meanwhile(self) -> Response[Any] | None:
        """The same page again with a new token, if the user has confirmed the address in another browser, or
        has said there who they are as a trader."""
        may_be_outdated = self.viewer.unconfirmed or self.viewer.unidentified
        if may_be_outdated and await self.api.renew_session():
            return self.redirect(self.request.address)
        return None

    def redirect(self, address: str) -> Response[Any]:
        """Send the browser to another page."""
        return redirect(self.request, address)


def cache_headers(viewer: Viewer | None) -> dict[str, str]:
    """Headers that forbid caches to store pages of signed-in users, and to confuse pages with fragments.

    The page cache replaces them in responses that are the same for everyone.
    """
    signed_in = viewer is not None and viewer.user is not None
    return {
        "Cache-Control": "no-store" if signed_in else "private, no-cache",
        "Vary": "HX-Request, HX-Request-Type, Cookie, Accept-Language",
    }
