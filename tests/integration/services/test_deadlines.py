"""The deadline of an order: the grace period, pending payments, and the sweep that replaces lost timers."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from contracts.events import GRACE
from services.orders import actions, rules
from services.orders.rules import MAX_CONFIRMATION, MAX_PENDING
from tests.support.events import WINDOW, confirm_hold, fire_timer, on_sale, orders_at, payment_of
from tests.support.service import Served, new_id

SECOND = timedelta(seconds=1)


async def reserve(orders: Served, *, held: bool = True) -> dict[str, Any]:
    answer = await orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": await on_sale()})
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    if held:
        await confirm_hold(order)
    return order


def deadline_of(order: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(order["expiresAt"])


async def status_of(orders: Served, order: dict[str, Any]) -> str:
    answer = await orders.ask("GET", f"/api/orders/{order['id']}", by=order["userId"])
    return str(answer.json()["status"])


async def authorize(order: dict[str, Any], late: timedelta) -> None:
    """Deliver the event that the price was authorized at this time after the deadline."""
    event = payment_of(order, "authorized", authorized_at=deadline_of(order) + late)
    await actions.follow_payment(event, WINDOW)


async def sweep(order: dict[str, Any], after: timedelta) -> None:
    """Run the sweep at this time after the order's deadline. No timer fires."""
    with orders_at(deadline_of(order) + after):
        await actions.sweep()


async def status_if_paid_in_time_but_told_after_the_timer(orders: Served) -> str:
    order = await reserve(orders)
    await fire_timer(order, after=GRACE - SECOND)
    await authorize(order, -SECOND)
    return await status_of(orders, order)


async def test_a_buyer_who_paid_in_time_gets_the_ticket_although_the_timer_is_faster(orders: Served) -> None:
    assert await status_if_paid_in_time_but_told_after_the_timer(orders) == "complete"


async def test_without_the_grace_period_that_buyer_would_lose_the_ticket(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "GRACE", timedelta())
    assert await status_if_paid_in_time_but_told_after_the_timer(orders) == "cancelled"


async def test_an_authorization_after_the_deadline_buys_nothing_even_within_the_grace_period(
    orders: Served,
) -> None:
    order = await reserve(orders)
    await authorize(order, SECOND)
    assert await status_of(orders, order) == "created"
    await fire_timer(order)
    assert await status_of(orders, order) == "cancelled"


async def test_a_payment_that_was_authorized_in_time_completes_a_pending_order_long_after_its_timer(
    orders: Served,
) -> None:
    order = await reserve(orders)
    await actions.follow_payment(payment_of(order, "pending"), WINDOW)
    await fire_timer(order)
    await sweep(order, MAX_PENDING - SECOND)
    await authorize(order, -SECOND)
    assert await status_of(orders, order) == "complete"


async def test_an_order_whose_payment_stays_pending_is_cancelled_a_minute_after_its_deadline(
    orders: Served,
) -> None:
    order = await reserve(orders)
    await actions.follow_payment(payment_of(order, "pending"), WINDOW)
    for after, status in ((MAX_PENDING - SECOND, "awaiting:payment"), (MAX_PENDING, "cancelled")):
        await sweep(order, after)
        assert await status_of(orders, order) == status
    await authorize(order, -SECOND)
    assert await status_of(orders, order) == "cancelled"


@pytest.mark.parametrize("is_old", [False, True])
async def test_an_order_whose_timer_was_lost_is_cancelled_by_the_sweep(orders: Served, is_old: bool) -> None:
    order = await reserve(orders)
    if is_old:  # from before there were sweeps
        added = dict.fromkeys(rules.PRIVATE, 1)
        await orders.database["orders"].update_one({"_id": ObjectId(order["id"])}, {"$unset": added})
    for after, status in ((2 * GRACE - SECOND, "created"), (2 * GRACE, "cancelled")):
        await sweep(order, after)
        assert await status_of(orders, order) == status
    assert len(await orders.outbox("orders", order["id"])) == 2


async def test_without_the_sweep_an_order_whose_timer_was_lost_would_hold_its_ticket_forever(
    orders: Served,
) -> None:
    order = await reserve(orders)
    body = {"ticketId": order["ticket"]["id"]}
    with orders_at(deadline_of(order) + timedelta(days=365)):
        answer = await orders.ask("POST", "/api/orders", by=new_id(), json=body)
    assert answer.status_code == 409


async def test_concurrent_sweeps_and_timers_cancel_an_order_once(orders: Served) -> None:
    order = await reserve(orders)
    with orders_at(deadline_of(order) + 2 * GRACE):
        await asyncio.gather(actions.sweep(), actions.sweep(), actions.sweep())
    await fire_timer(order)
    assert len(await orders.outbox("orders", order["id"])) == 2


async def test_a_sweep_ends_the_oldest_orders_first_and_is_not_blocked_by_those_that_are_kept(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "SWEEP_BATCH", 2)
    waiting = [await reserve(orders, held=False) for _ in range(3)]
    for order in waiting:
        await authorize(order, -SECOND)
    overdue = [await reserve(orders) for _ in range(3)]
    await sweep(overdue[-1], 2 * GRACE)
    assert [await status_of(orders, order) for order in overdue] == ["cancelled", "cancelled", "created"]
    await sweep(overdue[-1], 2 * GRACE)
    assert await status_of(orders, overdue[-1]) == "cancelled"
    assert {await status_of(orders, order) for order in waiting} == {"created"}
    await sweep(overdue[-1], MAX_CONFIRMATION)
    assert sorted([await status_of(orders, order) for order in waiting]) == [
        "cancelled",
        "cancelled",
        "created",
    ]


async def test_an_unreadable_order_does_not_prevent_others_from_being_swept(
    orders: Served, caplog: pytest.LogCaptureFixture
) -> None:
    broken, order = await reserve(orders), await reserve(orders)
    await orders.database["orders"].update_one({"_id": ObjectId(broken["id"])}, {"$set": {"hold": "x"}})
    await sweep(order, 2 * GRACE)
    assert await status_of(orders, order) == "cancelled"
    assert f"order {broken['id']} is overdue and can't be cancelled" in caplog.text
