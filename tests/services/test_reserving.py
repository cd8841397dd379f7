import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic.alias_generators import to_camel

from contracts.wire import now
from services.kit import copies
from services.orders import actions
from services.orders.documents import ONE_ORDER_A_HOLD, ONE_ORDER_A_SLOT, ONE_ORDER_A_TICKET
from services.orders.rules import Details
from tests.people import PATIENCE
from tests.services.conftest import SettingsWith
from tests.services.market import SELLER, WINDOW, on_sale, payment_of, told_of_ticket
from tests.services.served import Served, messages, new_id, old_id, refusal, serving

ANN, BOB = new_id(), new_id()

TOLD: dict[str, Any] = {
    "starts_at": datetime(2031, 5, 1, 18, tzinfo=UTC),
    "venue": "Globe",
    "city": "London",
    "time_zone": "Europe/London",
    "category": "theatre",
    "seat": "Row 4",
    "quantity": 2,
    "picture": "5eed" * 16,
}
SAID = {**{to_camel(name): value for name, value in TOLD.items()}, "startsAt": "2031-05-01T18:00:00Z"}
NOTHING_MORE = {**dict.fromkeys(SAID), "quantity": 1}


async def reserve(orders: Served, ticket: str, by: str = ANN) -> httpx.Response:
    return await orders.ask("POST", "/api/orders", by=by, json={"ticketId": ticket})


async def reserved(orders: Served, ticket: str, by: str = ANN) -> dict[str, Any]:
    answer = await reserve(orders, ticket, by)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def outcomes(*asked: Any) -> dict[int, int]:
    """How many of these requests, sent at once, got which status."""
    return dict(Counter(answer.status_code for answer in await asyncio.gather(*asked)))


async def holds(orders: Served, ticket: str) -> list[int]:
    found = orders.database["orders"].find({"ticket_id": ticket}, {"hold": 1}).sort("hold", 1)
    return [order["hold"] async for order in found]


async def test_a_reservation_holds_the_ticket_at_its_price(orders: Served) -> None:
    ticket = await on_sale(price="19.90")
    before = now()
    order = await reserved(orders, ticket)
    assert order == {
        "id": order["id"],
        "status": "created",
        "userId": ANN,
        "expiresAt": order["expiresAt"],
        "version": 0,
        "cancelReason": None,
        "relisted": False,
        "canExtend": False,
        "ticket": {"id": ticket, "title": "Hamlet", "price": 19.9, "version": 0, **NOTHING_MORE},
    }
    assert before <= datetime.fromisoformat(order["expiresAt"]) - timedelta(minutes=15) <= now()
    shown = await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)
    assert (shown.status_code, shown.json()) == (200, order)


async def test_a_reservation_leaves_one_event_with_all_of_the_order(orders: Served) -> None:
    ticket = await on_sale(price="19.90", **TOLD)
    order = await reserved(orders, ticket)
    ((subject, body),) = await orders.outbox("orders", order["id"])
    assert subject == "order.created"
    assert body.pop("hold") == 1
    assert order.pop("canExtend") is False
    assert order["ticket"].pop("version") == 0
    assert body == order


async def test_an_order_keeps_what_the_ticket_said_when_it_was_reserved(orders: Served) -> None:
    ticket = await on_sale(**TOLD)
    order = await reserved(orders, ticket)
    assert {name: order["ticket"][name] for name in SAID} == SAID
    await told_of_ticket(ticket, 1, status="reserved", **{**TOLD, "seat": "Row 5", "picture": None})
    assert (await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)).json() == order
    assert (await orders.ask("GET", "/api/orders", by=ANN)).json() == [order]


async def test_an_order_and_a_ticket_from_before_details_were_kept_are_like_others(orders: Served) -> None:
    ticket = await on_sale(**TOLD)
    forgotten = {"$unset": dict.fromkeys(Details.model_fields, "")}
    await orders.database["tickets"].update_many({}, forgotten)
    order = await reserved(orders, ticket)
    await orders.database["orders"].update_many({}, {"$unset": {"details": ""}})
    shown = (await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)).json()
    assert shown == order
    assert {name: shown["ticket"][name] for name in NOTHING_MORE} == NOTHING_MORE
    assert (await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)).status_code == 204


