"""Reservations: what they create, who may reserve, and limits under concurrency."""

import asyncio
import re
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic.alias_generators import to_camel

from contracts.events import PublicTicket
from contracts.wire import now
from services.orders import actions, holds
from services.orders.documents import ONE_ORDER_A_HOLD, ONE_ORDER_A_SLOT, ONE_ORDER_A_TICKET
from services.orders.rules import CODE_LENGTH, CODE_LETTERS
from tests.support.events import SELLER, WINDOW, confirm_hold, follow_ticket_event, on_sale, payment_of
from tests.support.owners import FakeOwner
from tests.support.service import Served, SettingsWith, messages, new_id, old_id, refusal, serving

ANN, BOB = new_id(), new_id()

DETAILS: dict[str, Any] = {
    "starts_at": datetime(2031, 5, 1, 18, tzinfo=UTC),
    "venue": "Globe",
    "city": "London",
    "time_zone": "Europe/London",
    "country": "GB",
    "show_id": new_id(),
    "category": "theatre",
    "seat": "Row 4",
    "quantity": 2,
    "picture": "5eed" * 16,
    "delivery": "seller",
}
DETAILS_IN_JSON = {
    **{to_camel(name): value for name, value in DETAILS.items()},
    "startsAt": "2031-05-01T18:00:00.000Z",
}
NO_DETAILS_IN_JSON = {**dict.fromkeys(DETAILS_IN_JSON), "quantity": 1, "delivery": "seller"}


async def request_reservation(orders: Served, ticket: str, by: str = ANN) -> httpx.Response:
    return await orders.ask("POST", "/api/orders", by=by, json={"ticketId": ticket})


async def reserve(orders: Served, ticket: str, by: str = ANN) -> dict[str, Any]:
    answer = await request_reservation(orders, ticket, by)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def count_statuses(*requests: Any) -> dict[int, int]:
    """Send these requests concurrently, and count the responses with each status."""
    return dict(Counter(answer.status_code for answer in await asyncio.gather(*requests)))


async def hold_numbers(orders: Served, ticket: str) -> list[int]:
    found = orders.database["orders"].find({"ticket_id": ticket}, {"hold": 1}).sort("hold", 1)
    return [order["hold"] async for order in found]


async def test_a_reservation_creates_an_order_with_the_price_and_15_minutes_to_pay(orders: Served) -> None:
    ticket = await on_sale(price="19.90")
    before = now()
    order = await reserve(orders, ticket)
    assert order == {
        "id": order["id"],
        "status": "created",
        "userId": ANN,
        "expiresAt": order["expiresAt"],
        "version": 0,
        "cancelReason": None,
        "holdRefused": False,
        "cancelledByOperator": False,
        "relisted": False,
        "canExtend": False,
        "code": order["code"],
        **dict.fromkeys(("delivery", "deliverBy", "deliveredAt", "confirmedAt", "overdueAt")),
        **dict.fromkeys(("formerStartsAt", "problem", "problemUntil")),
        "canReport": False,
        "confirmedByBuyer": False,
        "photos": [],
        "refundDue": 0,
        "ticket": {"id": ticket, "title": "Hamlet", "price": 19.9, "version": 0, **NO_DETAILS_IN_JSON},
    }
    assert before <= datetime.fromisoformat(order["expiresAt"]) - timedelta(minutes=15) <= now()
    shown = await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)
    assert (shown.status_code, shown.json()) == (200, order)


async def test_a_reservation_publishes_one_event_with_the_complete_order(orders: Served) -> None:
    ticket = await on_sale(price="19.90", **DETAILS)
    order = await reserve(orders, ticket)
    ((subject, body),) = await orders.outbox("orders", order["id"])
    assert subject == "order.created"
    assert (body.pop("hold"), body.pop("refundedAmount"), body.pop("dispute")) == (1, 0, None)
    assert (body.pop("sellerId"), body.pop("paidAt"), body.pop("refundedAt")) == (SELLER, None, None)
    assert (body.pop("dateChanges"), body.pop("dateChangedAt"), body.pop("latestStartsAt")) == (0, None, None)
    unreported = ("problemAt", "problemKind", "problemAnswerBy", "problemAnsweredAt", "problemDecidedAt")
    assert not any(body.pop(name) for name in (*unreported, "remindedAt"))
    only_shown = ("canExtend", "canReport", "confirmedByBuyer", "photos", "problemUntil")
    assert not any(order.pop(name) for name in only_shown)
    assert order["ticket"].pop("version") == 0
    assert body == order


