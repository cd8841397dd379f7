import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bson import ObjectId

from contracts.events import OrderCancelled, OrderCreated, OrderedTicket, OrderUpdated, TicketCreated
from contracts.wire import now
from services.kit.changes import Changes
from services.orders import actions as ordering
from services.tickets import actions
from services.tickets.documents import Ticket
from tests.services.served import Served, messages, new_id, old_id, refusal

ANN, BOB = new_id(), new_id()

GALA = TicketCreated(id=new_id(), version=0, title="Gala", price=Decimal(10), user_id=ANN, status="available")

MORE: dict[str, Any] = {
    "startsAt": "2031-05-01T18:00:00Z",
    "timeZone": "Europe/London",
    "category": "theatre",
    "seat": "Stalls, row 4",
    "quantity": 2,
    "faceValue": 39.5,
    "notes": "By the aisle.\nDoors at seven.",
}


async def offered(tickets: Served, *, by: str = ANN, **fields: Any) -> dict[str, Any]:
    body = {"title": "Hamlet", "price": 19.99, **fields}
    answer = await tickets.ask("POST", "/api/tickets", by=by, json=body)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def shown(tickets: Served, ticket: dict[str, Any]) -> dict[str, Any]:
    answer = await tickets.ask("GET", f"/api/tickets/{ticket['id']}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def an_order(ticket: dict[str, Any], *, hold: int = 1) -> dict[str, Any]:
    return {
        "id": new_id(),
        "user_id": BOB,
        "expires_at": now(),
        "hold": hold,
        "ticket": OrderedTicket(id=ticket["id"], title=ticket["title"], price=ticket["price"]),
    }


async def reserved(ticket: dict[str, Any], *, hold: int = 1) -> dict[str, Any]:
    order = an_order(ticket, hold=hold)
    await actions.follow_order(OrderCreated(version=0, status="created", **order))
    return order


async def test_an_offered_ticket_is_shown_to_everybody(tickets: Served) -> None:
    ticket = await offered(
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
        "heldUntil": None,
        "refunded": False,
        "startsAt": "2031-05-01T18:00:00Z",
        "venue": "Globe",
        "city": None,
        "timeZone": None,
        "category": None,
        "seat": None,
        "quantity": 1,
        "faceValue": None,
        "notes": None,
        "picture": None,
    }
    assert await shown(tickets, ticket) == ticket
    assert (await tickets.ask("GET", "/api/tickets")).json() == [ticket]


async def test_offering_leaves_one_event_with_all_of_the_ticket(tickets: Served) -> None:
    ticket = await offered(tickets, city="London", **MORE)
    assert {name: ticket[name] for name in MORE} == MORE
    assert await tickets.outbox("tickets", ticket["id"]) == [("ticket.created", ticket)]


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
        ({"price": "ten"}, "price", "Price must be a number"),
        ({"price": True}, "price", "Price must be a number"),
        ({"price": None}, "price", "Price must be a number"),
        ({"price": {"$gt": 0}}, "price", "Price must be a number"),
        ({"price": 1_000_000}, "price", "Price must be at most 999999.99"),
        ({"price": "1e3"}, "price", "Price must be a number"),
        ({"startsAt": "2031-05-01T20:00:00"}, "startsAt", "must say its time zone"),
        ({"startsAt": "soon"}, "startsAt", "StartsAt"),
        ({"venue": "x" * 121}, "venue", "Venue must be at most 120 characters"),
        ({"timeZone": "CEST"}, "timeZone", "Time zone must be the name of one, as in Europe/Berlin"),
        ({"timeZone": "../../etc/passwd"}, "timeZone", "Time zone must be the name of one"),
        ({"timeZone": ["UTC"]}, "timeZone", "Time zone must be the name of one"),
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
async def test_an_offer_names_the_field_that_is_wrong(
    tickets: Served, fields: dict[str, Any], field: str, message: str
) -> None:
    body = {"title": "Hamlet", "price": 19.99, **fields}
    for method, path in (("POST", "/api/tickets"), ("PUT", f"/api/tickets/{new_id()}")):
        ((named, said),) = refusal(await tickets.ask(method, path, by=ANN, json=body), 400)
        assert named == field
        assert message in said
    assert await Ticket.get_pymongo_collection().count_documents({}) == 0


async def test_an_event_that_has_begun_is_neither_offered_nor_edited_in(tickets: Served) -> None:
    ticket = await offered(tickets)
    body = {"title": "Hamlet", "price": 19.99, "startsAt": "2021-05-01T20:00:00Z"}
    for method, path in (("POST", "/api/tickets"), ("PUT", f"/api/tickets/{ticket['id']}")):
        answer = await tickets.ask(method, path, by=ANN, json=body)
        assert refusal(answer, 400) == [("startsAt", "The event must be in the future")]
    assert await shown(tickets, ticket) == ticket


async def test_orders_does_not_reserve_for_an_event_that_has_begun(orders: Served) -> None:
    told = {**dict(GALA), "starts_at": now()}
    await ordering.follow_ticket(TicketCreated(**told))
    answer = await orders.ask("POST", "/api/orders", by=BOB, json={"ticketId": GALA.id})
    assert messages(answer, 409) == ["The event has begun"]


async def test_an_empty_offer_names_both_fields(tickets: Served) -> None:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={})
    assert refusal(answer, 400) == [("title", "Title is required"), ("price", "Price is required")]


