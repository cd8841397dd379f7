"""What a seller can't change any more once the ticket is sold, and once it is delivered."""

from typing import Any

import pytest

from contracts.events import OrderUpdated
from contracts.wire import now
from services.tickets import actions, rules
from services.tickets.documents import Ticket
from tests.support.service import Served, messages, new_id

ANN, BOB = new_id(), new_id()
OFFER = {"title": "Hamlet", "price": 19.99}


async def sold(tickets: Served, **delivery: Any) -> dict[str, Any]:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json=OFFER)
    ticket: dict[str, Any] = answer.json()
    await follow(ticket, 1, **delivery)
    return ticket


async def follow(ticket: dict[str, Any], version: int, status: str = "complete", **delivery: Any) -> None:
    summary = {name: ticket[name] for name in ("id", "title", "price")}
    order = {"id": ticket["id"], "version": version, "status": status, "user_id": BOB, "hold": 1}
    event = {**order, "expires_at": now(), "ticket": summary, **delivery}
    await actions.follow_order(OrderUpdated.model_validate(event))


async def set_note(tickets: Served, ticket: dict[str, Any], note: str | None = "Code 42") -> Any:
    path = f"/api/tickets/{ticket['id']}/private-note"
    return await tickets.ask("PUT", path, by=ANN, json={"privateNote": note})


@pytest.mark.parametrize("delivery", [None, "due", "delivered", "confirmed", "failed"])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "", {**OFFER, "price": 5}),
        ("PUT", "", {**OFFER, "seat": "Row 9"}),
        ("DELETE", "", None),
        ("DELETE", "/picture", None),
    ],
)
async def test_a_sold_listing_cant_change(
    tickets: Served, method: str, path: str, body: dict[str, Any] | None, delivery: str | None
) -> None:
    ticket = await sold(tickets, delivery=delivery)
    before = (await tickets.ask("GET", f"/api/tickets/{ticket['id']}", by=ANN)).json()
    answer = await tickets.ask(method, f"/api/tickets/{ticket['id']}{path}", by=ANN, json=body)
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/ticket-sold"
    assert (await tickets.ask("GET", f"/api/tickets/{ticket['id']}", by=ANN)).json() == before


async def test_the_private_note_can_change_until_the_ticket_is_delivered(tickets: Served) -> None:
    ticket = await sold(tickets, delivery="due")
    assert (await set_note(tickets, ticket)).status_code == 200
    for version, state in enumerate(("delivered", "confirmed"), 2):
        await follow(ticket, version, delivery=state)
        for note in ("Code 43", None):
            assert messages(await set_note(tickets, ticket, note), 409) == [
                "The ticket is delivered, so its private note can't change any more"
            ]
    seen = await tickets.ask("GET", f"/api/tickets/{ticket['id']}", by=BOB)
    assert seen.json()["privateNote"] == "Code 42"


async def test_the_note_of_a_ticket_that_is_on_sale_again_can_change(tickets: Served) -> None:
    ticket = await sold(tickets, delivery="delivered")
    await follow(ticket, 2, "refunded", delivery="delivered", relisted=True)
    assert (await set_note(tickets, ticket)).status_code == 200


async def note_if_delivered_meanwhile(tickets: Served, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The note after a change that has been checked before the delivery and is written after it."""
    ticket = await sold(tickets, delivery="due")
    check = rules.check_may_write_note
    stored = await Ticket.find_one({"_id": (await actions._load(ticket["id"])).id})
    assert stored is not None
    await follow(ticket, 2, delivery="delivered")
    monkeypatch.setattr(rules, "check_may_write_note", lambda _, by: check(stored, by))
    await set_note(tickets, ticket)
    note: str | None = (await actions._load(ticket["id"])).private_note
    return note


async def test_a_note_that_is_written_during_the_delivery_comes_too_late(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await note_if_delivered_meanwhile(tickets, monkeypatch) is None


async def test_without_the_guard_of_its_write_the_note_would_change_after_the_delivery(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "DELIVERED", ())
    assert await note_if_delivered_meanwhile(tickets, monkeypatch) == "Code 42"
