"""Events for the home page and of searches, and which are popular."""

from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import ServerSelectionTimeoutError

from contracts.wire import now
from services.tickets.documents import Ticket
from services.tickets.shows import popularity
from services.tickets.shows.documents import Show
from tests.support.service import Served, new_id

START = "2031-06-05T18:30:00.000Z"


async def lists(tickets: Served, title: str, price: object = 40, **fields: Any) -> dict[str, Any]:
    where = {"startsAt": START, "venue": "Tempodrom", "city": "Berlin", "timeZone": "Europe/Berlin"}
    body = {"title": title, "price": price, **where, **fields}
    answer = await tickets.ask("POST", "/api/tickets", by=new_id(), json=body)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def offered(tickets: Served, **query: Any) -> list[dict[str, Any]]:
    answer = await tickets.ask("GET", "/api/shows/search", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def highlights(tickets: Served, **query: Any) -> dict[str, list[str]]:
    """The titles in each list."""
    answer = await tickets.ask("GET", "/api/shows/highlights", params=query)
    assert answer.status_code == 200, answer.text
    return {name: [show["title"] for show in shows] for name, shows in answer.json().items()}


async def test_a_search_finds_events_with_their_cheapest_tickets(tickets: Served) -> None:
    dear = await lists(tickets, "Nick Cave", 50, seat="A 1")
    pair = await lists(tickets, "Nick Cave", 60, quantity=2, seat="A 2")
    others = [await lists(tickets, "Nick Cave", 70 + number, seat=f"B {number}") for number in range(2)]
    await lists(tickets, "Hamlet")
    [found] = await offered(tickets, q="cave")
    assert (found["id"], found["title"], found["city"]) == (dear["showId"], "Nick Cave", "Berlin")
    assert (found["lowest"], found["onSale"]) == (30, 4)
    assert [ticket["id"] for ticket in found["tickets"]] == [pair["id"], dear["id"], others[0]["id"]]
    assert "privateNote" not in found["tickets"][0]
    [found] = await offered(tickets, q="cave", minPrice=70)
    assert (found["lowest"], found["onSale"]) == (70, 2)


async def test_misspelled_words_find_the_same_in_lists_facets_and_events(tickets: Served) -> None:
    ticket = await lists(tickets, "Coldplay")
    assert [found["id"] for found in (await tickets.ask("GET", "/api/tickets?q=codlplay")).json()] == [
        ticket["id"]
    ]
    facets = (await tickets.ask("GET", "/api/tickets/facets?q=codlplay")).json()
    assert (facets["total"], facets["corrected"]) == (1, "coldplay")
    assert [found["id"] for found in await offered(tickets, q="codlplay")] == [ticket["showId"]]
    assert (await tickets.ask("GET", "/api/tickets/facets?q=cold")).json()["corrected"] is None


async def test_highlights_are_this_weekend_the_soonest_and_the_newest(tickets: Served) -> None:
    saturday = now() + timedelta(days=(5 - now().weekday()) % 7 or 7)
    await lists(tickets, "Later")
    await lists(tickets, "Soon", startsAt=(saturday.replace(hour=23, minute=0)).isoformat(), timeZone="UTC")
    await lists(tickets, "Elsewhere", city="Köln")
    assert await highlights(tickets) == {
        "weekend": ["Soon"],
        "upcoming": ["Soon", *sorted_by_id(await shows_of("Later", "Elsewhere"))],
        "recent": ["Elsewhere", "Soon", "Later"],
        "popular": [],
    }
    assert (await highlights(tickets, city="koln"))["recent"] == ["Elsewhere"]


async def shows_of(*titles: str) -> list[Show]:
    return [show async for show in Show.find({"title": {"$in": list(titles)}})]


def sorted_by_id(shows: list[Show]) -> list[str]:
    """The titles of events that begin at the same time, in their order."""
    return [show.title for show in sorted(shows, key=lambda show: show.key)]


async def test_popular_events_are_those_with_sold_and_held_tickets(tickets: Served) -> None:
    for title, status, days in (
        ("Held", "reserved", 0),
        ("Sold", "sold", 0),
        ("Sold long ago", "sold", 15),
        ("Withdrawn", "withdrawn", 0),
    ):
        gone = await lists(tickets, title, seat="1")
        await lists(tickets, title, seat="2")
        changes = {"status": status, "updated_at": now() - timedelta(days=days)}
        await Ticket.find({"_id": ObjectId(gone["id"])}).update({"$set": changes})
    await popularity.refresh(tickets.app.state.catalogue)
    assert (await highlights(tickets))["popular"] == ["Sold", "Held"]


async def test_events_have_the_facts_of_their_tickets_while_the_database_is_unavailable(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await lists(tickets, "Nick Cave")

    def unavailable(*_: object) -> None:
        raise ServerSelectionTimeoutError

    monkeypatch.setattr(Show, "find", unavailable)
    assert [(found["id"], found["title"]) for found in await offered(tickets, q="cave")] == [
        (ticket["showId"], "Nick Cave")
    ]


async def test_corrected_facts_of_an_event_are_shown_although_its_tickets_have_others(
    tickets: Served,
) -> None:
    ticket = await lists(tickets, "Nick Cave")
    await Show.find({"_id": ObjectId(ticket["showId"])}).update({"$set": {"title": "Nick Cave & Friends"}})
    [found] = await offered(tickets, q="cave")
    assert found["title"] == "Nick Cave & Friends"
