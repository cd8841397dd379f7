"""A buyer who needs longer gets more time to pay, within bounds."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.wire import now
from services.orders import actions, api
from tests.services.market import on_sale, time_is_over
from tests.services.served import Served, messages, new_id

ANN, BOB = new_id(), new_id()


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.late = timedelta()

    def now(self) -> datetime:
        return now() + self.late

    def wait(self, minutes: float) -> None:
        self.late += timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(actions, "now", clock.now)
    monkeypatch.setattr(api, "now", clock.now)
    return clock


async def reserved(orders: Served) -> dict[str, Any]:
    answer = await orders.ask("POST", "/api/orders", by=ANN, json={"ticketId": await on_sale()})
    assert answer.status_code == 201
    order: dict[str, Any] = answer.json()
    return order


async def more_time(orders: Served, order: dict[str, Any], by: str = ANN) -> Any:
    return await orders.ask("POST", f"/api/orders/{order['id']}/extend", by=by)


async def shown(orders: Served, order: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)).json()
    return found


def minutes_between(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    span = datetime.fromisoformat(later["expiresAt"]) - datetime.fromisoformat(earlier["expiresAt"])
    return span.total_seconds() / 60


async def test_more_time_is_offered_when_little_is_left(orders: Served, clock: Clock) -> None:
    order = await reserved(orders)
    assert order["canExtend"] is False
    assert messages(await more_time(orders, order), 409) == ["There is no more time to be had for this order"]
    clock.wait(11)
    assert (await shown(orders, order))["canExtend"] is True


async def test_the_second_extension_ends_with_thirty_minutes_and_there_is_no_third(
    orders: Served, clock: Clock
) -> None:
    order = await reserved(orders)
    clock.wait(12)
    first = (await more_time(orders, order)).json()
    assert minutes_between(order, first) == pytest.approx(12, abs=0.2)
    assert first["canExtend"] is False
    clock.wait(12)
    second = (await more_time(orders, first)).json()
    assert minutes_between(order, second) == pytest.approx(15, abs=0.2)
    clock.wait(5)
    assert (await shown(orders, order))["canExtend"] is False
    assert (await more_time(orders, second)).status_code == 409


async def test_more_time_is_told_and_the_earlier_timer_ends_nothing(orders: Served, clock: Clock) -> None:
    order = await reserved(orders)
    clock.wait(12)
    extended = (await more_time(orders, order)).json()
    events = await orders.outbox("orders", order["id"])
    assert [(subject, body["expiresAt"]) for subject, body in events] == [
        ("order.created", order["expiresAt"]),
        ("order.updated", extended["expiresAt"]),
    ]
    await actions.expire(time_is_over(order))
    assert (await shown(orders, order))["status"] == "created"
    await actions.expire(time_is_over(extended))
    assert (await shown(orders, order))["status"] == "cancelled"


async def test_asking_twice_at_once_gives_it_once(orders: Served, clock: Clock) -> None:
    order = await reserved(orders)
    clock.wait(12)
    answers = await asyncio.gather(*(more_time(orders, order) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_nobody_else_and_nothing_that_is_over_gets_more_time(orders: Served, clock: Clock) -> None:
    order = await reserved(orders)
    clock.wait(12)
    assert (await more_time(orders, order, BOB)).status_code == 403
    assert (await orders.ask("POST", f"/api/orders/{order['id']}/extend")).status_code == 401
    assert (await more_time(orders, {"id": new_id()})).status_code == 404
    clock.wait(4)
    assert (await more_time(orders, order)).status_code == 409
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    assert (await more_time(orders, order)).status_code == 409
