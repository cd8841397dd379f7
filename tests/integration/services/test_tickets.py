"""Tickets: listing, editing, withdrawal, and the effect of order events."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.events import OrderCancelled, OrderCreated, OrderedTicket, OrderUpdated, TicketCreated
from contracts.money import minimum_charge
from contracts.wire import now
from kit.changes import Changes
from kit.tokens import Sessions
from services.orders import actions as orders_actions
from services.tickets import actions
from services.tickets.documents import Ticket
from tests.support.service import Served, SettingsWith, messages, new_id, old_id, refusal, serving

ANN, BOB = new_id(), new_id()

GALA = TicketCreated(id=new_id(), version=0, title="Gala", price=Decimal(10), user_id=ANN, status="available")

DETAILS: dict[str, Any] = {
    "startsAt": "2031-05-01T18:00:00.000Z",
    "timeZone": "Europe/London",
    "category": "theatre",
    "seat": "Stalls, row 4",
    "quantity": 2,
    "faceValue": 39.5,
    "notes": "By the aisle.\nDoors at seven.",
}


async def list_ticket(tickets: Served, *, by: str = ANN, **fields: Any) -> dict[str, Any]:
    body = {"title": "Hamlet", "price": 19.99, **fields}
    answer = await tickets.ask("POST", "/api/tickets", by=by, json=body)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def shown(tickets: Served, ticket: dict[str, Any], *, by: str | None = None) -> dict[str, Any]:
    answer = await tickets.ask("GET", f"/api/tickets/{ticket['id']}", by=by)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def in_event(ticket: dict[str, Any], *, hold: int | None = None) -> dict[str, Any]:
    """The ticket as its event shows it: with the hold number instead of the order number."""
    shared = {name: value for name, value in ticket.items() if name != "orderCode"}
    return {**shared, "hold": hold, "dateChanges": 0}


def order_fields(ticket: dict[str, Any], *, hold: int = 1) -> dict[str, Any]:
    return {
        "id": new_id(),
        "user_id": BOB,
        "expires_at": now(),
        "hold": hold,
        "ticket": OrderedTicket(id=ticket["id"], title=ticket["title"], price=ticket["price"]),
    }


async def reserve(ticket: dict[str, Any], *, hold: int = 1) -> dict[str, Any]:
    order = order_fields(ticket, hold=hold)
    await actions.follow_order(OrderCreated(version=0, status="created", **order))
    return order


async def test_a_new_ticket_is_shown_to_anonymous_visitors(tickets: Served) -> None:
    ticket = await list_ticket(
        tickets, title="  Hamlet ", price="19.90", venue="Globe", startsAt="2031-05-01T20:00:00+02:00"
    )
    assert ticket == {
        "id": ticket["id"],
        "title": "Hamlet",
        "price": 19.9,
        "userId": ANN,
        "version": 0,
        "status": "available",
        "orderId": None,
        "orderCode": None,
        "heldUntil": None,
        "refunded": False,
        "startsAt": "2031-05-01T18:00:00.000Z",
        "venue": "Globe",
        "city": None,
        "timeZone": None,
        "country": None,
        "showId": None,
        "category": None,
        "seat": None,
        "quantity": 1,
        "faceValue": None,
        "notes": None,
        "picture": None,
        "delivery": "seller",
        "filesReadyAt": None,
        "awaitsFiles": False,
    }
    assert await shown(tickets, ticket) == ticket
    assert (await tickets.ask("GET", "/api/tickets")).json() == [ticket]


async def test_listing_a_ticket_publishes_one_event_with_its_complete_state(tickets: Served) -> None:
    ticket = await list_ticket(tickets, city="London", **DETAILS)
    assert {name: ticket[name] for name in DETAILS} == DETAILS
    assert await tickets.outbox("tickets", ticket["id"]) == [("ticket.created", in_event(ticket))]


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"title": ""}, "title", "Title is required"),
        ({"title": "   "}, "title", "Title is required"),
        ({"title": "x" * 201}, "title", "Title must be at most 200 characters"),
        ({"title": ["Hamlet"]}, "title", "Title must be text"),
        ({"title": None}, "title", "Title must be text"),
        ({"price": 0}, "price", "Price must be greater than 0"),
        ({"price": -10}, "price", "Price must be greater than 0"),
        ({"price": 1.999}, "price", "Price must have at most 2 decimals"),
        ({"price": ""}, "price", "Price must be greater than 0"),
        ({"price": "ten"}, "price", "Price must be a number"),
        ({"price": True}, "price", "Price must be a number"),
        ({"price": None}, "price", "Price must be a number"),
        ({"price": {"$gt": 0}}, "price", "Price must be a number"),
        ({"price": 1_000_000}, "price", "Price must be at most 999999.99"),
        ({"price": "1e3"}, "price", "Price must be a number"),
        ({"startsAt": "2031-05-01T20:00:00"}, "startsAt", "must include a time zone"),
        ({"startsAt": "soon"}, "startsAt", "StartsAt"),
        ({"venue": "x" * 121}, "venue", "Venue must be at most 120 characters"),
        ({"timeZone": "CEST"}, "timeZone", "Time zone must be an IANA name such as Europe/Berlin"),
        ({"timeZone": "../../etc/passwd"}, "timeZone", "Time zone must be an IANA name"),
        ({"timeZone": ["UTC"]}, "timeZone", "Time zone must be an IANA name"),
        ({"category": "opera"}, "category", "Category must be one of music, theatre, comedy"),
        ({"category": {"$ne": ""}}, "category", "Category must be one of"),
        ({"seat": " "}, "seat", "Seat is required"),
        ({"seat": "x" * 81}, "seat", "Seat must be at most 80 characters"),
        ({"quantity": 0}, "quantity", "Quantity must be a whole number from 1 to 10"),
        ({"quantity": 11}, "quantity", "Quantity must be a whole number from 1 to 10"),
        ({"quantity": 1.5}, "quantity", "Quantity must be a whole number from 1 to 10"),
        ({"quantity": True}, "quantity", "Quantity must be a whole number from 1 to 10"),
        ({"quantity": None}, "quantity", "Quantity must be a whole number from 1 to 10"),
        ({"faceValue": 0}, "faceValue", "Face value must be greater than 0"),
        ({"faceValue": "1.999"}, "faceValue", "Face value must have at most 2 decimals"),
        ({"faceValue": "much"}, "faceValue", "Face value must be a number"),
        ({"notes": "x" * 1001}, "notes", "Notes must be at most 1000 characters"),
        ({"picture": "a" * 64}, "picture", "Picture isn't a known field"),
        ({"userId": BOB}, "userId", "UserId isn't a known field"),
        ({"status": "sold"}, "status", "Status isn't a known field"),
    ],
)
async def test_the_error_for_an_invalid_listing_or_edit_names_the_invalid_field(
    tickets: Served, fields: dict[str, Any], field: str, message: str
) -> None:
    body = {"title": "Hamlet", "price": 19.99, **fields}
    for method, path in (("POST", "/api/tickets"), ("PUT", f"/api/tickets/{new_id()}")):
        ((named_field, error),) = refusal(await tickets.ask(method, path, by=ANN, json=body), 400)
        assert named_field == field
        assert message in error
    assert await Ticket.get_pymongo_collection().count_documents({}) == 0


async def test_the_event_of_a_new_or_edited_ticket_must_be_in_the_future(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    body = {"title": "Hamlet", "price": 19.99, "startsAt": "2021-05-01T20:00:00Z"}
    for method, path in (("POST", "/api/tickets"), ("PUT", f"/api/tickets/{ticket['id']}")):
        answer = await tickets.ask(method, path, by=ANN, json=body)
        assert refusal(answer, 400) == [("startsAt", "The event must be in the future")]
    assert await shown(tickets, ticket) == ticket


async def test_a_ticket_for_an_event_that_has_begun_cannot_be_reserved(orders: Served) -> None:
    fields = {**dict(GALA), "starts_at": now()}
    await orders_actions.follow_ticket(TicketCreated(**fields))
    answer = await orders.ask("POST", "/api/orders", by=BOB, json={"ticketId": GALA.id})
    assert messages(answer, 409) == ["The event has begun"]


async def test_the_error_for_an_empty_listing_names_both_required_fields(tickets: Served) -> None:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={})
    assert refusal(answer, 400) == [("title", "Title is required"), ("price", "Price is required")]


async def test_an_edit_replaces_all_fields_that_the_seller_can_set(tickets: Served) -> None:
    ticket = await list_ticket(tickets, venue="Globe", city="London")
    body = {"title": "Macbeth", "price": 25, "city": "Stratford"}
    answer = await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json=body)
    assert answer.status_code == 200
    assert answer.json() == {**ticket, **body, "venue": None, "version": 1}
    assert await shown(tickets, ticket) == answer.json()
    assert await tickets.outbox("tickets", ticket["id"]) == [
        ("ticket.created", in_event(ticket)),
        ("ticket.updated", in_event(answer.json())),
    ]


async def test_concurrent_edits_are_all_applied_one_after_another(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    assert await _versions_after_concurrent_edits(tickets, ticket) == [1, 2, 3, 4]
    events = await tickets.outbox("tickets", ticket["id"])
    assert [body["version"] for _, body in events] == [0, 1, 2, 3, 4]
    assert in_event(await shown(tickets, ticket)) == events[-1][1]


async def test_control_without_the_guarded_write_concurrent_edits_publish_a_version_twice(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def save_without_guard(ticket: Ticket, changes: Changes) -> Ticket:
        changed = ticket.model_copy(update={**changes, "version": ticket.version + 1})
        await Ticket.get_pymongo_collection().update_one(
            {"_id": ticket.id}, {"$set": {**changes, "version": changed.version}}
        )
        return changed

    ticket = await list_ticket(tickets)
    monkeypatch.setattr(Ticket, "save_and_publish", save_without_guard)
    versions = await _versions_after_concurrent_edits(tickets, ticket)
    assert len(set(versions)) < len(versions)


async def _versions_after_concurrent_edits(tickets: Served, ticket: dict[str, Any]) -> list[int]:
    answers = await asyncio.gather(
        *(
            tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json={"title": title, "price": 1})
            for title in ("Macbeth", "Othello", "Lear", "Cymbeline")
        )
    )
    assert [answer.status_code for answer in answers] == [200] * 4
    return sorted(answer.json()["version"] for answer in answers)


async def test_a_withdrawn_ticket_is_not_listed_but_still_shown(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    for _ in range(2):  # the second withdrawal changes nothing
        answer = await tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN)
        assert (answer.status_code, answer.content) == (204, b"")
    assert await shown(tickets, ticket) == {**ticket, "version": 1, "status": "withdrawn"}
    assert (await tickets.ask("GET", "/api/tickets")).json() == []
    events = await tickets.outbox("tickets", ticket["id"])
    assert [(subject, body["status"]) for subject, body in events] == [
        ("ticket.created", "available"),
        ("ticket.updated", "withdrawn"),
    ]


async def test_a_withdrawn_ticket_cannot_be_edited(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    await tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN)
    answer = await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json={"title": "x", "price": 1})
    assert messages(answer, 409) == ["Cannot edit a withdrawn ticket"]


async def refusals_of_changes(tickets: Served, ticket_id: str, by: str, status: int) -> set[str]:
    """Try to edit and to withdraw a ticket, and return the error messages."""
    path = f"/api/tickets/{ticket_id}"
    edit = await tickets.ask("PUT", path, by=by, json={"title": "Macbeth", "price": 1})
    withdrawal = await tickets.ask("DELETE", path, by=by)
    return {*messages(edit, status), *messages(withdrawal, status)}


async def test_only_the_seller_can_edit_or_withdraw_a_ticket(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    assert await refusals_of_changes(tickets, ticket["id"], BOB, 403) == {
        "Only its seller can change a ticket"
    }
    assert await shown(tickets, ticket) == ticket


async def test_an_unknown_ticket_can_be_neither_shown_nor_changed(tickets: Served) -> None:
    for unknown in (old_id(), new_id(), "7", "not-an-id", "0" * 23, "g" * 24, "0" * 25):
        assert await refusals_of_changes(tickets, unknown, ANN, 404) == {"Not found"}
        assert messages(await tickets.ask("GET", f"/api/tickets/{unknown}"), 404) == ["Not found"]


async def test_a_reserved_ticket_is_not_listed_and_cannot_be_changed(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    order = await reserve(ticket)
    held = {
        **ticket,
        "version": 1,
        "status": "reserved",
        "orderId": order["id"],
        "heldUntil": order["expires_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    assert await refusals_of_changes(tickets, ticket["id"], ANN, 409) == {"Cannot edit a reserved ticket"}
    assert await shown(tickets, ticket, by=ANN) == held
    assert (await tickets.ask("GET", "/api/tickets")).json() == []
    assert (await tickets.outbox("tickets", ticket["id"]))[1:] == [("ticket.updated", in_event(held, hold=1))]


async def test_an_extension_changes_held_until_and_completion_clears_held_until(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    order = await reserve(ticket)
    deadline = order["expires_at"] + timedelta(minutes=5)
    extended = OrderUpdated(version=1, status="awaiting:payment", **{**order, "expires_at": deadline})
    await actions.follow_order(extended)
    held = await shown(tickets, ticket, by=BOB)
    assert datetime.fromisoformat(held["heldUntil"]) == deadline
    assert (await tickets.outbox("tickets", ticket["id"]))[-1] == (
        "ticket.updated",
        in_event(held, hold=1),
    )
    await actions.follow_order(OrderUpdated(version=2, status="complete", **order))
    assert (await shown(tickets, ticket))["heldUntil"] is None


async def test_a_sold_ticket_cannot_be_changed(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    order = await reserve(ticket)
    await actions.follow_order(OrderUpdated(version=1, status="complete", **order))
    assert await refusals_of_changes(tickets, ticket["id"], ANN, 409) == {"Cannot edit a sold ticket"}
    assert (await shown(tickets, ticket))["status"] == "sold"


async def test_repeated_cancellation_events_put_the_ticket_back_on_sale_once(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    order = await reserve(ticket)
    cancelled = OrderCancelled(version=1, status="cancelled", **order)
    for _ in range(3):
        await actions.follow_order(cancelled)
    assert await shown(tickets, ticket) == {**ticket, "version": 2}
    assert len(await tickets.outbox("tickets", ticket["id"])) == 3


async def test_a_late_cancellation_does_not_release_the_ticket_of_a_later_buyer(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    earlier = order_fields(ticket, hold=1)
    later = await reserve(ticket, hold=2)
    await actions.follow_order(OrderCancelled(version=1, status="cancelled", **earlier))
    await actions.follow_order(OrderCreated(version=0, status="created", **earlier))
    assert (await shown(tickets, ticket, by=BOB))["orderId"] == later["id"]


async def test_only_the_seller_and_the_buyer_see_the_order_of_a_ticket(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    order = await reserve(ticket)
    other_buyer = new_id()
    seen = {name: await shown(tickets, ticket, by=name) for name in (ANN, BOB, other_buyer)}
    assert [seen[name]["orderId"] for name in (ANN, BOB, other_buyer)] == [order["id"], order["id"], None]
    anonymous = await tickets.ask("GET", f"/api/tickets/{ticket['id']}")
    assert anonymous.json() == seen[other_buyer]
    assert BOB not in anonymous.text
    mine = await tickets.ask("GET", "/api/tickets/mine", by=ANN)
    assert mine.json() == [seen[ANN]]
    assert BOB not in mine.text
    await actions.follow_order(OrderUpdated(version=1, status="complete", **order))
    assert (await shown(tickets, ticket, by=BOB))["orderId"] == order["id"]
    assert (await shown(tickets, ticket))["orderId"] is None


async def test_a_former_buyer_does_not_see_the_order_of_a_later_buyer(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    earlier = await reserve(ticket)
    await actions.follow_order(OrderCancelled(version=1, status="cancelled", **earlier))
    later = {**order_fields(ticket, hold=2), "user_id": new_id()}
    await actions.follow_order(OrderCreated(version=0, status="created", **later))
    assert (await shown(tickets, ticket, by=BOB))["orderId"] is None
    assert (await shown(tickets, ticket, by=later["user_id"]))["orderId"] == later["id"]


async def test_a_ticket_is_shown_to_a_caller_whose_token_cannot_be_checked(tickets: Served) -> None:
    ticket = await list_ticket(tickets)

    async def no_keys() -> dict[str, Any]:
        raise OSError("auth is down")

    tickets.app.state.sessions = Sessions(no_keys, tickets.app.state.sessions.ended)
    assert await shown(tickets, ticket, by=BOB) == ticket


async def test_no_event_contains_the_buyer(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    order = await reserve(ticket)
    _, (_, event) = await tickets.outbox("tickets", ticket["id"])
    assert event["orderId"] == order["id"]
    assert BOB not in str(event)


async def test_a_withdrawal_or_a_hold_takes_effect_but_never_both(tickets: Served) -> None:
    for _ in range(5):
        ticket = await list_ticket(tickets)
        withdrawal = tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN)
        answer, order = await asyncio.gather(withdrawal, reserve(ticket))
        kept = answer.status_code == 409
        assert (await shown(tickets, ticket, by=ANN))["orderId"] == (order["id"] if kept else None)
        assert (await shown(tickets, ticket))["status"] == ("reserved" if kept else "withdrawn")


async def test_a_refused_hold_is_published_with_its_number_and_without_its_order(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    body = {"title": "Hamlet", "price": 900}
    await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json=body)
    order = await reserve(ticket)
    subject, refused = (await tickets.outbox("tickets", ticket["id"]))[-1]
    assert (subject, refused["version"]) == ("ticket.updated", 2)
    assert (refused["status"], refused["orderId"], refused["hold"]) == ("available", None, 1)
    await actions.follow_order(OrderCancelled(version=1, status="cancelled", **order))
    assert (await shown(tickets, ticket))["price"] == 900


@pytest.mark.parametrize(
    ("currency", "smallest"), [("eur", "€0.50"), ("gbp", "£0.30"), ("huf", "175.00 HUF")]
)
async def test_a_ticket_cannot_be_listed_or_edited_below_the_smallest_charge_of_the_currency(
    settings_with: SettingsWith, currency: str, smallest: str
) -> None:
    minimum = minimum_charge(currency)
    assert minimum is not None
    async with serving("tickets", settings_with(currency=currency)) as tickets:
        ticket = await list_ticket(tickets, price=minimum.amount / 100)
        body = {"title": "Macbeth", "price": (minimum.amount - 1) / 100}
        for method, path in (("POST", "/api/tickets"), ("PUT", f"/api/tickets/{ticket['id']}")):
            answer = await tickets.ask(method, path, by=ANN, json=body)
            assert refusal(answer, 400) == [("price", f"Price must be at least {smallest}")]
        assert (await shown(tickets, ticket))["title"] == "Hamlet"
