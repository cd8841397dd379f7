"""Deliveries of paid orders: files, handovers, deadlines that pass, and the refund that follows."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from beanie import PydanticObjectId
from bson import ObjectId

from contracts.events import GRACE, ExpirationComplete, OrderUpdated, PublicTicket
from contracts.wire import now
from kit.aggregates import Aggregate
from kit.errors import Unavailable
from services.orders import actions
from services.orders.documents import Order
from services.payments.documents import Payment
from tests.support.events import (
    SELLER,
    WINDOW,
    confirm_hold,
    confirmation_of,
    next_event,
    on_sale,
    orders_at,
    payment_of,
)
from tests.support.owners import FakeOwner
from tests.support.payments import PaymentsService
from tests.support.service import Served, messages, new_id

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


async def reserve(orders: Served, how: str, **details: Any) -> dict[str, Any]:
    ticket = await on_sale(delivery=how, **details)
    answer = await orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": ticket})
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def buy(orders: Served, how: str = "promised", **details: Any) -> dict[str, Any]:
    """A paid order, as its buyer sees it."""
    order = await reserve(orders, how, **details)
    await confirm_hold(order, delivery=how)
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    return await shown(orders, order)


async def shown(orders: Served, order: dict[str, Any]) -> dict[str, Any]:
    answer = await orders.ask("GET", f"/api/orders/{order['id']}", by=order["userId"])
    seen: dict[str, Any] = answer.json()
    return seen


async def upload(order: dict[str, Any], **special: Any) -> None:
    """Deliver the event that tickets has all files of the order."""
    version = order["ticket"]["version"] + 3
    event = await confirmation_of(order, version=version, status="sold", delivery="instant", **special)
    await actions.follow_ticket(event)


def deadline_of(order: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(order["deliverBy"])


def half_of(order: dict[str, Any]) -> datetime:
    """The middle between the payment, which was just now, and the deadline."""
    return now() + (deadline_of(order) - now()) / 2


async def reminders(orders: Served, order: dict[str, Any]) -> list[str]:
    """The times of reminders that were published, without repetitions."""
    found = [body["remindedAt"] for _, body in await orders.outbox("orders", order["id"])]
    return sorted({each for each in found if each is not None})


async def fire(order: dict[str, Any], after: timedelta = GRACE, tickets: FakeOwner | None = None) -> None:
    """Let the timer of the delivery fire at this time after the deadline."""
    due = ExpirationComplete(order_id=order["id"], expires_at=deadline_of(order))
    with orders_at(due.expires_at + after):
        await actions.expire(due, tickets)


async def states(orders: Served, order: dict[str, Any]) -> list[str | None]:
    """The states of the delivery that were published, without repetitions."""
    found = [body["delivery"] for _, body in await orders.outbox("orders", order["id"])]
    return [state for index, state in enumerate(found) if index == 0 or state != found[index - 1]]


# --- Files ---


async def test_a_sealed_ticket_is_delivered_by_the_payment(orders: Served) -> None:
    order = await buy(orders, "instant")
    assert (order["status"], order["delivery"]) == ("complete", "delivered")
    assert await states(orders, order) == [None, "sealed", "delivered"]


async def test_a_ticket_that_is_no_longer_sealed_is_not_sold_as_such(orders: Served) -> None:
    order = await reserve(orders, "instant")
    await confirm_hold(order, delivery="promised")
    seen = await shown(orders, order)
    assert (seen["status"], seen["holdRefused"], seen["delivery"]) == ("cancelled", True, None)


async def test_files_that_arrive_deliver_a_promised_ticket_once(orders: Served) -> None:
    order = await buy(orders)
    assert order["delivery"] == "due"
    ready_at = now() + SECOND
    for _ in range(2):
        await upload(order, files_ready_at=ready_at)
    seen = await shown(orders, order)
    assert (seen["delivery"], datetime.fromisoformat(seen["deliveredAt"])) == ("delivered", ready_at)
    assert await states(orders, order) == [None, "due", "delivered"]


async def test_files_that_arrive_while_the_ticket_is_held_are_delivered_by_the_payment(
    orders: Served,
) -> None:
    order = await reserve(orders, "promised")
    await confirm_hold(order, delivery="promised")
    await actions.follow_ticket(await confirmation_of(order, version=5, delivery="instant"))
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    assert await states(orders, order) == [None, "sealed", "delivered"]


async def test_a_promised_ticket_cant_be_reserved_when_too_little_time_is_left(orders: Served) -> None:
    ticket = await on_sale(delivery="promised", starts_at=now() + timedelta(hours=4, minutes=59))
    answer = await orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": ticket})
    assert messages(answer, 409) == [
        "The event starts too soon: the seller could no longer upload the ticket in time"
    ]


# --- Deadlines ---


async def test_an_overdue_promise_fails_once_however_often_its_timer_fires(orders: Served) -> None:
    order = await buy(orders)
    await fire(order, -DAY)
    assert (await shown(orders, order))["delivery"] == "due"
    for late in (GRACE, GRACE, DAY):
        await fire(order, late)
    seen = await shown(orders, order)
    assert (seen["status"], seen["delivery"], seen["overdueAt"]) == ("complete", "failed", order["deliverBy"])
    assert await states(orders, order) == [None, "due", "failed"]
    await upload(order)
    assert (await shown(orders, order))["delivery"] == "failed"


async def test_the_sweep_ends_a_delivery_whose_timer_was_lost(orders: Served) -> None:
    order = await buy(orders)
    with orders_at(half_of(order) + 2 * GRACE):
        await actions.sweep_deliveries()  # reminds the seller
    for after, state in ((2 * GRACE - SECOND, "due"), (2 * GRACE, "failed")):
        with orders_at(deadline_of(order) + after):
            await actions.sweep_deliveries()
        assert (await shown(orders, order))["delivery"] == state


async def test_without_the_sweep_a_delivery_whose_timer_was_lost_would_stay_due_forever(
    orders: Served,
) -> None:
    order = await buy(orders)
    with orders_at(deadline_of(order) + 365 * DAY):
        await actions.sweep()
    assert (await shown(orders, order))["delivery"] == "due"


async def test_the_seller_is_reminded_once_at_half_of_the_time_by_any_number_of_processes(
    orders: Served,
) -> None:
    order = await buy(orders)
    with orders_at(half_of(order) - SECOND):
        await actions.sweep_deliveries()
    assert await reminders(orders, order) == []
    for hours in (0, 1, 2):
        with orders_at(half_of(order) + 2 * GRACE + timedelta(hours=hours)):
            await asyncio.gather(*(actions.sweep_deliveries(FakeOwner()) for _ in range(3)))
    assert len(await reminders(orders, order)) == 1
    assert await states(orders, order) == [None, "due"]


async def test_control_without_the_guarded_write_there_would_be_several_reminders(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await buy(orders)
    written: list[datetime] = []
    all_have_read = asyncio.Barrier(3)

    async def unguarded(self: Order, changes: Any) -> Order:
        await all_have_read.wait()
        await self.get_pymongo_collection().update_one({"_id": self.id}, {"$set": dict(changes)})
        written.append(changes["reminded_at"])
        return self.model_copy(update=dict(changes))

    monkeypatch.setattr(Order, "write", unguarded)
    with orders_at(half_of(order) + 2 * GRACE):
        await asyncio.gather(*(actions.sweep_deliveries() for _ in range(3)))
    assert len(written) == 3


async def test_nobody_is_reminded_while_tickets_has_the_files_or_cant_be_asked(orders: Served) -> None:
    class Down(FakeOwner):
        async def get(self, *_: Any, **__: Any) -> Any:
            raise Unavailable

    order = await buy(orders)
    tickets, key = FakeOwner(), order["ticket"]["id"]
    event = await confirmation_of(order, status="sold", delivery="instant", files_ready_at=now() + SECOND)
    tickets.known[f"/api/tickets/{key}"] = PublicTicket.model_validate(
        {**event.model_dump(include=set(PublicTicket.model_fields)), "order_id": None}
    )
    with orders_at(half_of(order) + 2 * GRACE):
        await actions.sweep_deliveries(Down())
        assert (await shown(orders, order))["delivery"] == "due"
    with orders_at(half_of(order) + 4 * GRACE + actions.RETRY_DELIVERY):
        await actions.sweep_deliveries(tickets)
    assert await reminders(orders, order) == []
    assert (await shown(orders, order))["delivery"] == "delivered"


async def test_a_handover_that_is_overdue_is_marked_and_not_refunded(orders: Served) -> None:
    order = await buy(orders, "seller", starts_at=now() + DAY)
    await fire(order)
    seen = await shown(orders, order)
    assert (seen["delivery"], seen["overdueAt"]) == ("due", order["deliverBy"])
    assert len(await orders.outbox("orders", order["id"])) == 3
    await fire(order, DAY)
    assert len(await orders.outbox("orders", order["id"])) == 3


async def test_a_delivery_is_confirmed_by_timeout(orders: Served) -> None:
    order = await buy(orders, "instant")
    for after, state in ((timedelta(days=6), "delivered"), (timedelta(days=8), "confirmed")):
        with orders_at(now() + after):
            await actions.sweep_deliveries()
        assert (await shown(orders, order))["delivery"] == state


async def test_nothing_fails_while_tickets_has_the_files_and_only_their_event_is_late(orders: Served) -> None:
    order = await buy(orders)
    tickets, key = FakeOwner(), order["ticket"]["id"]
    event = await confirmation_of(order, status="sold", delivery="instant", files_ready_at=now() + SECOND)
    tickets.known[f"/api/tickets/{key}"] = PublicTicket.model_validate(
        {**event.model_dump(include=set(PublicTicket.model_fields)), "order_id": None}
    )
    await fire(order, tickets=tickets)
    assert (await shown(orders, order))["delivery"] == "delivered"


async def test_nothing_fails_while_tickets_cant_be_asked(orders: Served) -> None:
    class Down(FakeOwner):
        async def get(self, *_: Any, **__: Any) -> Any:
            raise Unavailable

    order = await buy(orders)
    with pytest.raises(Unavailable):
        await fire(order, tickets=Down())
    with orders_at(deadline_of(order) + DAY):
        await actions.sweep_deliveries(Down())
    assert (await shown(orders, order))["delivery"] == "due"
    await fire(order, tickets=FakeOwner())
    assert (await shown(orders, order))["delivery"] == "failed"


async def test_deliveries_that_cant_be_ended_do_not_keep_others_from_their_turn(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "SWEEP_BATCH", 2)
    stuck = [await buy(orders) for _ in range(3)]
    other = await buy(orders, "seller", starts_at=now() + 2 * DAY)
    unreadable = {"_id": {"$in": [ObjectId(order["id"]) for order in stuck]}}
    stored = Order.get_pymongo_collection()
    await stored.update_many(unreadable, {"$set": {"price_minor": "much"}})
    with orders_at(now() + 3 * DAY):
        for _ in range(2):
            assert await actions.sweep_deliveries() == 2
    assert (await shown(orders, other))["overdueAt"] is not None
    await stored.update_many(unreadable, {"$set": {"price_minor": 5990}})
    with orders_at(now() + 3 * DAY + actions.RETRY_DELIVERY + 2 * GRACE):
        for _ in range(2):
            await actions.sweep_deliveries()
    assert [(await shown(orders, order))["delivery"] for order in stuck] == ["failed"] * 3


async def test_a_delivery_whose_time_has_changed_is_not_postponed(orders: Served) -> None:
    order = await buy(orders)
    key = ObjectId(order["id"])
    await Order.postpone_delivery(key, deadline_of(order) - SECOND, now() + 9 * DAY)
    with orders_at(deadline_of(order) + 2 * GRACE):
        await actions.sweep_deliveries()
    assert (await shown(orders, order))["delivery"] == "failed"


# --- The race of the files with the deadline ---


@contextmanager
def both_have_read_before_one_writes() -> Iterator[None]:
    """Let the first two writers wait for each other before they write."""
    update, waiting, both = Aggregate._update, 0, asyncio.Event()

    async def together(self: Aggregate, *given: Any) -> bool:
        nonlocal waiting
        waiting += 1
        if waiting >= 2:
            both.set()
        await both.wait()
        return await update(self, *given)

    with patch.object(Aggregate, "_update", together):
        yield


async def race(orders: Served) -> list[str | None]:
    """The published states if the files arrive in the moment in which the deadline passes."""
    order = await buy(orders)
    with both_have_read_before_one_writes():
        await asyncio.gather(fire(order), upload(order))
    return await states(orders, order)


async def test_one_guarded_write_decides_between_the_files_and_the_deadline(orders: Served) -> None:
    for _ in range(5):
        assert await race(orders) in ([None, "due", "delivered"], [None, "due", "failed"])


async def test_without_the_guard_of_the_version_a_delivered_ticket_would_fail_or_a_failed_one_be_delivered(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def careless(self: Aggregate, update: dict[str, Any], expected: dict[str, Any]) -> bool:
        await self.get_pymongo_collection().update_one({"_id": self.id}, update)
        return True

    monkeypatch.setattr(Aggregate, "_update", careless)
    assert await race(orders) in ([None, "due", "delivered", "failed"], [None, "due", "failed", "delivered"])


# --- Handover and confirmation ---


async def test_a_handover_is_marked_by_the_seller_and_confirmed_by_the_buyer(orders: Served) -> None:
    order = await buy(orders, "seller")
    path = f"/api/orders/{order['id']}"
    assert messages(await orders.ask("POST", f"{path}/handover", by=order["userId"]), 403) == [
        "That sale isn't yours"
    ]
    for _ in range(2):
        assert (await orders.ask("POST", f"{path}/handover", by=SELLER)).status_code == 204
    assert messages(await orders.ask("POST", f"{path}/confirmation", by=SELLER), 403) == [
        "That order isn't yours"
    ]
    for _ in range(2):
        answer = await orders.ask("POST", f"{path}/confirmation", by=order["userId"])
        assert (answer.status_code, answer.json()["delivery"]) == (200, "confirmed")
    assert await states(orders, order) == [None, "due", "delivered", "confirmed"]


async def test_promised_files_are_uploaded_and_not_handed_over(orders: Served) -> None:
    order = await buy(orders)
    path = f"/api/orders/{order['id']}"
    answer = await orders.ask("POST", f"{path}/handover", by=SELLER)
    assert messages(answer, 409) == [
        "You promised to upload this ticket. Upload its files, and the buyer gets them at once"
    ]
    answer = await orders.ask("POST", f"{path}/confirmation", by=order["userId"])
    assert messages(answer, 409) == ["The ticket hasn't been delivered yet"]


async def test_a_seller_sees_the_deliveries_of_the_own_sales_without_the_buyer(orders: Served) -> None:
    order = await buy(orders)
    others = await buy(orders, "seller", seller=new_id())
    query = {"orderId": [order["id"], others["id"], str(PydanticObjectId())]}
    answer = await orders.ask("GET", "/api/orders/sales", by=SELLER, params=query)
    (sale,) = answer.json()
    assert (sale["id"], sale["delivery"], sale["deliverBy"]) == (order["id"], "due", order["deliverBy"])
    assert order["userId"] not in answer.text
    assert (await orders.ask("GET", "/api/orders/sales", by=SELLER)).status_code == 400
    assert (await orders.ask("GET", "/api/orders/sales?orderId=x", by=SELLER)).status_code == 400


async def test_a_refund_by_an_operator_ends_the_delivery(orders: Served) -> None:
    order = await buy(orders)
    await actions.follow_payment(payment_of(order, "refunded"), WINDOW)
    await fire(order)
    assert (await shown(orders, order))["status"] == "refunded"
    assert await states(orders, order) == [None, "due"]


async def test_an_order_that_was_paid_before_there_were_deliveries_stays_as_it_is(orders: Served) -> None:
    order = await buy(orders)
    added = dict.fromkeys(("delivery", "deliver_by", "delivery_acts_at", "delivery_acts"), 1)
    await orders.database["orders"].update_one({"_id": ObjectId(order["id"])}, {"$unset": added})
    await fire(order)
    seen = await shown(orders, order)
    assert (seen["status"], seen["delivery"]) == ("complete", None)
    stored = await Order.first({"_id": ObjectId(order["id"])})
    assert stored is not None


# --- The refund ---


async def undelivered(service: PaymentsService, token: str = "tok_visa") -> OrderUpdated:
    """The event that the delivery of a bought ticket failed."""
    order = await service.bought(token)
    event = next_event(next_event(order, "complete"), "complete")
    return OrderUpdated(**{**dict(event), "delivery": "failed"})


async def test_an_undelivered_ticket_is_refunded_once_and_not_relisted(service: PaymentsService) -> None:
    event = await undelivered(service)
    for _ in range(3):
        await service.payments.follow_order(event)
    await asyncio.gather(*(service.payments.follow_order(event) for _ in range(2)))
    stored = await service.stored(event)
    assert (stored["status"], stored["relist"]) == ("refunded", False)
    assert [refund.amount for refund in await service.refunds(event)] == [1999]


async def test_a_refund_of_an_undelivered_ticket_that_takes_time_is_continued(
    service: PaymentsService,
) -> None:
    event = await undelivered(service, "tok_pendingRefund")
    await service.payments.follow_order(event)
    assert (await service.shown(event))["status"] == "refunding"
    await service.newest_refund_becomes(event, "succeeded")
    await service.reconcile()
    assert (await service.shown(event))["status"] == "refunded"
    assert len(await service.refunds(event)) == 1


async def test_an_undelivered_ticket_whose_payment_isnt_captured_yet_is_captured_and_refunded(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await service.pay(order)
    event = OrderUpdated(**{**dict(next_event(order, "complete")), "delivery": "failed"})
    await service.payments.follow_order(event)
    assert (await service.shown(event))["status"] == "refunded"
    assert [refund.amount for refund in await service.refunds(event)] == [1999]


async def test_a_process_that_dies_before_the_refund_leaves_it_to_the_reconciler(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await undelivered(service)

    async def die(*_: Any, **__: Any) -> Any:
        raise SystemError

    settlement = type(service.payments.settlement)
    with monkeypatch.context() as crashed:
        crashed.setattr(settlement, "advance", die)
        with pytest.raises(SystemError):
            await service.payments.follow_order(event)
    assert (await service.shown(event))["status"] == "refunding"
    await service.reconcile()
    assert (await service.shown(event))["status"] == "refunded"


async def test_nobody_pays_for_an_undelivered_ticket(service: PaymentsService) -> None:
    order = await service.order()
    event = OrderUpdated(**{**dict(next_event(order, "complete")), "delivery": "failed"})
    await service.payments.follow_order(event)
    assert (await service.pay(event)).status_code == 409
    assert await Payment.first({"order_id": order.id}) is None


async def test_a_disputed_payment_of_an_undelivered_ticket_is_left_to_the_bank(
    service: PaymentsService,
) -> None:
    event = await undelivered(service, "tok_createDispute")
    await service.refresh(event)
    await service.payments.follow_order(event)
    assert (await service.shown(event))["dispute"] == "open"
    assert await service.refunds(event) == []


# --- Another date ---


async def move_to(order: dict[str, Any], starts_at: datetime, date_changes: int, version: int) -> None:
    """Deliver the event that the date of the order's ticket has changed."""
    event = await confirmation_of(
        order, version=version, status="sold", starts_at=starts_at, date_changes=date_changes
    )
    await actions.follow_ticket(event)


async def test_an_order_follows_its_event_to_the_newest_date_in_whatever_order_it_learns_of_them(
    orders: Served,
) -> None:
    order = await buy(orders, starts_at=now() + 30 * DAY)
    first = datetime.fromisoformat(order["ticket"]["startsAt"])
    version = order["ticket"]["version"]
    await move_to(order, first, 2, version + 5)  # postponed, and moved back
    await move_to(order, first + timedelta(days=7), 1, version + 4)
    seen = await shown(orders, order)
    assert (seen["ticket"]["startsAt"], seen["formerStartsAt"]) == (order["ticket"]["startsAt"], None)
    for _ in range(2):
        await move_to(order, first + timedelta(days=9), 3, version + 6)
    seen = await shown(orders, order)
    assert datetime.fromisoformat(seen["ticket"]["startsAt"]) == first + timedelta(days=9)
    assert seen["formerStartsAt"] == order["ticket"]["startsAt"]
    published = [body["dateChanges"] for _, body in await orders.outbox("orders", order["id"])]
    assert published[-2:] == [2, 3]