async def test_an_order_keeps_the_ticket_details_from_the_time_of_the_reservation(orders: Served) -> None:
    ticket = await on_sale(**DETAILS)
    order = await reserve(orders, ticket)
    assert {name: order["ticket"][name] for name in DETAILS_IN_JSON} == DETAILS_IN_JSON
    await follow_ticket_event(ticket, 1, status="reserved", **{**DETAILS, "seat": "Row 5", "picture": None})
    assert (await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)).json() == order
    assert (await orders.ask("GET", "/api/orders", by=ANN)).json() == [order]


async def test_the_time_to_pay_is_configurable(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with(expiration_window_seconds=2.5)) as orders:
        ticket, before = await on_sale(), now()
        order = await reserve(orders, ticket)
        assert before <= datetime.fromisoformat(order["expiresAt"]) - timedelta(seconds=2.5) <= now()


async def test_only_one_of_twenty_concurrent_reservations_of_a_ticket_succeeds(orders: Served) -> None:
    ticket = await on_sale()
    answers = await asyncio.gather(*(request_reservation(orders, ticket, new_id()) for _ in range(20)))
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(refused) == 19
    for answer in refused:
        assert messages(answer, 409) == ["Ticket is already reserved"]
        assert answer.json()["type"] == "/problems/ticket-reserved"
    assert await hold_numbers(orders, ticket) == [1]


async def test_control_without_the_unique_index_several_buyers_reserve_a_ticket(orders: Served) -> None:
    await orders.database["orders"].drop_index(ONE_ORDER_A_TICKET)
    ticket = await on_sale()
    counted = await count_statuses(*(request_reservation(orders, ticket, new_id()) for _ in range(20)))
    assert counted[201] > 1


async def test_a_sixth_live_reservation_is_refused(orders: Served) -> None:
    for _ in range(5):
        await reserve(orders, await on_sale())
    answer = await request_reservation(orders, await on_sale())
    assert messages(answer, 429) == ["You already hold 5 tickets. Pay for one or release one first"]
    await reserve(orders, await on_sale(), by=BOB)


async def test_only_five_of_twelve_concurrent_reservations_of_one_user_succeed(orders: Served) -> None:
    tickets = [await on_sale() for _ in range(12)]
    assert await count_statuses(*(request_reservation(orders, ticket) for ticket in tickets)) == {
        201: 5,
        429: 7,
    }


async def test_control_without_the_unique_index_one_user_gets_more_than_five_reservations(
    orders: Served,
) -> None:
    await orders.database["orders"].drop_index(ONE_ORDER_A_SLOT)
    tickets = [await on_sale() for _ in range(12)]
    assert (await count_statuses(*(request_reservation(orders, ticket) for ticket in tickets)))[201] > 5


async def test_a_cancelled_or_paid_reservation_no_longer_counts_towards_the_limit(orders: Served) -> None:
    first, second, *_ = [await reserve(orders, await on_sale()) for _ in range(5)]
    await orders.ask("DELETE", f"/api/orders/{first['id']}", by=ANN)
    await reserve(orders, await on_sale())
    await confirm_hold(second)
    await actions.follow_payment(payment_of(second, "authorized"), WINDOW)
    await reserve(orders, await on_sale())
    assert (await request_reservation(orders, await on_sale())).status_code == 429


async def test_the_maximum_number_of_live_reservations_is_configurable(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with(max_live_reservations=1)) as orders:
        tickets = [await on_sale() for _ in range(3)]
        assert await count_statuses(*(request_reservation(orders, ticket) for ticket in tickets)) == {
            201: 1,
            429: 2,
        }


async def test_a_seller_cannot_reserve_their_own_ticket(orders: Served) -> None:
    ticket = await on_sale()
    assert messages(await request_reservation(orders, ticket, by=SELLER), 403) == [
        "You can't buy your own ticket"
    ]
    assert await hold_numbers(orders, ticket) == []


async def test_a_withdrawn_ticket_cannot_be_reserved(orders: Served) -> None:
    ticket = await on_sale()
    await follow_ticket_event(ticket, 1, status="withdrawn")
    assert messages(await request_reservation(orders, ticket), 409) == ["Ticket is no longer for sale"]


