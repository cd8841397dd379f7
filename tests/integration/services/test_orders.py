"""Orders: cancellation, expiration, completion by a payment, and access."""

import asyncio
import re
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
from bson import ObjectId
from prometheus_client import REGISTRY

from contracts.events import GRACE
from contracts.wire import now
from kit.changes import Changes
from services.orders import actions, holds
from services.orders.documents import Order
from services.orders.rules import MAX_PENDING, PRIVATE
from tests.support.events import (
    SELLER,
    WINDOW,
    confirm_hold,
    confirmation_of,
    fire_timer,
    on_sale,
    payment_of,
)
from tests.support.service import Served, messages, new_id, old_id

ANN, BOB = new_id(), new_id()


async def reserve(orders: Served, *, ticket: str | None = None, by: str = ANN) -> dict[str, Any]:
    """An order whose hold tickets has confirmed."""
    order = await reserve_unconfirmed(orders, ticket=ticket, by=by)
    await confirm_hold(order)
    return order


async def reserve_unconfirmed(orders: Served, *, ticket: str | None = None, by: str = ANN) -> dict[str, Any]:
    body = {"ticketId": ticket or await on_sale()}
    answer = await orders.ask("POST", "/api/orders", by=by, json=body)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    return order


async def status_of(orders: Served, order: dict[str, Any]) -> str:
    answer = await orders.ask("GET", f"/api/orders/{order['id']}", by=order["userId"])
    assert answer.status_code == 200
    return str(answer.json()["status"])