async def test_editing_replaces_what_the_seller_says(tickets: Served) -> None:
    ticket = await offered(tickets, venue="Globe", city="London")
    body = {"title": "Macbeth", "price": 25, "city": "Stratford"}
    answer = await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json=body)
    assert answer.status_code == 200
    assert answer.json() == {**ticket, **body, "venue": None, "version": 1}
    assert await shown(tickets, ticket) == answer.json()
    assert await tickets.outbox("tickets", ticket["id"]) == [
        ("ticket.created", ticket),
        ("ticket.updated", answer.json()),
    ]


async def test_edits_at_once_all_land_one_after_the_other(tickets: Served) -> None:
    ticket = await offered(tickets)
    assert await _versions_after_edits_at_once(tickets, ticket) == [1, 2, 3, 4]
    events = await tickets.outbox("tickets", ticket["id"])
    assert [body["version"] for _, body in events] == [0, 1, 2, 3, 4]
    assert await shown(tickets, ticket) == events[-1][1]


async def test_control_unguarded_edits_at_once_publish_one_version_twice(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unguarded(ticket: Ticket, changes: Changes) -> Ticket:
        changed = ticket.model_copy(update={**changes, "version": ticket.version + 1})
        await Ticket.get_pymongo_collection().update_one(
            {"_id": ticket.id}, {"$set": {**changes, "version": changed.version}}
        )
        return changed

    ticket = await offered(tickets)
    monkeypatch.setattr(Ticket, "publish", unguarded)
    versions = await _versions_after_edits_at_once(tickets, ticket)
    assert len(set(versions)) < len(versions)


async def _versions_after_edits_at_once(tickets: Served, ticket: dict[str, Any]) -> list[int]:
    answers = await asyncio.gather(
        *(
            tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json={"title": title, "price": 1})
            for title in ("Macbeth", "Othello", "Lear", "Cymbeline")
        )
    )
    assert [answer.status_code for answer in answers] == [200] * 4
    return sorted(answer.json()["version"] for answer in answers)


async def test_a_withdrawn_ticket_is_off_sale_but_still_shown(tickets: Served) -> None:
    ticket = await offered(tickets)
    for _ in range(2):  # repeating it changes nothing
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
    ticket = await offered(tickets)
    await tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN)
    answer = await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json={"title": "x", "price": 1})
    assert messages(answer, 409) == ["Cannot edit a withdrawn ticket"]


async def refused_changes(tickets: Served, ticket_id: str, by: str, status: int) -> set[str]:
    """What is said to an edit and to a withdrawal."""
    path = f"/api/tickets/{ticket_id}"
    edit = await tickets.ask("PUT", path, by=by, json={"title": "Macbeth", "price": 1})
    withdrawal = await tickets.ask("DELETE", path, by=by)
    return {*messages(edit, status), *messages(withdrawal, status)}


async def test_only_its_seller_can_change_a_ticket(tickets: Served) -> None:
    ticket = await offered(tickets)
    assert await refused_changes(tickets, ticket["id"], BOB, 403) == {"Only its seller can change a ticket"}
    assert await shown(tickets, ticket) == ticket


