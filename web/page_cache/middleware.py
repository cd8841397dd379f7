"""Serves pages that are the same for everyone from memory, in front of admission control and the framework.

The app renders such a page once, for a request without cookies, and declares what its content depends on
(`Page.share`). A signed-in user receives the same bytes around their own masthead, unless the page differs
for that user. All other requests go to the app.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Set
from functools import lru_cache
from time import time_ns
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter

from contracts.identity import Identity
from kit.errors import Unavailable
from kit.http.request_head import HeadRules
from kit.http.tracing import record_answered
from kit.tracing import Attributes, are_spans_recorded
from web.languages import ChooseLanguage
from web.live.changes import Topic
from web.page_cache.cards import Cards
from web.page_cache.renderings import (
    CATALOGUE,
    FOR_MEMBERS,
    PERSONAL,
    SHARING,
    Body,
    Headers,
    Rendering,
    Sharing,
    for_one_browser,
    partial_for,
)
from web.page_cache.segments import Segment, gzipped, joined
from web.page_cache.store import Key, Store
from web.page_cache.viewers import Viewers
from web.remembered_city import RememberedCity
from web.rendering.locales import MAX_HEADER_LENGTH, current

SHARED = re.compile(
    r"/|/results(?:/rows)?|/tickets/[0-9a-f]{24}(?:/(?:card|offer))?|/events/[0-9a-f]{24}(?:/tickets)?"
    r"|/api/tickets(?:/facets|/[0-9a-f]{24}(?:/similar)?|/sellers/[0-9a-f]{24})?",
    re.ASCII,
)
"""Paths of pages, fragments and API responses that may be the same for everyone."""

FOR_GUESTS_OR_MEMBERS = re.compile(r"/tickets/[0-9a-f]{24}(?:/offer)?", re.ASCII)
"""Paths of pages with one rendering for guests, who are asked to sign in, and one for signed-in users."""

CARD = re.compile(r"/tickets/([0-9a-f]{24})/card", re.ASCII)
CARDS = "/cards"
"""The path of a response that contains several cards: /cards?id=...&id=..."""
CARD_ID = re.compile(rb"\bid=([0-9a-f]{24})\b")
MAX_CARDS = 100

WRITES_TICKET = re.compile(r"/sell|(?:/api)?/tickets(?:/([0-9a-f]{24})(?!/buy)(?:/.*)?)?", re.ASCII)
"""Paths of requests that list, edit or withdraw a ticket."""

MAX_QUERY_BYTES = 1_000
"""Maximum length of the query string of a shared page. Requests with a longer one go to the app."""

REQUESTS = Counter("stagedoor_web_page_cache_requests", "Requests for pages that may be shared", ["result"])
HITS, MISSES = REQUESTS.labels("hit"), REQUESTS.labels("miss")

FROM_MEMORY: Attributes = {"stagedoor.page_cache": "hit"}
"""The attribute of spans of requests that were answered from the store."""

_ID = re.compile("[0-9a-f]{24}")

_ENCODING = frozenset({b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"})
_PERSONAL = _ENCODING | {b"cookie", b"authorization"}
"""Headers that the app doesn't receive when it renders for everyone."""


def route_of(path: str) -> str:
    """The pattern of a shared path, as the app names it in its spans."""
    if path.startswith("/api/"):
        return _ID.sub(":id", path)
    return _ID.sub("{show_id}" if path.startswith("/events/") else "{ticket_id}", path)


