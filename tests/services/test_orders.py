import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.orders import actions
from tests.services.market import WINDOW, on_sale, payment_of, time_is_over
from tests.services.served import Served, messages, new_id, old_id

ANN, BOB = new_id(), new_id()


async def reserved(orders: Served, *, ticket: str | None = None, by: str = ANN) -> dict[str, Any]:
    body = {"ticketId": ticket or await on_sale()}
    answer = await orders.ask("POST", "/api/orders", by=by, json=body)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def status_of(orders: Served, order: dict[str, Any]) -> str:
    answer = await orders.ask("GET", f"/api/orders/{order['id']}", by=order["userId"])
    assert answer.status_code == 200
    return str(answer.json()["status"])


async def told(orders: Served, order: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Subject, version and status of each event that an order left."""
    events = await orders.outbox("orders", order["id"])
    return [(subject, body["version"], body["status"]) for subject, body in events]


async def test_letting_go_cancels_once_however_often_it_is_asked(orders: Served) -> None:
    order = await reserved(orders)
    path = f"/api/orders/{order['id']}"
    answers = await asyncio.gather(*(orders.ask("DELETE", path, by=ANN) for _ in range(4)))
    answers.append(await orders.ask("DELETE", path, by=ANN))
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 5
    assert await status_of(orders, order) == "cancelled"
    assert await told(orders, order) == [("order.created", 0, "created"), ("order.cancelled", 1, "cancelled")]


async def reasons(orders: Served, order: dict[str, Any]) -> list[str | None]:
    """Why the order is cancelled: as its buyer sees it and as its events say, the newest last."""
    shown = await orders.ask("GET", f"/api/orders/{order['id']}", by=order["userId"])
    events = await orders.outbox("orders", order["id"])
    return [shown.json()["cancelReason"], *(body["cancelReason"] for _, body in events)]


async def test_an_order_that_its_buyer_let_go_of_says_so_whatever_the_timer_says_later(
    orders: Served,
) -> None:
    order = await reserved(orders)
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    await actions.expire(time_is_over(order))
    assert await reasons(orders, order) == ["buyer", None, "buyer"]


async def test_an_order_that_was_not_paid_in_time_says_so_although_its_buyer_cancels_it_later(
    orders: Served,
) -> None:
    order = await reserved(orders)
    await actions.expire(time_is_over(order))
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    assert await reasons(orders, order) == ["expired", None, "expired"]


async def test_an_order_that_is_not_cancelled_has_no_reason_to_be(orders: Served) -> None:
    order = await reserved(orders)
    assert order["cancelReason"] is None
    for status in ("pending", "authorized"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await reasons(orders, order) == [None] * 4


async def test_a_ticket_that_was_let_go_can_be_reserved_by_the_next(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserved(orders, ticket=ticket)
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    await reserved(orders, ticket=ticket, by=BOB)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_only_the_buyer_can_see_and_cancel_an_order(orders: Served, method: str) -> None:
    order = await reserved(orders)
    answer = await orders.ask(method, f"/api/orders/{order['id']}", by=BOB)
    assert messages(answer, 403) == ["That order isn't yours"]
    assert await status_of(orders, order) == "created"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "unknown", [old_id(), new_id(), "7", "g" * 24, "0" * 25], ids=["old", "new", "digit", "letters", "long"]
)
async def test_an_unknown_order_is_not_found(orders: Served, method: str, unknown: str) -> None:
    assert messages(await orders.ask(method, f"/api/orders/{unknown}", by=ANN), 404) == ["Not found"]


async def test_a_completed_order_cannot_be_cancelled_and_nothing_changes(orders: Served) -> None:
    order = await reserved(orders)
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    before = await orders.database["orders"].find_one()
    answer = await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    assert messages(answer, 409) == ["A completed order can't be cancelled"]
    await actions.expire(time_is_over(order))
    assert await orders.database["orders"].find_one() == before


async def test_buyers_see_their_own_orders_newest_first(orders: Served) -> None:
    first, second, third = [await reserved(orders) for _ in range(3)]
    await reserved(orders, by=BOB)
    await orders.ask("DELETE", f"/api/orders/{second['id']}", by=ANN)
    await actions.follow_payment(payment_of(first, "authorized"), WINDOW)
    answer = await orders.ask("GET", "/api/orders", by=ANN)
    assert answer.status_code == 200
    assert [(order["id"], order["status"]) for order in answer.json()] == [
        (third["id"], "created"),
        (second["id"], "cancelled"),
        (first["id"], "complete"),
    ]
    assert answer.json()[0] == third
    assert (await orders.ask("GET", "/api/orders", by=new_id())).json() == []


async def test_an_order_ends_when_its_time_is_over(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserved(orders, ticket=ticket)
    for _ in range(2):
        await actions.expire(time_is_over(order))
    assert await status_of(orders, order) == "cancelled"
    assert [version for _, version, _ in await told(orders, order)] == [0, 1]
    await reserved(orders, ticket=ticket, by=BOB)


async def test_a_timer_of_an_earlier_deadline_ends_nothing(orders: Served) -> None:
    order = await reserved(orders)
    await actions.expire(time_is_over(order, later=timedelta(seconds=-1)))
    assert await status_of(orders, order) == "created"


async def test_an_order_under_payment_ends_too_when_its_time_is_over(orders: Served) -> None:
    order = await reserved(orders)
    await actions.follow_payment(payment_of(order, "pending"), WINDOW)
    assert await status_of(orders, order) == "awaiting:payment"
    await actions.expire(time_is_over(order))
    assert await told(orders, order) == [
        ("order.created", 0, "created"),
        ("order.updated", 1, "awaiting:payment"),
        ("order.cancelled", 2, "cancelled"),
    ]


async def test_an_authorized_payment_completes_the_order_once(orders: Served) -> None:
    order = await reserved(orders)
    for status in ("authorized", "authorized", "captured", "pending", "failed"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await told(orders, order) == [("order.created", 0, "created"), ("order.updated", 1, "complete")]


async def test_a_declined_payment_leaves_the_reservation_as_it_is(orders: Served) -> None:
    order = await reserved(orders)
    await actions.follow_payment(payment_of(order, "failed"), WINDOW)
    assert await status_of(orders, order) == "created"


async def test_a_late_payment_does_not_revive_a_cancelled_order(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserved(orders, ticket=ticket)
    await actions.expire(time_is_over(order))
    await reserved(orders, ticket=ticket, by=BOB)
    for status in ("pending", "authorized", "captured"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await status_of(orders, order) == "cancelled"
    assert len(await told(orders, order)) == 2


@pytest.mark.parametrize("amount", [1998, 2000, 1])
async def test_a_payment_of_another_amount_completes_nothing(
    orders: Served, amount: int, caplog: pytest.LogCaptureFixture
) -> None:
    order = await reserved(orders)
    await actions.follow_payment(payment_of(order, "authorized", amount=amount), WINDOW)
    assert await status_of(orders, order) == "created"
    assert f"not of the price of order {order['id']}" in caplog.text


async def test_of_a_payment_and_a_cancellation_at_once_one_decides(orders: Served) -> None:
    for _ in range(5):
        order = await reserved(orders)
        await asyncio.gather(
            actions.follow_payment(payment_of(order, "authorized"), WINDOW),
            actions.expire(time_is_over(order)),
        )
        events = await told(orders, order)
        assert [version for _, version, _ in events] == [0, 1]
        status = await status_of(orders, order)
        assert events[-1][2] == status
        assert status in ("complete", "cancelled")
        if status == "complete":
            assert (await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)).status_code == 409


async def test_hearing_of_one_thing_many_times_at_once_publishes_each_version_once(orders: Served) -> None:
    order = await reserved(orders)
    heard = [payment_of(order, status) for status in ("pending", "pending", "authorized", "captured")]
    await asyncio.gather(*(actions.follow_payment(payment, WINDOW) for payment in heard * 3))
    versions = [version for _, version, _ in await told(orders, order)]
    assert versions == list(range(len(versions)))
    assert (await told(orders, order))[-1][2] == "complete"
