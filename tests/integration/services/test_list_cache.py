"""Lists of tickets that are answered from memory until a ticket changes."""

import asyncio
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contracts.api import TicketBody
from contracts.wire import now
from services.tickets import actions, list_cache
from services.tickets.catalogue import Catalogue
from services.tickets.search_index import SearchIndex
from tests.integration.web.asgi_client import ask
from tests.support.service import Served, new_id

SELLER = new_id()


async def list_ticket(title: str, **fields: Any) -> str:
    body = TicketBody.model_validate({"title": title, "price": 10, **fields})
    return (await actions.offer(SELLER, body)).key


async def titles(tickets: Served, path: str = "/api/tickets") -> list[str]:
    answer = await tickets.ask("GET", path)
    assert answer.status_code == 200, answer.text
    return [ticket["title"] for ticket in answer.json()]


def hits() -> float:
    """How many lists were answered from memory."""
    return REGISTRY.get_sample_value("stagedoor_tickets_list_cache_hits_total") or 0.0


def misses() -> float:
    """How many lists were made for a request."""
    return REGISTRY.get_sample_value("stagedoor_tickets_list_cache_misses_total") or 0.0


async def test_the_metrics_count_lists_from_memory_and_lists_that_are_made(tickets: Served) -> None:
    await list_ticket("Counted")
    before = hits(), misses()
    for _ in range(3):
        await titles(tickets)
    assert (hits() - before[0], misses() - before[1]) == (2, 1)


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The moments of all searches from now on."""
    moments: list[datetime] = []
    search = Catalogue.search

    async def recorded(self: Catalogue, search_: Callable[[SearchIndex], Any], moment: datetime) -> Any:
        moments.append(moment)
        return await search(self, search_, moment)

    monkeypatch.setattr(Catalogue, "search", recorded)
    return moments


async def test_a_kept_list_is_refused_to_a_request_with_too_large_headers_or_without_a_host(
    tickets: Served,
) -> None:
    assert (await ask(tickets.asgi, "GET", "/api/tickets")).status == 200
    kept = hits()
    assert (await ask(tickets.asgi, "GET", "/api/tickets", x="x" * 32_768)).status == 431
    assert (await ask(tickets.asgi, "GET", "/api/tickets", http_version="1.1")).status == 400
    assert hits() == kept
    assert (await ask(tickets.asgi, "GET", "/api/tickets")).status == 200
    assert hits() == kept + 1


@pytest.mark.parametrize("path", ["/api/tickets", "/api/tickets?city=Berlin", "/api/tickets/facets?q=x"])
async def test_a_repeated_request_gets_the_same_response_without_a_search(
    tickets: Served, searches: list[datetime], path: str
) -> None:
    await list_ticket("Hamlet", city="Berlin")
    first, second = await tickets.ask("GET", path), await tickets.ask("GET", path)
    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers == first.headers
    assert len(searches) == 1


async def test_each_change_of_a_ticket_shows_at_once_in_a_list_that_was_kept(tickets: Served) -> None:
    assert await titles(tickets) == []
    key = await list_ticket("Hamlet")
    assert await titles(tickets) == ["Hamlet"]
    await actions.edit(key, SELLER, TicketBody.model_validate({"title": "Macbeth", "price": 1}))
    assert await titles(tickets) == ["Macbeth"]
    await actions.withdraw(key, SELLER)
    assert await titles(tickets) == []


async def test_each_query_has_its_own_list(tickets: Served) -> None:
    await list_ticket("Hamlet", city="Berlin")
    assert await titles(tickets, "/api/tickets?city=Berlin") == ["Hamlet"]
    assert await titles(tickets, "/api/tickets?city=Paris") == []


async def test_a_list_is_not_kept_if_a_ticket_changes_while_the_list_is_made(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Catalogue.search

    async def slow(self: Catalogue, search_: Callable[[SearchIndex], Any], moment: datetime) -> Any:
        found = await search(self, search_, moment)
        await list_ticket("Hamlet")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "search", slow)
        assert await titles(tickets) == []
    assert await titles(tickets) == ["Hamlet"]


async def test_a_list_is_kept_only_until_an_event_begins(
    tickets: Served, monkeypatch: pytest.MonkeyPatch, searches: list[datetime]
) -> None:
    begins = now() + timedelta(hours=1)
    await list_ticket("Hamlet", startsAt=begins.isoformat())
    await titles(tickets)
    for moment, number in ((begins - timedelta(seconds=1), 1), (begins, 2)):
        monkeypatch.setattr(list_cache, "now", lambda moment=moment: moment)
        await titles(tickets)
        assert len(searches) == number


async def test_the_position_of_a_kept_list_follows_the_catalogue(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await titles(tickets)
    monkeypatch.setattr(tickets.app.state.catalogue, "position", 7)
    answer = await tickets.ask("GET", "/api/tickets")
    assert answer.headers["Stagedoor-Position"] == "7"


async def test_errors_are_not_kept(tickets: Served) -> None:
    await tickets.ask("GET", "/api/tickets?maxPrice=much")
    before = hits()
    assert (await tickets.ask("GET", "/api/tickets?maxPrice=much")).status_code == 400
    assert hits() == before


async def test_the_least_recently_used_lists_make_room(
    tickets: Served, monkeypatch: pytest.MonkeyPatch, searches: list[datetime]
) -> None:
    monkeypatch.setattr(list_cache, "MAX_BYTES", 2 * list_cache.OVERHEAD_BYTES + 100)
    for city, number in (("a", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 4)):
        await titles(tickets, f"/api/tickets?city={city}")
        assert len(searches) == number


async def test_a_list_that_was_kept_is_not_served_after_a_change_that_waits_for_a_search(
    tickets: Served,
) -> None:
    """A search in a thread delays changes of the index. The next list then waits for that search, too."""
    catalogue: Catalogue = tickets.app.state.catalogue
    assert await titles(tickets) == []
    searching, go_on = threading.Event(), threading.Event()

    def slow_search(_: SearchIndex) -> None:
        searching.set()
        go_on.wait()

    search = asyncio.create_task(catalogue._search_in_thread(slow_search, now()))
    await asyncio.to_thread(searching.wait)
    await list_ticket("Hamlet")
    following = asyncio.create_task(titles(tickets))
    await asyncio.sleep(0)
    go_on.set()
    await search
    assert await following == ["Hamlet"]
