"""Keeps responses with lists of tickets in memory until a ticket changes, in front of the framework."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple, TypeGuard

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import HTTPResponseBodyEvent, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import Counter

from contracts.api import VALID_UNTIL
from contracts.wire import now
from kit.http.request_head import HeadRules
from services.tickets.catalogue import Catalogue

PATHS = frozenset({"/api/tickets", "/api/tickets/facets", "/api/shows/search", "/api/shows/highlights"})
"""Paths of lists that are the same for everyone."""

MAX_BYTES = 8_000_000
MAX_QUERY_BYTES = 500
OVERHEAD_BYTES = 2_000
"""About how much memory a kept response takes in addition to its body."""

HITS = Counter("stagedoor_tickets_list_cache_hits", "Lists of tickets that were answered from memory")
MISSES = Counter("stagedoor_tickets_list_cache_misses", "Lists of tickets that were made for the request")

_VALID_UNTIL = VALID_UNTIL.lower().encode()


class _Response(NamedTuple):
    start: Message
    body: HTTPResponseBodyEvent
    valid_until: datetime | None

    @property
    def size(self) -> int:
        return len(self.body["body"]) + OVERHEAD_BYTES

    @property
    def is_valid(self) -> bool:
        return self.valid_until is None or now() < self.valid_until


class ListCache:
    """An ASGI app that answers repeated requests for a list, and passes all other requests on to another app.

    Any change of the catalogue makes all kept responses obsolete.
    """

    def __init__(self, app: Litestar) -> None:
        self.app = app
        self._rules = HeadRules(app.state.settings)
        self._revision: tuple[Catalogue, Hashable] | None = None
        """The catalogue of which responses are kept, and its revision."""
        self._kept: OrderedDict[tuple[str, bytes], _Response] = OrderedDict()
        """The responses, the least recently used first."""
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        catalogue: Catalogue | None = self.app.state.get("catalogue")
        if catalogue is None or not _is_list(scope) or not self._rules.are_followed(scope):
            await self.app(scope, receive, send)
            return
        revision = catalogue, catalogue.revision
        if revision != self._revision:
            self._kept.clear()
            self._bytes, self._revision = 0, revision
        key = scope["path"], scope["query_string"]
        kept = self._kept.get(key)
        if kept is not None and kept.is_valid:
            HITS.inc()
            self._kept.move_to_end(key)
            await send(kept.start)
            await send(kept.body)
            return
        MISSES.inc()
        messages: list[Message] = []

        async def send_and_collect(message: Message) -> None:
            messages.append(message)
            await send(message)

        await self.app(scope, receive, send_and_collect)
        # If the catalogue changed meanwhile, the response may be older than the change.
        if (catalogue, catalogue.revision) == revision == self._revision and (
            response := _complete(messages)
        ):
            self._keep(key, response)

    def _keep(self, key: tuple[str, bytes], response: _Response) -> None:
        replaced = self._kept.pop(key, None)
        self._kept[key] = response
        self._bytes += response.size - (replaced.size if replaced else 0)
        while self._bytes > MAX_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.size


def _is_list(scope: Scope) -> TypeGuard[HTTPScope]:
    return (
        scope["type"] == ScopeType.HTTP
        and scope["method"] == "GET"
        and scope["path"] in PATHS
        and len(scope["query_string"]) <= MAX_QUERY_BYTES
    )


def _complete(messages: Sequence[Message]) -> _Response | None:
    """The response, if it is a list that was sent as a whole."""
    if [message["type"] for message in messages] != ["http.response.start", "http.response.body"]:
        return None
    start: Any = messages[0]
    if start["status"] != HTTPStatus.OK:
        return None
    limit = next((value for name, value in start["headers"] if name.lower() == _VALID_UNTIL), None)
    body: Any = messages[1]
    return _Response(start, body, datetime.fromisoformat(limit.decode()) if limit else None)