async def published(orders: Served, order: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Subject, version and status of each event of an order."""
    events = await orders.outbox("orders", order["id"])
    return [(subject, body["version"], body["status"]) for subject, body in events]


async def test_an_order_that_is_cancelled_several_times_publishes_one_cancellation(orders: Served) -> None:
    order = await reserve(orders)
    path = f"/api/orders/{order['id']}"
    answers = await asyncio.gather(*(orders.ask("DELETE", path, by=ANN) for _ in range(4)))
    answers.append(await orders.ask("DELETE", path, by=ANN))
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 5
    assert await status_of(orders, order) == "cancelled"
    assert await published(orders, order) == [
        ("order.created", 0, "created"),
        ("order.cancelled", 1, "cancelled"),
    ]


async def test_events_of_an_order_say_who_sells_and_when_it_was_paid_and_refunded(orders: Served) -> None:
    started = now()
    order = await reserve(orders)
    for status in ("authorized", "captured", "refunded"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    events = [body for _, body in await orders.outbox("orders", order["id"])]
    assert {event["sellerId"] for event in events} == {SELLER}
    times = [(event["status"], event["paidAt"], event["refundedAt"]) for event in events]
    (_, paid_at, refunded_at) = times[-1]
    assert times == [
        ("created", None, None),
        ("complete", paid_at, None),
        ("refunded", paid_at, refunded_at),
    ]
    assert started <= datetime.fromisoformat(paid_at) <= datetime.fromisoformat(refunded_at) <= now()


async def test_a_later_relisting_does_not_change_when_the_order_was_refunded(orders: Served) -> None:
    order = await reserve(orders)
    for status in ("authorized", "captured", "refunded"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    refund = payment_of(order, "refunded")
    await actions.follow_payment(refund.model_copy(update={"relist": True}), WINDOW)
    *_, before, after = [body for _, body in await orders.outbox("orders", order["id"])]
    assert (before["relisted"], after["relisted"]) == (False, True)
    assert before["refundedAt"] == after["refundedAt"] is not None


async def test_an_order_without_an_answer_of_tickets_is_not_completed_by_its_payment(orders: Served) -> None:
    order = await reserve_unconfirmed(orders)
    for status in ("pending", "authorized"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await status_of(orders, order) == "awaiting:payment"
    await confirm_hold(order)
    assert await published(orders, order) == [
        ("order.created", 0, "created"),
        ("order.updated", 1, "awaiting:payment"),
        ("order.updated", 2, "complete"),
    ]


async def test_an_order_whose_hold_is_refused_is_cancelled_without_a_pause_for_its_buyer(
    orders: Served,
) -> None:
    order = await reserve_unconfirmed(orders)
    await confirm_hold(order, order_id=None, status="available", price="900")
    shown = (await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)).json()
    assert (shown["status"], shown["cancelReason"], shown["holdRefused"]) == ("cancelled", None, True)
    (_, (subject, event)) = await orders.outbox("orders", order["id"])
    assert (subject, event["holdRefused"]) == ("order.cancelled", True)
    again = await reserve_unconfirmed(orders, ticket=order["ticket"]["id"])
    assert again["ticket"]["price"] == 900
    past = await holds.of_ticket(order["ticket"]["id"])
    assert (past.newest, len(past.ended)) == (2, 1)  # of the two, only the live hold counts


async def test_an_order_from_before_tickets_confirmed_holds_is_completed_by_its_payment(
    orders: Served,
) -> None:
    order = await reserve_unconfirmed(orders)
    added = dict.fromkeys(("held", "payment_version", "payment_status", "hold_refused"), 1)
    await orders.database["orders"].update_one({"_id": ObjectId(order["id"])}, {"$unset": added})
    for status in ("pending", "failed", "authorized"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await status_of(orders, order) == "complete"


async def decide_concurrently(orders: Served) -> str:
    """The status of an order whose payment and confirmation arrive at the same time.

    Each of the two has read the order before the other writes.
    """
    order, both_have_read = await reserve_unconfirmed(orders), asyncio.Barrier(2)
    first, reads = Order.first, count(1)

    async def read_together(which: dict[str, Any]) -> Any:
        found = await first(which)
        if next(reads) <= both_have_read.parties:
            await both_have_read.wait()
        return found

    confirmation = await confirmation_of(order)
    with patch.object(Order, "first", read_together):
        await asyncio.gather(
            actions.follow_ticket(confirmation),
            actions.follow_payment(payment_of(order, "authorized"), WINDOW),
        )
    return await status_of(orders, order)


async def test_a_concurrent_payment_and_confirmation_complete_the_order(orders: Served) -> None:
    assert await decide_concurrently(orders) == "complete"


async def test_without_the_guard_on_private_fields_a_paid_and_confirmed_order_would_wait_forever(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def careless(order: Order, changes: Changes) -> Order | None:
        private = changes.keys() <= PRIVATE
        return await (order.save_private(changes) if private else order.save_and_publish(changes))

    monkeypatch.setattr(Order, "write", careless)
    assert await decide_concurrently(orders) == "created"


async def cancel_reasons(orders: Served, order: dict[str, Any]) -> list[str | None]:
    """The cancel reason that the buyer sees, then the cancel reasons in the order's events, oldest first."""
    shown = await orders.ask("GET", f"/api/orders/{order['id']}", by=order["userId"])
    events = await orders.outbox("orders", order["id"])
    return [shown.json()["cancelReason"], *(body["cancelReason"] for _, body in events)]


async def test_the_cancel_reason_stays_buyer_when_the_timer_fires_later(
    orders: Served,
) -> None:
    order = await reserve(orders)
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    await fire_timer(order)
    assert await cancel_reasons(orders, order) == ["buyer", None, "buyer"]


async def test_the_cancel_reason_stays_expired_when_the_buyer_cancels_later(
    orders: Served,
) -> None:
    order = await reserve(orders)
    await fire_timer(order)
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    assert await cancel_reasons(orders, order) == ["expired", None, "expired"]


async def test_an_order_that_is_not_cancelled_has_no_cancel_reason(orders: Served) -> None:
    order = await reserve(orders)
    assert order["cancelReason"] is None
    for status in ("pending", "authorized"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await cancel_reasons(orders, order) == [None] * 4


async def test_another_buyer_can_reserve_the_ticket_of_a_cancelled_order(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserve(orders, ticket=ticket)
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    await reserve(orders, ticket=ticket, by=BOB)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_only_the_buyer_can_see_and_cancel_an_order(orders: Served, method: str) -> None:
    order = await reserve(orders)
    answer = await orders.ask(method, f"/api/orders/{order['id']}", by=BOB)
    assert messages(answer, 403) == ["That order isn't yours"]
    assert await status_of(orders, order) == "created"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "unknown",
    [old_id(), new_id(), "7", "g" * 24, "0" * 25],
    ids=["old id", "new id", "digit", "not hexadecimal", "too long"],
)
async def test_an_unknown_order_is_not_found(orders: Served, method: str, unknown: str) -> None:
    assert messages(await orders.ask(method, f"/api/orders/{unknown}", by=ANN), 404) == ["Not found"]


async def test_a_completed_order_can_neither_be_cancelled_nor_expire(orders: Served) -> None:
    order = await reserve(orders)
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    before = await orders.database["orders"].find_one()
    answer = await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    assert messages(answer, 409) == ["A completed order can't be cancelled"]
    await fire_timer(order)
    assert await orders.database["orders"].find_one() == before


async def test_buyers_see_their_own_orders_newest_first(orders: Served) -> None:
    first, second, third = [await reserve(orders) for _ in range(3)]
    await reserve(orders, by=BOB)
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


async def pages(orders: Served, by: str, path: str = "/api/orders") -> list[list[str]]:
    """The ids of the orders on each page. The Link header of a page leads to the next page."""
    found, link = [], f'<{path}>; rel="next"'
    while link:
        match = re.fullmatch(r'<(/api/orders[^>]*)>; rel="next"', link)
        assert match is not None, link
        answer = await orders.ask("GET", match[1], by=by)
        assert answer.status_code == 200, answer.text
        found.append([order["id"] for order in answer.json()])
        link = answer.headers.get("link", "")
    return found


async def test_pages_of_a_buyers_orders_contain_each_order_once_despite_a_new_order(orders: Served) -> None:
    made = [(await reserve(orders))["id"] for _ in range(5)]
    await reserve(orders, by=BOB)
    newest_first = made[::-1]
    first = await orders.ask("GET", "/api/orders?limit=2", by=ANN)
    assert [order["id"] for order in first.json()] == newest_first[:2]
    await orders.ask("DELETE", f"/api/orders/{made[0]}", by=ANN)
    newest = (await reserve(orders))["id"]
    following = first.headers["link"].partition("<")[2].partition(">")[0]
    assert await pages(orders, ANN, following) == [newest_first[2:4], newest_first[4:]]
    assert await pages(orders, ANN, "/api/orders?limit=6") == [[newest, *newest_first]]


async def test_a_plain_request_returns_the_newest_thousand_orders_and_leads_to_all_others(
    orders: Served,
) -> None:
    buyer = new_id()
    template = (
        await orders.database["orders"].find_one({"_id": ObjectId((await reserve(orders))["id"])})
    ) or {}
    copies = [
        {**template, "_id": ObjectId(), "user_id": buyer, "ticket_id": new_id(), "code": f"{number}"}
        for number in range(1_001)
    ]
    await orders.database["orders"].insert_many(
        [{**copy, "live": False, "active": False, "outbox": []} for copy in copies]
    )
    newest_first = [str(copy["_id"]) for copy in copies][::-1]
    assert await pages(orders, buyer) == [newest_first[:1_000], newest_first[1_000:]]


@pytest.mark.parametrize("query", ["after=nowhere", "limit=0", "limit=1001", "limit=x"])
async def test_an_invalid_cursor_or_page_size_is_refused(orders: Served, query: str) -> None:
    assert (await orders.ask("GET", f"/api/orders?{query}", by=ANN)).status_code == 400


async def test_an_order_expires_once_and_releases_its_ticket(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserve(orders, ticket=ticket)
    for _ in range(2):
        await fire_timer(order)
    assert await status_of(orders, order) == "cancelled"
    assert [version for _, version, _ in await published(orders, order)] == [0, 1]
    await reserve(orders, ticket=ticket, by=BOB)


async def test_a_timer_that_fires_before_the_end_of_the_grace_period_does_not_cancel_the_order(
    orders: Served,
) -> None:
    order = await reserve(orders)
    await fire_timer(order, after=GRACE - timedelta(milliseconds=1))
    assert await status_of(orders, order) == "created"


async def test_an_order_awaiting_payment_is_cancelled_when_its_time_is_over(orders: Served) -> None:
    order = await reserve(orders)
    await actions.follow_payment(payment_of(order, "pending"), WINDOW)
    assert await status_of(orders, order) == "awaiting:payment"
    await fire_timer(order, after=MAX_PENDING)
    assert await published(orders, order) == [
        ("order.created", 0, "created"),
        ("order.updated", 1, "awaiting:payment"),
        ("order.cancelled", 2, "cancelled"),
    ]


async def test_an_authorized_payment_completes_the_order_once(orders: Served) -> None:
    order = await reserve(orders)
    for status in ("authorized", "authorized", "captured", "pending", "failed"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await published(orders, order) == [
        ("order.created", 0, "created"),
        ("order.updated", 1, "complete"),
    ]


async def test_a_declined_payment_does_not_change_the_reservation(orders: Served) -> None:
    order = await reserve(orders)
    await actions.follow_payment(payment_of(order, "failed"), WINDOW)
    assert await status_of(orders, order) == "created"


async def test_a_late_payment_does_not_revive_a_cancelled_order(orders: Served) -> None:
    ticket = await on_sale()
    order = await reserve(orders, ticket=ticket)
    await fire_timer(order)
    await reserve(orders, ticket=ticket, by=BOB)
    for status in ("pending", "authorized", "captured"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    assert await status_of(orders, order) == "cancelled"
    assert len(await published(orders, order)) == 2


def alerts(kind: str) -> float:
    return REGISTRY.get_sample_value("stagedoor_alerts_total", {"kind": kind}) or 0


@pytest.mark.parametrize("amount", [1998, 2000, 1])
async def test_a_payment_of_another_amount_alerts_operators_and_does_not_complete_the_order(
    orders: Served, amount: int, caplog: pytest.LogCaptureFixture
) -> None:
    order = await reserve(orders)
    before = alerts("payment_amount")
    await actions.follow_payment(payment_of(order, "authorized", amount=amount), WINDOW)
    assert await status_of(orders, order) == "created"
    assert f"not of the price of order {order['id']}" in caplog.text
    assert alerts("payment_amount") == before + 1


async def test_a_concurrent_payment_and_expiration_either_complete_or_cancel_the_order(
    orders: Served,
) -> None:
    for _ in range(5):
        order = await reserve(orders)
        await asyncio.gather(
            actions.follow_payment(payment_of(order, "authorized"), WINDOW),
            fire_timer(order),
        )
        events = await published(orders, order)
        assert [version for _, version, _ in events] == [0, 1]
        status = await status_of(orders, order)
        assert events[-1][2] == status
        assert status in ("complete", "cancelled")
        if status == "complete":
            assert (await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)).status_code == 409


async def test_concurrent_repeated_payment_events_publish_each_version_once(orders: Served) -> None:
    order = await reserve(orders)
    payments = [payment_of(order, status) for status in ("pending", "pending", "authorized", "captured")]
    await asyncio.gather(*(actions.follow_payment(payment, WINDOW) for payment in payments * 3))
    versions = [version for _, version, _ in await published(orders, order)]
    assert versions == list(range(len(versions)))
    assert (await published(orders, order))[-1][2] == "complete"