async def test_a_paid_ticket_cannot_be_reserved_again(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserve(orders, ticket)
    await confirm_hold(order)
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    assert messages(await request_reservation(orders, ticket, by=BOB), 409) == ["Ticket is already reserved"]


async def test_a_buyer_who_reserves_a_ticket_twice_gets_the_same_order(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserve(orders, ticket)
    again = await request_reservation(orders, ticket)
    assert (again.status_code, again.json()) == (200, order)


async def test_a_buyer_with_all_reservations_taken_still_gets_the_order_of_a_held_ticket(
    orders: Served,
) -> None:
    held = [await on_sale() for _ in range(5)]
    for ticket in held:
        await reserve(orders, ticket)
    assert {(await request_reservation(orders, ticket)).status_code for ticket in held} == {200}


async def test_concurrent_reservations_of_one_buyer_all_lead_to_one_order(orders: Served) -> None:
    ticket = await on_sale()
    answers = await asyncio.gather(*(request_reservation(orders, ticket) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1


async def test_control_without_the_look_at_the_existing_order_a_repeated_reservation_is_refused(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: object) -> None:
        """Find no order."""

    monkeypatch.setattr(actions, "_held_by", nothing)
    ticket = await on_sale()
    assert await count_statuses(*(request_reservation(orders, ticket) for _ in range(6))) == {201: 1, 409: 5}


async def test_a_buyer_who_has_paid_cannot_reserve_the_ticket_again(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserve(orders, ticket)
    await confirm_hold(order)
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    assert messages(await request_reservation(orders, ticket), 409) == ["Ticket is already reserved"]


async def test_an_order_has_a_random_number_that_its_event_contains(orders: Served) -> None:
    tickets = [await on_sale() for _ in range(5)]
    numbers = [(await reserve(orders, ticket))["code"] for ticket in tickets]
    assert len(set(numbers)) == 5
    for number in numbers:
        assert re.fullmatch(f"[{CODE_LETTERS}]{{{CODE_LENGTH}}}", number)


async def test_an_order_number_that_exists_is_not_given_again(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = iter("A" * CODE_LENGTH + "A" * CODE_LENGTH + "B" * CODE_LENGTH)
    monkeypatch.setattr(secrets, "choice", lambda _: next(letters))
    assert (await reserve(orders, await on_sale()))["code"] == "A" * CODE_LENGTH
    assert (await reserve(orders, await on_sale()))["code"] == "B" * CODE_LENGTH


async def test_an_order_from_before_there_were_numbers_has_none(orders: Served) -> None:
    order = await reserve(orders, await on_sale())
    other = await reserve(orders, await on_sale())
    await orders.database["orders"].update_many({}, {"$unset": {"code": ""}})
    for key in (order["id"], other["id"]):
        assert (await orders.ask("GET", f"/api/orders/{key}", by=ANN)).json()["code"] is None


@pytest.mark.parametrize(
    "unknown",
    ["7", "no id", "0" * 23, "g" * 24, old_id(), new_id()],
    ids=["digit", "words", "too short", "not hexadecimal", "old id", "new id"],
)
async def test_a_reservation_of_an_unknown_ticket_is_not_found(orders: Served, unknown: str) -> None:
    assert messages(await request_reservation(orders, unknown), 404) == ["Not found"]


async def test_a_reservation_asks_for_a_ticket_whose_event_has_not_arrived(orders: Served) -> None:
    key = new_id()
    ticket = PublicTicket(
        id=key,
        version=3,
        title="Hamlet",
        price=Decimal("19.90"),
        user_id=SELLER,
        status="available",
        **DETAILS,
    )
    tickets: FakeOwner = orders.app.state.tickets
    tickets.known[f"/api/tickets/{key}"] = ticket
    order = await reserve(orders, key.upper())
    assert order["ticket"] == {"id": key, "title": "Hamlet", "price": 19.9, "version": 3, **DETAILS_IN_JSON}
    await follow_ticket_event(key, 2, status="available", price="1")
    await follow_ticket_event(key, 4, status="available", price="20")
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    assert (await reserve(orders, key))["ticket"]["price"] == 20
    assert tickets.asked.count((f"/api/tickets/{key}", None)) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("ticketId", "TicketId must be provided")]),
        ({"ticketId": ""}, [("ticketId", "TicketId must be provided")]),
        ({"ticketId": "  "}, [("ticketId", "TicketId must be provided")]),
        ({"ticketId": None}, [("ticketId", "TicketId must be text")]),
        ({"ticketId": {"$ne": ""}}, [("ticketId", "TicketId must be text")]),
        ({"ticketId": "x", "price": 1}, [("price", "Price isn't a known field")]),
    ],
)
async def test_the_error_for_an_invalid_reservation_names_the_invalid_field(
    orders: Served, body: object, expected: list[tuple[str, str]]
) -> None:
    assert refusal(await orders.ask("POST", "/api/orders", by=ANN, json=body), 400) == expected


async def test_a_reservation_uses_the_price_of_the_newest_ticket_version(orders: Served) -> None:
    ticket = await on_sale(price="10")
    await follow_ticket_event(ticket, 2, status="available", price="30")
    await follow_ticket_event(ticket, 1, status="available", price="20")
    order = await reserve(orders, ticket)
    assert (order["ticket"]["price"], order["ticket"]["version"]) == (30, 2)
    await follow_ticket_event(ticket, 3, status="available", price="40")
    shown = await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)
    assert shown.json() == order


async def test_the_holds_of_a_ticket_are_numbered_without_gaps(orders: Served) -> None:
    ticket = await on_sale()
    for buyer in (ANN, BOB, ANN):
        order = await reserve(orders, ticket, by=buyer)
        other_buyers = [request_reservation(orders, ticket, new_id()) for _ in range(3)]
        assert await count_statuses(*other_buyers) == {409: 3}
        await orders.ask("DELETE", f"/api/orders/{order['id']}", by=buyer)
    await reserve(orders, ticket, by=new_id())
    assert await hold_numbers(orders, ticket) == [1, 2, 3, 4]


async def test_a_second_hold_gets_the_next_number_even_if_the_ticket_still_seems_unchanged(
    orders: Served,
) -> None:
    ticket = await on_sale()
    first = await reserve(orders, ticket, by=BOB)
    await orders.ask("DELETE", f"/api/orders/{first['id']}", by=BOB)
    await reserve(orders, ticket)
    assert await hold_numbers(orders, ticket) == [1, 2]


async def test_concurrent_reservations_of_a_ticket_use_a_single_hold_number(
    orders: Served,
) -> None:
    ticket = await on_sale()
    for number in range(1, 4):
        counted = await count_statuses(*(request_reservation(orders, ticket, new_id()) for _ in range(6)))
        assert counted == {201: 1, 409: 5}
        assert await hold_numbers(orders, ticket) == list(range(1, number + 1))
        found = await orders.database["orders"].find_one({"ticket_id": ticket, "active": True})
        assert found is not None
        await actions.cancel(str(found["_id"]), found["user_id"])


async def test_a_reservation_whose_hold_number_was_just_used_gets_the_next_number(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _hold_numbers_after_a_race(orders, monkeypatch) == [1, 2]


async def test_control_without_the_unique_index_two_orders_get_the_same_hold_number(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await orders.database["orders"].drop_index(ONE_ORDER_A_HOLD)
    assert await _hold_numbers_after_a_race(orders, monkeypatch) == [1, 1]


async def _hold_numbers_after_a_race(orders: Served, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Reserve a ticket while another buyer reserves and cancels, and return all hold numbers.

    The other buyer does so after the next hold number was read and before the order is inserted.
    """
    ticket = await on_sale()
    await follow_ticket_event(ticket, 1, status="available")  # the first hold of an unchanged ticket is 1
    reserve_and_release_after_the_read(orders, monkeypatch, ticket, by=BOB)
    await reserve(orders, ticket)
    return await hold_numbers(orders, ticket)


def reserve_and_release_after_the_read(
    orders: Served, monkeypatch: pytest.MonkeyPatch, ticket: str, *, by: str
) -> None:
    """Let `by` reserve and release the ticket once, after a request has read the past holds."""
    of_ticket = holds.of_ticket

    async def read_before_another_reservation(key: str) -> holds.TicketHolds:
        monkeypatch.setattr(holds, "of_ticket", of_ticket)
        past = await of_ticket(key)
        other = await reserve(orders, ticket, by=by)
        await orders.ask("DELETE", f"/api/orders/{other['id']}", by=by)
        return past

    monkeypatch.setattr(holds, "of_ticket", read_before_another_reservation)
