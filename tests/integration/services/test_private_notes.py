"""The private note of a ticket: the seller writes it, and only the buyer who paid reads it."""

import json
from typing import Any

import pytest

from contracts.events import OrderCreated, OrderUpdated, TicketEvent
from contracts.wire import now
from services.tickets import actions
from tests.support.service import Served, messages, new_id, refusal

ANN, BOB, EVE = new_id(), new_id(), new_id()
NOTE = "Transfer code AB12CD34"


@pytest.fixture(autouse=True)
def no_note_in_logs(caplog: pytest.LogCaptureFixture) -> Any:
    yield
    assert NOTE not in caplog.text


async def list_ticket(tickets: Served) -> dict[str, Any]:
    body = {"title": "Hamlet", "price": 19.99, "privateNote": NOTE}
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json=body)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def note_for(tickets: Served, ticket: dict[str, Any], viewer: str | None) -> str | None:
    answer = await tickets.ask("GET", f"/api/tickets/{ticket['id']}", by=viewer)
    assert answer.status_code == 200
    note: str | None = answer.json().get("privateNote")
    assert ("no-store" in answer.headers.get("Cache-Control", "")) or note is None
    return note


async def readers(tickets: Served, ticket: dict[str, Any]) -> list[str]:
    viewers = {"seller": ANN, "buyer": BOB, "stranger": EVE, "guest": None}
    return [name for name, viewer in viewers.items() if await note_for(tickets, ticket, viewer) == NOTE]


async def follow(ticket: dict[str, Any], status: str, version: int, **changes: Any) -> None:
    summary = {name: ticket[name] for name in ("id", "title", "price")}
    kind = OrderCreated if version == 0 else OrderUpdated
    await actions.follow_order(
        kind.model_validate(
            {
                "id": ticket["id"],
                "version": version,
                "status": status,
                "user_id": BOB,
                "expires_at": now(),
                "hold": 1,
                "ticket": summary,
                **changes,
            }
        )
    )


async def test_only_the_buyer_who_paid_and_the_seller_read_the_private_note(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    assert ticket["privateNote"] == NOTE
    assert await readers(tickets, ticket) == ["seller"]
    await follow(ticket, "created", 0)
    assert await readers(tickets, ticket) == ["seller"]
    await follow(ticket, "complete", 1)
    assert await readers(tickets, ticket) == ["seller", "buyer"]


@pytest.mark.parametrize("relisted", [False, True])
async def test_a_refunded_buyer_does_not_read_the_private_note(tickets: Served, relisted: bool) -> None:
    ticket = await list_ticket(tickets)
    await follow(ticket, "complete", 1)
    await follow(ticket, "refunded", 2, relisted=relisted)
    assert await readers(tickets, ticket) == ["seller"]


async def test_no_list_search_facet_or_event_contains_the_private_note(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    await follow(ticket, "complete", 1)
    other = await list_ticket(tickets)
    paths = (
        *("/api/tickets", "/api/tickets?q=hamlet", "/api/tickets/facets", "/api/tickets/mine"),
        *(f"/api/tickets/{ticket['id']}/similar", f"/api/tickets/sellers/{ANN}"),
    )
    for path in paths:
        for viewer in (ANN, BOB, None):
            if viewer or not path.endswith("mine"):
                answer = await tickets.ask("GET", path, by=viewer)
                assert answer.status_code == 200, path
                assert "rivateNote" not in answer.text
                assert NOTE not in answer.text
    assert (await tickets.ask("GET", "/api/tickets?q=AB12CD34")).json() == []
    for each in (ticket, other):
        assert NOTE not in json.dumps(await tickets.outbox("tickets", each["id"]))
    assert "private_note" not in TicketEvent.model_fields


async def test_the_seller_can_change_the_private_note_after_the_sale_without_an_event(
    tickets: Served,
) -> None:
    ticket = await list_ticket(tickets)
    await follow(ticket, "complete", 1)
    events = await tickets.outbox("tickets", ticket["id"])
    path = f"/api/tickets/{ticket['id']}/private-note"
    for note in ("New code ZZ99YY88", None):
        answer = await tickets.ask("PUT", path, by=ANN, json={"privateNote": note})
        assert answer.status_code == 200
        assert answer.json().get("privateNote") == note
        assert await note_for(tickets, ticket, BOB) == note
    assert await tickets.outbox("tickets", ticket["id"]) == events


async def test_nobody_else_sets_a_private_note(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    path, body = f"/api/tickets/{ticket['id']}/private-note", {"privateNote": "x"}
    assert messages(await tickets.ask("PUT", path, by=BOB, json=body), 403)
    assert messages(await tickets.ask("PUT", path, json=body), 401)
    missing = f"/api/tickets/{new_id()}/private-note"
    assert messages(await tickets.ask("PUT", missing, by=ANN, json=body), 404)
    assert await readers(tickets, ticket) == ["seller"]


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("x" * 1001, "Private note must be at most 1000 characters"),
        ("\u200b", "Private note is required"),
        ("a\u202eb", "changes the direction of text"),
        (5, "PrivateNote must be text"),
    ],
)
async def test_a_private_note_follows_the_rule_of_texts(tickets: Served, note: object, why: str) -> None:
    ticket = await list_ticket(tickets)
    path = f"/api/tickets/{ticket['id']}/private-note"
    answer = await tickets.ask("PUT", path, by=ANN, json={"privateNote": note})
    ((field, message),) = refusal(answer, 400)
    assert field == "privateNote"
    assert why in message


async def test_an_edit_replaces_the_private_note(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    body = {"title": "Hamlet", "price": 20}
    path = f"/api/tickets/{ticket['id']}"
    edited = await tickets.ask("PUT", path, by=ANN, json={**body, "privateNote": "x"})
    assert edited.json()["privateNote"] == "x"
    assert "privateNote" not in (await tickets.ask("PUT", path, by=ANN, json=body)).json()
