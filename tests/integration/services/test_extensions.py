"""Extensions of the time to pay, which a buyer may request up to twice."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.wire import now
from services.orders import actions, views
from tests.support.events import fire_timer, on_sale
from tests.support.service import Served, messages, new_id

ANN, BOB = new_id(), new_id()


class Clock:
    """The system clock, moved forward by the total time given to `advance`."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return now() + self.ahead

    def advance(self, minutes: float) -> None:
        self.ahead += timedelta(minutes=minutes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(actions, "now", clock.now)
    monkeypatch.setattr(views, "now", clock.now)
    return clock


async def reserve(orders: Served) -> dict[str, Any]:
    answer = await orders.ask("POST", "/api/orders", by=ANN, json={"ticketId": await on_sale()})
    assert answer.status_code == 201
    order: dict[str, Any] = answer.json()
    return order


async def extend(orders: Served, order: dict[str, Any], by: str = ANN) -> Any:
    return await orders.ask("POST", f"/api/orders/{order['id']}/extend", by=by)


async def shown(orders: Served, order: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)).json()
    return found


def minutes_between(earlier: dict[str, Any], later: dict[str, Any]) -> float:
    span = datetime.fromisoformat(later["expiresAt"]) - datetime.fromisoformat(earlier["expiresAt"])
    return span.total_seconds() / 60


async def test_an_order_can_be_extended_only_when_little_time_is_left(orders: Served, clock: Clock) -> None:
    order = await reserve(orders)
    assert order["canExtend"] is False
    assert messages(await extend(orders, order), 409) == ["The time to pay can no longer be extended"]
    clock.advance(11)
    assert (await shown(orders, order))["canExtend"] is True


async def test_extensions_end_thirty_minutes_after_the_reservation_and_a_third_is_refused(
    orders: Served, clock: Clock
) -> None:
    order = await reserve(orders)
    clock.advance(12)
    first = (await extend(orders, order)).json()
    assert minutes_between(order, first) == pytest.approx(12, abs=0.2)
    assert first["canExtend"] is False
    clock.advance(12)
    second = (await extend(orders, first)).json()
    assert minutes_between(order, second) == pytest.approx(15, abs=0.2)
    clock.advance(5)
    assert (await shown(orders, order))["canExtend"] is False
    assert (await extend(orders, second)).status_code == 409


async def test_an_extension_is_published_and_the_earlier_timer_does_not_cancel_the_order(
    orders: Served, clock: Clock
) -> None:
    order = await reserve(orders)
    clock.advance(12)
    extended = (await extend(orders, order)).json()
    events = await orders.outbox("orders", order["id"])
    assert [(subject, body["expiresAt"]) for subject, body in events] == [
        ("order.created", order["expiresAt"]),
        ("order.updated", extended["expiresAt"]),
    ]
    await fire_timer(order)
    assert (await shown(orders, order))["status"] == "created"
    await fire_timer(extended)
    assert (await shown(orders, order))["status"] == "cancelled"


async def test_only_one_of_several_concurrent_extensions_succeeds(orders: Served, clock: Clock) -> None:
    order = await reserve(orders)
    clock.advance(12)
    answers = await asyncio.gather(*(extend(orders, order) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]


async def test_only_the_buyer_can_extend_an_order_and_only_while_it_is_live(
    orders: Served, clock: Clock
) -> None:
    order = await reserve(orders)
    clock.advance(12)
    assert (await extend(orders, order, BOB)).status_code == 403
    assert (await orders.ask("POST", f"/api/orders/{order['id']}/extend")).status_code == 401
    assert (await extend(orders, {"id": new_id()})).status_code == 404
    clock.advance(4)
    assert (await extend(orders, order)).status_code == 409
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    assert (await extend(orders, order)).status_code == 409
