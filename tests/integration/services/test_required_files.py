"""After failed sales, new listings of their seller can't be found or bought before their files are there."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from contracts.events import OrderUpdated, UserUpdated
from contracts.wire import now
from services.orders.documents import TicketReplica
from services.tickets import actions, failures, leaving
from services.tickets.documents import FailedSale
from tests.support.events import on_sale
from tests.support.service import Served, messages, new_id
from tests.support.ticket_files import pdf

ANN, BOB, CARL = new_id(), new_id(), new_id()
DAY = timedelta(days=1)


async def list_ticket(tickets: Served, *, by: str = ANN, **details: Any) -> dict[str, Any]:
    body = {"title": "Hamlet", "price": 10, **details}
    answer = await tickets.ask("POST", "/api/tickets", by=by, json=body)
    assert answer.status_code == 201, answer.text
    listed: dict[str, Any] = answer.json()
    return listed


def failed(ticket: dict[str, Any], at: datetime | None = None, **changes: Any) -> OrderUpdated:
    """The event of an order whose promised files didn't arrive."""
    at = at or now() - DAY
    order = {"id": new_id(), "version": 3, "status": "complete", "user_id": BOB, "hold": 1}
    summary = {name: ticket[name] for name in ("id", "title", "price")}
    event = {**order, "expires_at": at, "delivery": "failed", "overdue_at": at, "ticket": summary, **changes}
    return OrderUpdated.model_validate(event)


async def fail(tickets: Served, count: int, at: datetime | None = None) -> None:
    for _ in range(count):
        await actions.follow_order(failed(await list_ticket(tickets), at))


async def found(tickets: Served) -> list[str]:
    return [ticket["id"] for ticket in (await tickets.ask("GET", "/api/tickets")).json()]


async def upload(tickets: Served, ticket: dict[str, Any], code: str = "NEEDED-1") -> dict[str, Any]:
    path = f"/api/tickets/{ticket['id']}/files"
    answer = await tickets.ask("POST", path, by=ANN, content=pdf([code]))
    assert answer.status_code == 201, answer.text
    file: dict[str, Any] = answer.json()
    return file


async def required_until(tickets: Served, by: str = ANN) -> datetime | None:
    until = (await tickets.ask("GET", "/api/tickets/mine/summary", by=by)).json()["filesRequiredUntil"]
    return None if until is None else datetime.fromisoformat(until)


async def test_a_listing_after_two_failed_sales_is_found_once_its_files_are_there(tickets: Served) -> None:
    before = await list_ticket(tickets)
    first = now() - 3 * DAY
    await fail(tickets, 1, first)
    assert (await list_ticket(tickets))["awaitsFiles"] is False
    await fail(tickets, 1)
    assert await required_until(tickets) == first + 180 * DAY
    listed = await list_ticket(tickets, showId=None, promised=True)
    assert (listed["status"], listed["delivery"], listed["awaitsFiles"]) == ("available", "promised", True)
    assert listed["id"] not in await found(tickets)
    assert before["id"] in await found(tickets)
    file = await upload(tickets, listed)
    assert listed["id"] in await found(tickets)
    await tickets.ask("DELETE", f"/api/tickets/{listed['id']}/files/{file['id']}", by=ANN)
    assert listed["id"] not in await found(tickets)


async def test_the_page_of_an_event_shows_such_a_listing_once_its_files_are_there(tickets: Served) -> None:
    await fail(tickets, 2)
    place = {"venue": "Globe", "city": "London", "startsAt": (now() + 9 * DAY).isoformat()}
    listed = await list_ticket(tickets, **place)

    async def on_sale_there() -> int:
        shown = (await tickets.ask("GET", f"/api/shows/{listed['showId']}")).json()
        return int(shown["onSale"])

    assert await on_sale_there() == 0
    await upload(tickets, listed)
    assert await on_sale_there() == 1


async def test_failed_sales_of_others_and_old_ones_dont_count(tickets: Served) -> None:
    await fail(tickets, 1)
    await fail(tickets, 3, now() - 181 * DAY)
    other = await list_ticket(tickets, by=CARL)
    await actions.follow_order(failed(other))
    for seller in (ANN, CARL):
        assert await required_until(tickets, seller) is None
        assert (await list_ticket(tickets, by=seller))["awaitsFiles"] is False


async def test_events_that_are_repeated_late_or_concurrent_count_once(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    event = failed(ticket)
    later = event.model_copy(update={"version": 4, "status": "refunded"})
    for each in (later, event, later):
        await actions.follow_order(each)
    await asyncio.gather(*(actions.follow_order(event) for _ in range(4)))
    assert await FailedSale.count() == 1
    assert await required_until(tickets) is None
    profile = (await tickets.ask("GET", f"/api/tickets/sellers/{ANN}")).json()
    assert profile["failedDeliveries"] == 1


async def test_control_without_a_record_for_each_order_a_repeated_event_counts_twice(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "ObjectId", lambda _: ObjectId())
    event = failed(await list_ticket(tickets))
    for _ in range(2):
        await actions.follow_order(event)
    assert await required_until(tickets) is not None


async def test_two_failed_sales_of_the_same_ticket_count_twice(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    first = failed(ticket)
    await actions.follow_order(first)
    relisted = first.model_copy(update={"version": 4, "status": "refunded", "relisted": True})
    await actions.follow_order(relisted)
    await actions.follow_order(failed(ticket, hold=2))
    assert await FailedSale.count() == 2


async def test_a_repeated_listing_is_the_one_from_before_the_failures(tickets: Served) -> None:
    body, key = {"title": "Hamlet", "price": 10}, {"Idempotency-Key": "the-same"}
    listed = (await tickets.ask("POST", "/api/tickets", by=ANN, json=body, headers=key)).json()
    await fail(tickets, 2)
    again = (await tickets.ask("POST", "/api/tickets", by=ANN, json=body, headers=key)).json()
    assert (again["id"], again["awaitsFiles"]) == (listed["id"], False)


async def test_the_failed_sales_of_a_deleted_user_are_forgotten(tickets: Served) -> None:
    await fail(tickets, 2)
    await leaving.follow_user(UserUpdated(id=ANN, version=1, deleted=True))
    assert await FailedSale.count() == 0


async def test_a_ticket_that_awaits_files_cant_be_reserved(orders: Served) -> None:
    ticket = await on_sale(awaits_files=True)

    async def reserve() -> Any:
        return await orders.ask("POST", "/api/orders", by=BOB, json={"ticketId": ticket})

    refused = await reserve()
    assert refused.json()["type"] == "/problems/ticket-awaits-files"
    assert messages(refused, 409) == ["The seller has to upload this ticket before it can be bought"]
    await TicketReplica.get_pymongo_collection().update_one(
        {"_id": ObjectId(ticket)}, {"$set": {"awaits_files": False}}
    )
    assert (await reserve()).status_code == 201
