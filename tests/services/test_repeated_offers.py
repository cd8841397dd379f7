"""An offer that is sent again lists nothing again."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from contracts.wire import now
from services.tickets import actions
from services.tickets.documents import Ticket
from tests.services.served import Served, messages, new_id, refusal

ANN, BOB = new_id(), new_id()
KEY = "7c9b6b3e-offer"


async def offers(tickets: Served, *, key: str | None = KEY, by: str = ANN, **fields: Any) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"title": "Hamlet", "price": 19.9, **fields}
    return await tickets.ask("POST", "/api/tickets", by=by, json=body, headers=headers)


async def listed(tickets: Served) -> list[dict[str, Any]]:
    return [raw async for raw in tickets.database["tickets"].find()]


async def test_the_same_offer_again_is_the_same_ticket(tickets: Served) -> None:
    first, again = await offers(tickets), await offers(tickets, title=" Hamlet ", price="19.90")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    [ticket] = await listed(tickets)
    assert [entry["subject"] for entry in ticket["outbox"]] == ["ticket.created"]


async def test_the_same_offer_at_once_is_one_ticket_with_one_event(tickets: Served) -> None:
    answers = await asyncio.gather(*(offers(tickets) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    [ticket] = await listed(tickets)
    assert {answer.json()["id"] for answer in answers} == {str(ticket["_id"])}
    assert len(ticket["outbox"]) == 1


async def test_control_without_the_index_it_is_listed_again_and_again(tickets: Served) -> None:
    await tickets.database["tickets"].drop_index("one_ticket_an_offer")
    await asyncio.gather(*(offers(tickets) for _ in range(8)))
    assert len(await listed(tickets)) == 8


async def test_another_key_another_seller_or_none_is_another_offer(tickets: Served) -> None:
    for _ in range(2):
        await offers(tickets, key=None)
    for sender, key in [(ANN, KEY), (ANN, "another"), (BOB, KEY)]:
        await offers(tickets, by=sender, key=key)
    assert len(await listed(tickets)) == 5


async def test_a_repeat_gives_the_ticket_as_it_is_now(tickets: Served) -> None:
    ticket = (await offers(tickets)).json()
    path = f"/api/tickets/{ticket['id']}"
    assert (await tickets.ask("PUT", path, by=ANN, json={"title": "Othello", "price": 30})).status_code == 200
    assert (await tickets.ask("DELETE", path, by=ANN)).status_code == 204
    again = await offers(tickets)
    assert again.status_code == 201
    assert again.json() == (await tickets.ask("GET", path)).json()
    assert (again.json()["title"], again.json()["status"]) == ("Othello", "withdrawn")


async def test_a_repeat_that_comes_once_the_event_has_begun_is_no_mistake(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = now() + timedelta(minutes=10)
    ticket = (await offers(tickets, startsAt=begins.isoformat())).json()
    monkeypatch.setattr(actions, "now", lambda: begins + timedelta(seconds=1))
    again = await offers(tickets, startsAt=begins.isoformat())
    assert (again.status_code, again.json()["id"]) == (201, ticket["id"])
    late = await offers(tickets, key="another", startsAt=begins.isoformat())
    assert refusal(late, 400) == [("startsAt", "The event must be in the future")]


async def test_a_key_is_for_one_offer(tickets: Served) -> None:
    await offers(tickets)
    other = await offers(tickets, title="Othello")
    assert messages(other, 409) == ["Another ticket was offered with the same Idempotency-Key"]
    assert other.json()["type"] == "/problems/idempotency-key-reused"
    assert [ticket["title"] for ticket in await listed(tickets)] == ["Hamlet"]


async def test_an_offer_that_was_refused_leaves_its_key_free(tickets: Served) -> None:
    assert (await offers(tickets, title="")).status_code == 400
    assert (await offers(tickets)).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 101, "a key", "sch\xfcssel", "\x07"])
async def test_a_key_that_is_none_is_refused_by_its_name(tickets: Served, key: str) -> None:
    answer = await tickets.ask(
        "POST",
        "/api/tickets",
        by=ANN,
        json={"title": "Hamlet", "price": 1},
        headers={"Idempotency-Key": key.encode("latin-1")},
    )
    assert refusal(answer, 400) == [("Idempotency-Key", "Idempotency-Key isn't valid")]
    assert await listed(tickets) == []


@pytest.mark.parametrize("key", ["x", "x" * 100, "\"!~$ne{}'"])
async def test_any_visible_text_is_a_key(tickets: Served, key: str) -> None:
    first, again = await offers(tickets, key=key), await offers(tickets, key=key)
    assert (first.status_code, first.json()["id"]) == (201, again.json()["id"])


async def test_tickets_from_before_there_were_keys_stay_as_they_are(tickets: Served) -> None:
    for _ in range(2):
        ticket = (await offers(tickets, key=None)).json()
        unset = {"$unset": {"offer": "", "offered_as": ""}}
        await tickets.database["tickets"].update_one({"_id": ObjectId(ticket["id"])}, unset)
    assert (await Ticket.get(ObjectId(ticket["id"]))) is not None
    path = f"/api/tickets/{ticket['id']}"
    assert (await tickets.ask("PUT", path, by=ANN, json={"title": "Othello", "price": 30})).status_code == 200


async def test_the_documentation_names_the_key(tickets: Served) -> None:
    paths = (await tickets.ask("GET", "/docs/openapi.json")).json()["paths"]
    [key] = [p for p in paths["/api/tickets"]["post"]["parameters"] if p["name"] == "Idempotency-Key"]
    assert (key["in"], key["required"]) == ("header", False)
    assert "1 to 100 visible ASCII characters" in key["description"]