async def test_a_ticket_that_is_told_again_fills_what_was_not_known(orders: Served) -> None:
    ticket = await on_sale()
    await told_of_ticket(ticket, 0, status="available", **TOLD)
    await told_of_ticket(ticket, 0, status="available")  # by a publisher that knows no details
    order = await reserved(orders, ticket)
    assert {name: order["ticket"][name] for name in SAID} == SAID


async def test_the_time_to_pay_is_a_setting(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with(expiration_window_seconds=2.5)) as orders:
        ticket, before = await on_sale(), now()
        order = await reserved(orders, ticket)
        assert before <= datetime.fromisoformat(order["expiresAt"]) - timedelta(seconds=2.5) <= now()


async def test_of_twenty_who_reserve_one_ticket_at_once_one_gets_it(orders: Served) -> None:
    ticket = await on_sale()
    answers = await asyncio.gather(*(reserve(orders, ticket, new_id()) for _ in range(20)))
    lost = [answer for answer in answers if answer.status_code != 201]
    assert len(lost) == 19
    for answer in lost:
        assert messages(answer, 409) == ["Ticket is already reserved"]
        assert answer.json()["type"] == "/problems/ticket-reserved"
    assert await holds(orders, ticket) == [1]


async def test_control_without_its_index_a_ticket_goes_to_several_buyers(orders: Served) -> None:
    await orders.database["orders"].drop_index(ONE_ORDER_A_TICKET)
    ticket = await on_sale()
    counted = await outcomes(*(reserve(orders, ticket, new_id()) for _ in range(20)))
    assert counted[201] > 1


async def test_a_sixth_live_reservation_is_refused(orders: Served) -> None:
    for _ in range(5):
        await reserved(orders, await on_sale())
    answer = await reserve(orders, await on_sale())
    assert messages(answer, 429) == ["You already hold 5 tickets. Pay for one or let one go first"]
    await reserved(orders, await on_sale(), by=BOB)


async def test_of_twelve_reservations_of_one_user_at_once_five_succeed(orders: Served) -> None:
    tickets = [await on_sale() for _ in range(12)]
    assert await outcomes(*(reserve(orders, ticket) for ticket in tickets)) == {201: 5, 429: 7}


async def test_control_without_its_index_one_user_gets_more_reservations(orders: Served) -> None:
    await orders.database["orders"].drop_index(ONE_ORDER_A_SLOT)
    tickets = [await on_sale() for _ in range(12)]
    assert (await outcomes(*(reserve(orders, ticket) for ticket in tickets)))[201] > 5


async def test_a_reservation_that_is_over_or_paid_makes_room_for_another(orders: Served) -> None:
    first, second, *_ = [await reserved(orders, await on_sale()) for _ in range(5)]
    await orders.ask("DELETE", f"/api/orders/{first['id']}", by=ANN)
    await reserved(orders, await on_sale())
    await actions.follow_payment(payment_of(second, "authorized"), WINDOW)
    await reserved(orders, await on_sale())
    assert (await reserve(orders, await on_sale())).status_code == 429


async def test_the_number_of_reservations_is_a_setting(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with(max_live_reservations=1)) as orders:
        tickets = [await on_sale() for _ in range(3)]
        assert await outcomes(*(reserve(orders, ticket) for ticket in tickets)) == {201: 1, 429: 2}


async def test_ones_own_ticket_cannot_be_bought(orders: Served) -> None:
    ticket = await on_sale()
    assert messages(await reserve(orders, ticket, by=SELLER), 403) == ["You can't buy your own ticket"]
    assert await holds(orders, ticket) == []


async def test_a_withdrawn_ticket_cannot_be_reserved(orders: Served) -> None:
    ticket = await on_sale()
    await told_of_ticket(ticket, 1, status="withdrawn")
    assert messages(await reserve(orders, ticket), 409) == ["Ticket is no longer for sale"]


