"""Keeps responses with lists of tickets in memory until a ticket changes, in front of the framework."""

from collections.abc import Hashable, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any, NamedTuple

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import Message, Receive, Scope, Send
from prometheus_client import Counter

from contracts.api import VALID_UNTIL
from contracts.wire import now
from services.tickets.catalogue import Catalogue

PATHS = frozenset({"/api/tickets", "/api/tickets/facets"})
"""Paths of lists that are the same for everyone."""

MAX_RESPONSES = 500
"""About 5 MB."""
MAX_QUERY_BYTES = 500

HITS = Counter("tickets_list_cache_hits", "Lists of tickets that were answered from memory")

_VALID_UNTIL = VALID_UNTIL.lower().encode()


class _Response(NamedTuple):
    start: Message
    body: Message
    valid_until: datetime | None

    @property
    def is_valid(self) -> bool:
        return self.valid_until is None or now() < self.valid_until


class ListCache:
    """An ASGI app that answers repeated requests for a list, and passes all other requests on to another app.

    Any change of the catalogue makes all kept responses obsolete.
    """

    def __init__(self, app: Litestar) -> None:
        self.app = app
        self._revision: Hashable = None
        """The revision of the catalogue of which responses are kept."""
        self._kept: dict[tuple[str, bytes], _Response] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        catalogue: Catalogue | None = self.app.state.get("catalogue")
        if catalogue is None or not _is_list(scope):
            await self.app(scope, receive, send)
            return
        if catalogue.revision != self._revision:
            self._kept.clear()
            self._revision = catalogue.revision
        key = scope["path"], scope["query_string"]
        kept = self._kept.get(key)
        if kept is not None and kept.is_valid:
            HITS.inc()
            await send(kept.start)
            await send(kept.body)
            return
        messages: list[Message] = []

        async def send_and_collect(message: Message) -> None:
            messages.append(message)
            await send(message)

        revision = self._revision
        await self.app(scope, receive, send_and_collect)
        # The response may contain a change that happened meanwhile, or not.
        if catalogue.revision == revision == self._revision and (response := _complete(messages)):
            if len(self._kept) >= MAX_RESPONSES:
                self._kept.clear()
            self._kept[key] = response


def _is_list(scope: Scope) -> bool:
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
    return _Response(start, messages[1], datetime.fromisoformat(limit.decode()) if limit else None)
