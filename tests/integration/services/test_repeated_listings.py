"""Repeating a listing with the same idempotency key doesn't create a second ticket."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from contracts.wire import now
from services.tickets import actions
from tests.support.service import Served, messages, new_id, refusal

ANN, BOB = new_id(), new_id()
KEY = "7c9b6b3e-offer"


async def post_listing(
    tickets: Served, *, key: str | None = KEY, by: str = ANN, **fields: Any
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"title": "Hamlet", "price": 19.9, **fields}
    return await tickets.ask("POST", "/api/tickets", by=by, json=body, headers=headers)


async def stored_tickets(tickets: Served) -> list[dict[str, Any]]:
    return [raw async for raw in tickets.database["tickets"].find()]


async def test_repeating_a_listing_with_the_same_key_returns_the_first_ticket(tickets: Served) -> None:
    first, again = await post_listing(tickets), await post_listing(tickets, title=" Hamlet ", price="19.90")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    [ticket] = await stored_tickets(tickets)
    assert [entry["subject"] for entry in ticket["outbox"]] == ["ticket.created"]


async def test_concurrent_listings_with_the_same_key_create_one_ticket_with_one_event(
    tickets: Served,
) -> None:
    answers = await asyncio.gather(*(post_listing(tickets) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    [ticket] = await stored_tickets(tickets)
    assert {answer.json()["id"] for answer in answers} == {str(ticket["_id"])}
    assert len(ticket["outbox"]) == 1


async def test_control_without_the_unique_index_concurrent_listings_create_several_tickets(
    tickets: Served,
) -> None:
    await tickets.database["tickets"].drop_index("one_ticket_a_key")
    await asyncio.gather(*(post_listing(tickets) for _ in range(8)))
    assert len(await stored_tickets(tickets)) == 8


async def test_a_listing_with_another_key_or_seller_or_without_a_key_creates_another_ticket(
    tickets: Served,
) -> None:
    for _ in range(2):
        await post_listing(tickets, key=None)
    for sender, key in [(ANN, KEY), (ANN, "another"), (BOB, KEY)]:
        await post_listing(tickets, by=sender, key=key)
    assert len(await stored_tickets(tickets)) == 5


async def test_a_repeated_listing_returns_the_current_state_of_the_ticket(tickets: Served) -> None:
    ticket = (await post_listing(tickets)).json()
    path = f"/api/tickets/{ticket['id']}"
    assert (await tickets.ask("PUT", path, by=ANN, json={"title": "Othello", "price": 30})).status_code == 200
    assert (await tickets.ask("DELETE", path, by=ANN)).status_code == 204
    again = await post_listing(tickets)
    assert again.status_code == 201
    assert again.json() == (await tickets.ask("GET", path)).json()
    assert (again.json()["title"], again.json()["status"]) == ("Othello", "withdrawn")


async def test_a_listing_can_be_repeated_after_its_event_has_begun(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = now() + timedelta(minutes=10)
    ticket = (await post_listing(tickets, startsAt=start.isoformat())).json()
    monkeypatch.setattr(actions, "now", lambda: start + timedelta(seconds=1))
    again = await post_listing(tickets, startsAt=start.isoformat())
    assert (again.status_code, again.json()["id"]) == (201, ticket["id"])
    late = await post_listing(tickets, key="another", startsAt=start.isoformat())
    assert refusal(late, 400) == [("startsAt", "The event must be in the future")]


async def test_reusing_a_key_for_another_listing_is_refused(tickets: Served) -> None:
    await post_listing(tickets)
    other = await post_listing(tickets, title="Othello")
    assert messages(other, 409) == ["Another ticket was listed with the same Idempotency-Key"]
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    assert [ticket["title"] for ticket in await stored_tickets(tickets)] == ["Hamlet"]


async def test_a_refused_listing_does_not_use_up_its_key(tickets: Served) -> None:
    assert (await post_listing(tickets, title="")).status_code == 400
    assert (await post_listing(tickets)).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 101, "a key", "caf\xe9", "\x07"])
async def test_the_error_for_an_invalid_idempotency_key_names_the_header(tickets: Served, key: str) -> None:
    answer = await tickets.ask(
        "POST",
        "/api/tickets",
        by=ANN,
        json={"title": "Hamlet", "price": 1},
        headers={"Idempotency-Key": key.encode("latin-1")},
    )
    assert refusal(answer, 400) == [("Idempotency-Key", "Idempotency-Key isn't valid")]
    assert await stored_tickets(tickets) == []


@pytest.mark.parametrize("key", ["x", "x" * 100, "\"!~$ne{}'"])
async def test_any_visible_ascii_text_is_a_valid_idempotency_key(tickets: Served, key: str) -> None:
    first, again = await post_listing(tickets, key=key), await post_listing(tickets, key=key)
    assert (first.status_code, first.json()["id"]) == (201, again.json()["id"])


async def test_the_openapi_document_describes_the_idempotency_key(tickets: Served) -> None:
    paths = (await tickets.ask("GET", "/docs/openapi.json")).json()["paths"]
    [key] = [p for p in paths["/api/tickets"]["post"]["parameters"] if p["name"] == "Idempotency-Key"]
    assert (key["in"], key["required"]) == ("header", False)
    assert "1 to 100 visible ASCII characters" in key["description"]