async def test_a_paid_ticket_cannot_be_reserved_again(orders: Served) -> None:
    ticket = await on_sale()
    await actions.follow_payment(payment_of(await reserved(orders, ticket), "authorized"), WINDOW)
    assert messages(await reserve(orders, ticket, by=BOB), 409) == ["Ticket is already reserved"]


async def test_holding_a_ticket_one_cannot_reserve_it_again(orders: Served) -> None:
    ticket = await on_sale()
    await reserved(orders, ticket)
    assert messages(await reserve(orders, ticket), 409) == ["Ticket is already reserved"]


@pytest.mark.parametrize(
    "unknown", ["7", "no id", "0" * 23, "g" * 24, old_id()], ids=["digit", "words", "short", "letters", "old"]
)
async def test_an_unknown_ticket_cannot_be_reserved_and_isnt_waited_for(
    orders: Served, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PATIENCE", timedelta(hours=1))
    async with asyncio.timeout(PATIENCE):
        assert messages(await reserve(orders, unknown), 404) == ["Not found"]


async def test_a_ticket_that_was_offered_just_now_is_waited_for(orders: Served) -> None:
    ticket = new_id()
    asked = asyncio.create_task(reserve(orders, ticket))
    done, _ = await asyncio.wait({asked}, timeout=0.1)
    assert not done
    await told_of_ticket(ticket, 0, status="available")
    assert (await asked).status_code == 201


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
async def test_a_reservation_names_what_is_wrong(
    orders: Served, body: object, expected: list[tuple[str, str]]
) -> None:
    assert refusal(await orders.ask("POST", "/api/orders", by=ANN, json=body), 400) == expected


async def test_the_price_is_that_of_the_newest_state_whatever_came_when(orders: Served) -> None:
    ticket = await on_sale(price="10")
    await told_of_ticket(ticket, 2, status="available", price="30")
    await told_of_ticket(ticket, 1, status="available", price="20")
    order = await reserved(orders, ticket)
    assert (order["ticket"]["price"], order["ticket"]["version"]) == (30, 2)
    await told_of_ticket(ticket, 3, status="available", price="40")
    shown = await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)
    assert shown.json() == order


async def test_the_holds_of_a_ticket_are_numbered_without_gaps(orders: Served) -> None:
    ticket = await on_sale()
    for buyer in (ANN, BOB, ANN):
        order = await reserved(orders, ticket, by=buyer)
        rivals = [reserve(orders, ticket, new_id()) for _ in range(3)]
        assert await outcomes(*rivals) == {409: 3}
        await orders.ask("DELETE", f"/api/orders/{order['id']}", by=buyer)
    await reserved(orders, ticket)
    assert await holds(orders, ticket) == [1, 2, 3, 4]


async def test_rivals_for_a_ticket_that_was_freed_get_one_number_each(orders: Served) -> None:
    ticket = await on_sale()
    for turn in range(1, 4):
        counted = await outcomes(*(reserve(orders, ticket, new_id()) for _ in range(6)))
        assert counted == {201: 1, 409: 5}
        assert await holds(orders, ticket) == list(range(1, turn + 1))
        found = await orders.database["orders"].find_one({"ticket_id": ticket, "active": True})
        assert found is not None
        await actions.cancel(str(found["_id"]), found["user_id"])


async def test_whoever_was_overtaken_by_a_whole_reservation_gets_the_next_number(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _holds_when_overtaken(orders, monkeypatch) == [1, 2]


async def test_control_without_its_index_two_holds_get_one_number(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await orders.database["orders"].drop_index(ONE_ORDER_A_HOLD)
    assert await _holds_when_overtaken(orders, monkeypatch) == [1, 1]


async def _holds_when_overtaken(orders: Served, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Between the look for a number and the insert, somebody else reserves and lets go."""
    ticket, look = await on_sale(), actions._next_hold

    async def slow_look(key: str) -> int:
        monkeypatch.setattr(actions, "_next_hold", look)
        number = await look(key)
        rivals = await reserved(orders, ticket, by=BOB)
        await orders.ask("DELETE", f"/api/orders/{rivals['id']}", by=BOB)
        return number

    monkeypatch.setattr(actions, "_next_hold", slow_look)
    await reserved(orders, ticket)
    return await holds(orders, ticket)