class Response:
    """A response of the app."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        """The state of the request, which the app may change."""
        self.start: Message | None = None
        self.body = bytearray()

    async def capture(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        elif message["type"] == "http.response.body":
            self.body += message["body"]

    @property
    def status(self) -> int:
        return self.start["status"] if self.start is not None else 500  # type: ignore[typeddict-item]

    @property
    def headers(self) -> Headers:
        return list(self.start["headers"]) if self.start is not None else []  # type: ignore[typeddict-item]


class PageCache:
    """An ASGI app that answers from its store, and passes all other requests on to another app."""

    def __init__(
        self,
        app: ASGIApp,
        pages: Store,
        cards: Cards,
        viewers: Viewers,
        city: RememberedCity,
        security_headers: Mapping[str, str],
        rules: HeadRules,
        cookie_secure: bool,
    ) -> None:
        self.app = app
        self.pages = pages
        self._cards = cards
        self._viewers = viewers
        self._city = city
        self._rules = rules
        self._in_language = ChooseLanguage(self._answer, is_secure=cookie_secure)
        self._security_headers = [
            (name.lower().encode(), value.encode()) for name, value in security_headers.items()
        ]
        self._rendering: dict[Key, asyncio.Task[Rendering | Response]] = {}
        pages.on_change = self._forget_obsolete

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._in_language(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            await self._change(scope, receive, send)
        elif not self._rules.are_followed(scope):
            await self.app(scope, receive, send)  # it refuses the request
        elif SHARED.fullmatch(scope["path"]) and len(scope["query_string"]) <= MAX_QUERY_BYTES:
            await self._serve(scope, receive, send)
        elif scope["path"] == CARDS:
            await self._serve_cards(scope, send)
        else:
            await self.app(scope, receive, send)

    async def _change(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Pass on a request that may change something, so that users see their own changes before the event
        arrives.
        """
        written = WRITES_TICKET.fullmatch(scope["path"])
        topic: Topic = ("ticket", (written and written[1]) or "")
        before = self.pages.last_change(topic) or 0

        async def send_and_drop(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                # A card that was renewed meanwhile stays, because the event was most likely about this
                # change. Otherwise the right event follows in a moment. Sellers don't get this card.
                is_renewed = (self.pages.last_change(topic) or 0) > before
                self.pages.drop(CATALOGUE, topic, keep=self._cards.keys_of(topic[1]) if is_renewed else ())
            await send(message)

        await self.app(scope, receive, send_and_drop if written else send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        given = _Given(scope["headers"])
        if given.has_bearer:
            await self.app(scope, receive, send)
            return
        began = time_ns()
        is_remembered = scope["path"] == "/" and not scope["query_string"]
        if is_remembered and (query := self._city.query(given.cookies)):
            scope = {**scope, "query_string": query}
        else:
            is_remembered = False
        found, viewer = await self._find(scope, given)
        if found is None:
            await self.app(scope, receive, send)
            return
        if isinstance(found, Response):
            await _send(send, scope["method"], found.status, found.headers, bytes(found.body))
            return
        if viewer is not None:
            body = found.personal(self._viewers.segment(viewer), is_gzip=given.accepts_gzip)
        else:
            body = found.gzip if given.accepts_gzip else found.identity
        is_known = viewer is None and given.if_none_match and body.is_known_to(given.if_none_match)
        headers = body.headers_of_not_modified if is_known else body.headers
        if is_remembered:
            headers = for_one_browser(headers)
        if is_known:
            await _send(send, "HEAD", 304, headers, b"")
        else:
            await _send(send, scope["method"], 200, headers, body.content)
        if given.is_kept and are_spans_recorded():  # otherwise the app has recorded its own
            route = route_of(scope["path"])
            record_answered(scope, route, 304 if is_known else 200, began, FROM_MEMORY)

    async def _serve_cards(self, scope: HTTPScope, send: Send) -> None:
        """Several cards in one response, each as a partial by which htmx replaces the card on the page.

        Tickets that don't exist are left out. If another card is unavailable, the response is a 503.
        """
        given = _Given(scope["headers"])
        began = time_ns()
        segments: list[Segment] = []
        for ticket_id in CARD_ID.findall(scope["query_string"])[:MAX_CARDS]:
            card = await self._card(ticket_id.decode(), scope, given)
            if isinstance(card, Segment):
                segments.append(card)
            elif card.status >= 500:
                await _send(send, scope["method"], card.status, card.headers, bytes(card.body))
                return
        body = Body(
            gzipped(segments) if given.accepts_gzip else joined(segments),
            None,
            [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"cache-control", PERSONAL),
                *self._security_headers,
                *([(b"content-encoding", b"gzip")] if given.accepts_gzip else []),
            ],
        )
        await _send(send, scope["method"], 200, body.headers, body.content)
        if are_spans_recorded():
            record_answered(scope, CARDS, 200, began, {"stagedoor.cards": len(segments)})

    async def _card(self, ticket_id: str, scope: HTTPScope, given: "_Given") -> Segment | Response:
        """A ticket's card for the viewer as a partial, or the response to the request for it if that isn't a
        card.
        """
        path = f"/tickets/{ticket_id}/card"
        alone: HTTPScope = {**scope, "path": path, "raw_path": path.encode(), "query_string": b""}
        found, _ = await self._find(alone, given)
        if found is None:
            found = await self._ask(alone, without=_ENCODING)
        if isinstance(found, Rendering):
            return found.partial(f"#ticket-{ticket_id}")
        return partial_for(f"#ticket-{ticket_id}", bytes(found.body)) if found.status == 200 else found

    async def _find(
        self, scope: HTTPScope, given: "_Given"
    ) -> tuple[Rendering | Response | None, Identity | None]:
        """What the viewer may get, and who the viewer is, if signed in. None if the app has to answer."""
        try:
            viewer = await self._viewers.identify(given.cookies, scope) if given.cookies else None
        except Unavailable:
            return None, None  # the app's page says that sign-in is unavailable
        is_for_members = viewer is not None and FOR_GUESTS_OR_MEMBERS.fullmatch(scope["path"]) is not None
        key = Key(scope["path"], scope["query_string"], str(current()), is_for_members)
        found: Rendering | Response | None = self.pages.get(key)
        if found is not None:
            HITS.inc()
            given.is_kept = True
        else:
            MISSES.inc()
            found = await self._render_once(key, scope)
        if viewer is None:
            return found, None
        is_shared = isinstance(found, Rendering) and found.sharing.is_same_for(viewer.id)
        return found if is_shared else None, viewer

    async def _render_once(self, key: Key, scope: HTTPScope) -> Rendering | Response:
        """Render for everyone who asks at the same time. A client that leaves doesn't interrupt it."""
        task = self._rendering.get(key)
        if task is None:
            task = self._rendering[key] = asyncio.create_task(self._render(key, scope))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: Key, done: asyncio.Task[Rendering | Response]) -> None:
        if self._rendering.get(key) is done:
            del self._rendering[key]

    def _forget_obsolete(self, topics: Collection[Topic] | None) -> None:
        """Let no request that follows a change get a page whose rendering began before the change.

        Only a card is known to depend on a single ticket.
        """
        for key in list(self._rendering):
            card = CARD.fullmatch(key.path)
            if topics is None or card is None or ("ticket", card[1]) in topics:
                del self._rendering[key]

    async def _render(self, key: Key, scope: HTTPScope) -> Rendering | Response:
        response = await self._ask(scope, without=_PERSONAL, for_members=key.is_for_members)
        sharing: Sharing | None = response.state.get(SHARING)
        is_personal = any(name == b"set-cookie" for name, _ in response.headers)
        if sharing is None or response.status != 200 or is_personal:
            return response
        rendering = Rendering(bytes(response.body), response.headers, sharing)
        is_current = self.pages.put(key, rendering)
        if (
            is_current
            and sharing.version is not None
            and not key.query
            and (card := CARD.fullmatch(key.path))
        ):
            self._cards.add(card[1], sharing.version, key, response.headers)
        return rendering

    async def _ask(self, scope: HTTPScope, *, without: Set[bytes], for_members: bool = False) -> Response:
        """The app's response to a GET request without some of its headers."""
        response = Response({**(scope.get("state") or {}), FOR_MEMBERS: for_members})
        headers = [(name, value) for name, value in scope["headers"] if name not in without]
        asked: HTTPScope = {**scope, "method": "GET", "headers": headers, "state": response.state}
        await self.app(asked, _receive_nothing(), response.capture)
        return response


