from typing import get_args

import pytest

from contracts.events import ExpirationComplete, OrderStatus
from services.expiration import actions
from tests.unit.rules.builders import ORDER, SOON, order_event

OTHER_ORDER = "65f0c0ffee00000000000009"


class TimersInMemory:
    def __init__(self) -> None:
        self.due: dict[str, ExpirationComplete] = {}

    async def set(self, due: ExpirationComplete) -> None:
        self.due[due.order_id] = due

    async def clear(self, order_id: str) -> None:
        self.due.pop(order_id, None)


@pytest.mark.parametrize("status", ["created", "awaiting:payment"])
async def test_an_unpaid_order_has_a_timer(status: OrderStatus) -> None:
    timers = TimersInMemory()
    await actions.follow_order(order_event(status), timers)
    assert timers.due == {ORDER: ExpirationComplete(order_id=ORDER, expires_at=SOON)}


async def test_a_delivery_that_is_due_has_a_timer_until_it_is_overdue() -> None:
    due = order_event("complete", version=2, delivery="due", deliver_by=SOON)
    timers = TimersInMemory()
    await actions.follow_order(due, timers)
    assert timers.due == {ORDER: ExpirationComplete(order_id=ORDER, expires_at=SOON)}
    for ended in ({"delivery": "delivered"}, {"overdue_at": SOON}, {"delivery": "failed"}):
        timers = TimersInMemory()
        await actions.follow_order(due.model_copy(update=ended), timers)
        assert timers.due == {}


@pytest.mark.parametrize("status", ["complete", "cancelled"])
async def test_a_complete_or_cancelled_order_has_no_timer(status: OrderStatus) -> None:
    timers = TimersInMemory()
    await actions.follow_order(order_event("created"), timers)
    await actions.follow_order(order_event("created", order_id=OTHER_ORDER), timers)
    await actions.follow_order(order_event(status, version=1), timers)
    assert list(timers.due) == [OTHER_ORDER]


@pytest.mark.parametrize("status", get_args(OrderStatus.__value__))
async def test_a_repeated_order_event_does_not_change_the_timers(status: OrderStatus) -> None:
    once, twice = TimersInMemory(), TimersInMemory()
    await actions.follow_order(order_event(status), once)
    await actions.follow_order(order_event(status), twice)
    await actions.follow_order(order_event(status), twice)
    assert once.due == twice.due