async def test_a_ticket_that_does_not_exist_cannot_be_shown_or_changed(tickets: Served) -> None:
    for unknown in (old_id(), new_id(), "7", "not-an-id", "0" * 23, "g" * 24, "0" * 25):
        assert await refused_changes(tickets, unknown, ANN, 404) == {"Not found"}
        assert messages(await tickets.ask("GET", f"/api/tickets/{unknown}"), 404) == ["Not found"]


async def test_a_reserved_ticket_is_off_sale_and_cannot_be_changed(tickets: Served) -> None:
    ticket = await offered(tickets)
    order = await reserved(ticket)
    held = {
        **ticket,
        "version": 1,
        "status": "reserved",
        "orderId": order["id"],
        "heldUntil": order["expires_at"].isoformat().replace("+00:00", "Z"),
    }
    assert await refused_changes(tickets, ticket["id"], ANN, 409) == {"Cannot edit a reserved ticket"}
    assert await shown(tickets, ticket) == held
    assert (await tickets.ask("GET", "/api/tickets")).json() == []
    assert (await tickets.outbox("tickets", ticket["id"]))[1:] == [("ticket.updated", held)]


async def test_a_hold_that_got_more_time_says_so(tickets: Served) -> None:
    ticket = await offered(tickets)
    order = await reserved(ticket)
    longer = order["expires_at"] + timedelta(minutes=5)
    extended = OrderUpdated(version=1, status="awaiting:payment", **{**order, "expires_at": longer})
    await actions.follow_order(extended)
    held = await shown(tickets, ticket)
    assert datetime.fromisoformat(held["heldUntil"]) == longer
    assert (await tickets.outbox("tickets", ticket["id"]))[-1] == ("ticket.updated", held)
    await actions.follow_order(OrderUpdated(version=2, status="complete", **order))
    assert (await shown(tickets, ticket))["heldUntil"] is None


async def test_a_ticket_that_is_held_since_before_holds_were_told_is_shown(tickets: Served) -> None:
    ticket = await offered(tickets)
    order = await reserved(ticket)
    forgotten = {"$unset": {"held_until": "", "refunded": ""}}
    await Ticket.get_pymongo_collection().update_one({"_id": ObjectId(ticket["id"])}, forgotten)
    assert (await shown(tickets, ticket))["heldUntil"] is None
    await actions.follow_order(OrderUpdated(version=1, status="awaiting:payment", **order))
    assert (await shown(tickets, ticket))["heldUntil"] is not None


async def test_a_sold_ticket_stays_sold(tickets: Served) -> None:
    ticket = await offered(tickets)
    order = await reserved(ticket)
    await actions.follow_order(OrderUpdated(version=1, status="complete", **order))
    assert await refused_changes(tickets, ticket["id"], ANN, 409) == {"Cannot edit a sold ticket"}
    assert (await shown(tickets, ticket))["status"] == "sold"


async def test_a_freed_ticket_is_on_sale_again(tickets: Served) -> None:
    ticket = await offered(tickets)
    order = await reserved(ticket)
    cancelled = OrderCancelled(version=1, status="cancelled", **order)
    for _ in range(3):
        await actions.follow_order(cancelled)
    assert await shown(tickets, ticket) == {**ticket, "version": 2}
    assert len(await tickets.outbox("tickets", ticket["id"])) == 3


async def test_a_late_cancellation_does_not_free_the_ticket_of_a_later_buyer(tickets: Served) -> None:
    ticket = await offered(tickets)
    earlier = an_order(ticket, hold=1)
    later = await reserved(ticket, hold=2)
    await actions.follow_order(OrderCancelled(version=1, status="cancelled", **earlier))
    await actions.follow_order(OrderCreated(version=0, status="created", **earlier))
    assert (await shown(tickets, ticket))["orderId"] == later["id"]


async def test_a_hold_from_before_a_withdrawal_wins_and_then_the_ticket_stays_off_sale(
    tickets: Served,
) -> None:
    ticket = await offered(tickets)
    await tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN)
    order = await reserved(ticket)
    assert (await shown(tickets, ticket))["status"] == "reserved"
    await actions.follow_order(OrderCancelled(version=1, status="cancelled", **order))
    assert (await shown(tickets, ticket))["status"] == "withdrawn"