class _Given:
    """The headers of a request that decide about its response, and whether the page was in the store."""

    __slots__ = ("accepts_gzip", "cookies", "has_bearer", "if_none_match", "is_kept")

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.cookies = self.if_none_match = b""
        self.accepts_gzip = self.has_bearer = self.is_kept = False
        for name, value in headers:
            if name == b"cookie":
                self.cookies = self.cookies + b"; " + value if self.cookies else value
            elif name == b"accept-encoding":
                self.accepts_gzip = _accepts_gzip(value)
            elif name == b"if-none-match":
                self.if_none_match = value
            elif name == b"authorization":
                self.has_bearer = True


def _accepts_gzip(accept_encoding: bytes) -> bool:
    return _gzip_is_accepted(accept_encoding[:MAX_HEADER_LENGTH])


@lru_cache(1000)
def _gzip_is_accepted(accept_encoding: bytes) -> bool:
    for item in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, quality = item.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False


def _receive_nothing() -> Receive:
    """An empty body, and then the end of the connection."""
    messages = iter(({"type": "http.request", "body": b"", "more_body": False},))

    async def receive() -> HTTPReceiveMessage:
        return next(messages, {"type": "http.disconnect"})  # type: ignore[return-value]

    return receive


async def _send(send: Send, method: str, status: int, headers: Headers, content: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send(
        {"type": "http.response.body", "body": b"" if method == "HEAD" else content, "more_body": False}
    )
