"""A web process with a page cache, whose services state how current their responses are."""

from dataclasses import dataclass

import httpx

from contracts.api import Ticket, User
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market
from web.live.changes import Change
from web.live.feed import Feed
from web.page_cache.middleware import PageCache


@dataclass
class Site:
    """A web process that knows all events up to number 10, and tickets whose responses reflect them."""

    client: PageClient
    cache: PageCache
    market: Market
    feed: Feed
    ticket: Ticket
    seller: User

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.http.get(path, headers=headers)

    def asked(self) -> list[str]:
        """The paths of the requests to services since the last call, except for keys."""
        paths = sorted(
            each.path
            for each in self.market.seen
            if "jwks" not in each.path and "session-use" not in each.path
        )
        self.market.seen.clear()
        return paths

    def happens(self, number: int, ticket: Ticket) -> None:
        """An event about the ticket arrives, and tickets reflects it."""
        self.market.position = number
        self.cache.pages.invalidate(Change(number, (("ticket", ticket.id), ("seller", ticket.user_id))))

    @property
    def page(self) -> str:
        return f"/tickets/{self.ticket.id}"
