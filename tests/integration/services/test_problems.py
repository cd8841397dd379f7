"""Reported problems: the report, the answer and the decision, and what becomes of the money."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from contracts.events import OrderUpdated
from contracts.wire import now
from kit.aggregates import Aggregate
from kit.secrets import operator_token
from services.orders import actions
from services.payments.documents import Payment
from services.payments.stripe_gateway import client, ledger
from services.payouts.documents import Sale
from services.payouts.stripe_gateway.client import Gateway
from tests.support.events import SELLER, WINDOW, confirm_hold, next_event, on_sale, orders_at, payment_of
from tests.support.payments import PaymentsService
from tests.support.payouts import PayoutsService, Sold
from tests.support.service import Served, messages, new_id

HOUR = timedelta(hours=1)
LATER = timedelta(hours=49)
"""After the seller's time to answer."""

REPORT = {"kind": "invalid", "text": "They said that it was used already."}
DECISIONS = "/api/orders/problems/decisions"


async def buy(orders: Served, **details: Any) -> dict[str, Any]:
    """A paid and delivered order, as its buyer sees it."""
    ticket = await on_sale(delivery="instant", **details)
    answer = await orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": ticket})
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    await confirm_hold(order, delivery="instant")
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    return await shown(orders, order)


async def shown(orders: Served, order: dict[str, Any]) -> dict[str, Any]:
    answer = await orders.ask("GET", f"/api/orders/{order['id']}", by=order["userId"])
    seen: dict[str, Any] = answer.json()
    return seen


async def report(orders: Served, order: dict[str, Any], **changes: Any) -> httpx.Response:
    body = {**REPORT, **changes}
    return await orders.ask("POST", f"/api/orders/{order['id']}/problem", by=order["userId"], json=body)


async def answer(orders: Served, order: dict[str, Any], text: str = "It was the only copy.") -> Any:
    path = f"/api/orders/{order['id']}/problem/answer"
    return await orders.ask("POST", path, by=SELLER, json={"text": text})


async def decide(orders: Served, order: dict[str, Any], decision: str, **body: Any) -> httpx.Response:
    sent = {"orderId": order["id"], "decision": decision, "reason": "The scanner says so", **body}
    return await orders.ask("POST", DECISIONS, json=sent, headers=as_operator(orders))


def as_operator(served: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {operator_token(served.app.state.settings)}"}


async def answered(orders: Served) -> dict[str, Any]:
    order = await buy(orders)
    assert (await report(orders, order)).status_code == 200
    assert (await answer(orders, order)).status_code == 200
    return order


async def problems(orders: Served, order: dict[str, Any]) -> list[str | None]:
    """The states of the report that were published, without repetitions."""
    found = [body["problem"] for _, body in await orders.outbox("orders", order["id"])]
    return [state for index, state in enumerate(found) if index == 0 or state != found[index - 1]]


# --- The report and the answer ---


async def test_a_buyer_reports_a_problem_and_the_seller_answers_once(orders: Served) -> None:
    order = await buy(orders)
    assert (order["canReport"], order["problem"]) == (True, None)
    for _ in range(2):
        assert (await report(orders, order)).status_code == 200
    [sale] = (await orders.ask("GET", f"/api/orders/sales?orderId={order['id']}", by=SELLER)).json()
    assert (sale["problem"]["text"], sale["canAnswer"]) == (REPORT["text"], True)
    for _ in range(2):
        assert (await answer(orders, order)).json()["canAnswer"] is False
    assert messages(await answer(orders, order, "Another"), 409) == ["Nothing is waiting for your answer"]
    seen = await shown(orders, order)
    assert (seen["canReport"], seen["problem"]["state"]) == (False, "answered")
    assert seen["problem"]["answer"] == "It was the only copy."
    assert await problems(orders, order) == [None, "open", "answered"]


async def test_the_texts_of_both_sides_arent_published(orders: Served) -> None:
    order = await answered(orders)
    published = str(await orders.outbox("orders", order["id"]))
    assert REPORT["text"] not in published
    assert "only copy" not in published


async def test_a_report_after_48_hours_is_refused(orders: Served) -> None:
    order = await buy(orders, starts_at=now() + HOUR)
    with orders_at(now() + HOUR + timedelta(hours=48, minutes=1)):
        assert messages(await report(orders, order), 409) == ["The time to report a problem is over"]


async def test_others_can_neither_report_nor_answer(orders: Served) -> None:
    order = await buy(orders)
    path = f"/api/orders/{order['id']}/problem"
    assert (await orders.ask("POST", path, by=SELLER, json=REPORT)).status_code == 403
    assert (await orders.ask("POST", path, json=REPORT)).status_code == 401
    await report(orders, order)
    by_buyer = await orders.ask("POST", f"{path}/answer", by=order["userId"], json={"text": "No"})
    assert by_buyer.status_code == 403


@pytest.mark.parametrize(
    "wrong", [{"kind": "boring"}, {"text": ""}, {"text": " \n "}, {"text": "a" * 2001}], ids=str
)
async def test_a_report_needs_a_known_kind_and_a_text(orders: Served, wrong: dict[str, str]) -> None:
    assert (await report(orders, await buy(orders), **wrong)).status_code == 400


async def test_two_reports_at_once_make_one(orders: Served) -> None:
    order = await buy(orders)
    both = await asyncio.gather(*(report(orders, order, text=text) for text in ("One", "Two")))
    assert sorted(each.status_code for each in both) == [200, 409]
    assert len([each for each in await problems(orders, order) if each]) == 1


# --- The decision ---


async def test_operators_see_open_reports_with_both_texts(orders: Served) -> None:
    order = await answered(orders)
    listed = (await orders.ask("GET", "/api/orders/problems", headers=as_operator(orders))).json()
    [found] = [each for each in listed if each["id"] == order["id"]]
    assert (found["problem"]["text"], found["problem"]["answer"]) == (REPORT["text"], "It was the only copy.")
    assert (found["unanswered"], found["sellerId"], found["delivery"]) == (False, SELLER, "delivered")
    await decide(orders, order, "reject")
    listed = (await orders.ask("GET", "/api/orders/problems", headers=as_operator(orders))).json()
    assert order["id"] not in [each["id"] for each in listed]


async def test_only_operators_see_and_decide(orders: Served) -> None:
    order = await answered(orders)
    assert (await orders.ask("GET", "/api/orders/problems", by=SELLER)).status_code == 401
    body = {"orderId": order["id"], "decision": "reject", "reason": "No"}
    assert (await orders.ask("POST", DECISIONS, by=SELLER, json=body)).status_code == 401


async def test_a_report_that_isnt_answered_is_marked_and_nothing_happens_by_itself(orders: Served) -> None:
    order = await buy(orders)
    await report(orders, order)
    assert messages(await decide(orders, order, "refund"), 409)[0].startswith("The seller may answer until")
    with orders_at(now() + LATER):
        await actions.sweep_deliveries()
        assert messages(await answer(orders, order), 409) == ["The time to answer is over"]
        assert (await shown(orders, order))["problem"]["state"] == "open"
        assert (await decide(orders, order, "refund")).status_code == 200
    assert (await shown(orders, order))["problem"]["state"] == "refunded"


async def test_a_partial_refund_has_an_amount(orders: Served) -> None:
    order = await answered(orders)
    assert (await decide(orders, order, "partial-refund")).status_code == 400
    assert (await decide(orders, order, "partial-refund", amount="19.99")).status_code == 400
    decided = await decide(orders, order, "partial-refund", amount="5.00")
    assert (decided.json()["problem"]["state"], decided.json()["problem"]["refunded"]) == (
        "partly-refunded",
        500,
    )
    assert (await orders.outbox("orders", order["id"]))[-1][1]["refundDue"] == 500


async def test_of_two_operators_who_decide_at_once_one_decides(orders: Served) -> None:
    order = await answered(orders)
    made = await asyncio.gather(decide(orders, order, "refund"), decide(orders, order, "reject"))
    assert sorted(each.status_code for each in made) == [200, 409]
    [refused] = [each for each in made if each.status_code == 409]
    [winner] = [each for each in made if each.status_code == 200]
    state = winner.json()["problem"]["state"]
    assert messages(refused, 409) == [f"This problem has been decided already: {state}"]
    assert await problems(orders, order) == [None, "open", "answered", state]


async def test_without_the_guard_two_operators_would_both_decide(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: both read the open report before one of them writes."""
    order = await answered(orders)
    both = asyncio.Barrier(2)

    async def unguarded(self: Any, change: dict[str, Any], _: dict[str, Any]) -> bool:
        await both.wait()
        await self.get_pymongo_collection().update_one({"_id": self.id}, change)
        return True

    with monkeypatch.context() as removed:
        removed.setattr(Aggregate, "_update", unguarded)
        made = await asyncio.gather(decide(orders, order, "refund"), decide(orders, order, "reject"))
    assert [each.status_code for each in made] == [200, 200]


async def test_a_repeated_decision_changes_nothing(orders: Served) -> None:
    order = await answered(orders)
    for _ in range(2):
        assert (await decide(orders, order, "reject")).status_code == 200
    assert await problems(orders, order) == [None, "open", "answered", "rejected"]


async def test_an_operator_who_hasnt_read_the_answer_decides_nothing(orders: Served) -> None:
    order = await answered(orders)
    assert messages(await decide(orders, order, "refund", seen="open"), 409) == [
        "The seller has answered meanwhile. Read the answer, and decide again"
    ]


async def test_a_refund_by_command_ends_the_report(orders: Served) -> None:
    order = await answered(orders)
    for status in ("captured", "refunded"):
        await actions.follow_payment(payment_of(order, status), WINDOW)
    seen = await shown(orders, order)
    assert (seen["status"], seen["problem"]["state"]) == ("refunded", "refunded")


async def test_an_order_from_before_there_were_reports_can_be_reported(orders: Served) -> None:
    order = await buy(orders)
    added = dict.fromkeys(("report", "report_open", "reported_at", "refund_due_minor"), 1)
    await orders.database["orders"].update_one({"_id": ObjectId(order["id"])}, {"$unset": added})
    assert (await shown(orders, order))["problem"] is None
    assert (await report(orders, order)).status_code == 200


# --- The refund ---


async def decided_on(service: PaymentsService, due: int, token: str = "tok_visa") -> OrderUpdated:
    """The event that an operator has decided to return this much of a bought ticket's price."""
    order = await service.bought(token)
    event = next_event(next_event(order, "complete"), "complete")
    state = "refunded" if due >= 1999 else "partly-refunded"
    return OrderUpdated(**{**dict(event), "problem": state, "refund_due": due})


async def test_a_decided_partial_refund_is_made_once(service: PaymentsService) -> None:
    event = await decided_on(service, 500)
    for _ in range(2):
        await service.payments.follow_order(event)
    await asyncio.gather(*(service.payments.follow_order(event) for _ in range(4)))
    assert [refund.amount for refund in await service.refunds(event)] == [500]
    seen = await service.shown(event)
    assert (seen["status"], seen["refundedAmount"], seen["refundFailed"]) == ("captured", 500, False)


async def test_a_decided_full_refund_is_made_once(service: PaymentsService) -> None:
    event = await decided_on(service, 1999)
    await asyncio.gather(*(service.payments.follow_order(event) for _ in range(4)))
    assert [refund.amount for refund in await service.refunds(event)] == [1999]
    assert (await service.shown(event))["status"] == "refunded"


async def test_processes_that_refund_a_part_at_once_refund_it_once(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await decided_on(service, 500)
    await _refund_at_once(service, event, monkeypatch)
    assert [refund.amount for refund in await service.refunds(event)] == [500]


async def test_without_the_key_processes_refund_a_part_repeatedly(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: with another key for each request, Stripe makes each refund."""
    event = await decided_on(service, 500)
    keys = iter(range(100))
    monkeypatch.setattr(client, "refund_key", lambda *_: f"{event.id}:{next(keys)}")
    await _refund_at_once(service, event, monkeypatch)
    assert [refund.amount for refund in await service.refunds(event)] == [500] * 3


async def _refund_at_once(
    service: PaymentsService, event: OrderUpdated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let three processes read the refunds before one of them requests one."""
    stored = await Payment.first({"order_id": event.id})
    assert stored is not None
    payment = stored.model_copy(update={"status": "refunding", "refund_target": 500})
    read, everyone, reads = ledger.refunds_of, asyncio.Barrier(3), iter(range(100))

    async def read_together(*asked: Any) -> Any:
        found = await read(*asked)
        if next(reads) < 3:
            await everyone.wait()
        return found

    with monkeypatch.context() as slow:
        slow.setattr(ledger, "refunds_of", read_together)
        gateway = service.payments.settlement.gateway
        await asyncio.gather(*(gateway.refund(payment) for _ in range(3)))


async def test_a_full_refund_after_a_partial_one_returns_the_rest(service: PaymentsService) -> None:
    event = await decided_on(service, 500)
    await service.payments.follow_order(event)
    assert (await service.payments.refund(event.id, relist=False)).status == "refunded"
    assert [refund.amount for refund in await service.refunds(event)] == [1499, 500]


async def test_a_partial_refund_that_takes_time_is_continued(service: PaymentsService) -> None:
    event = await decided_on(service, 500, "tok_pendingRefund")
    await service.payments.follow_order(event)
    assert (await service.shown(event))["status"] == "refunding"
    await service.newest_refund_becomes(event, "succeeded")
    await service.reconcile()
    seen = await service.shown(event)
    assert (seen["status"], seen["refundedAmount"]) == ("captured", 500)
    assert len(await service.refunds(event)) == 1


async def test_a_process_that_dies_before_the_partial_refund_leaves_it_to_the_reconciler(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = await decided_on(service, 500)

    async def die(*_: Any, **__: Any) -> Any:
        raise SystemError

    with monkeypatch.context() as crashed:
        crashed.setattr(type(service.payments.settlement), "advance", die)
        with pytest.raises(SystemError):
            await service.payments.follow_order(event)
    await service.reconcile()
    seen = await service.shown(event)
    assert (seen["status"], seen["refundedAmount"]) == ("captured", 500)


async def test_a_failed_partial_refund_is_tried_again_or_recorded(service: PaymentsService) -> None:
    event = await decided_on(service, 500, "tok_refundFail")
    await service.payments.follow_order(event)
    await service.newest_refund_becomes(event, "failed")
    assert (await service.refresh(event)).refund_failed
    again = await service.payments.refund(event.id, relist=False, again=True)
    assert again.target == 500
    await service.newest_refund_becomes(event, "failed")
    assert (await service.refresh(event)).refund_failed
    returned = await service.payments.record_returned(event.id, relist=False)
    assert (returned.status, returned.refunded_amount) == ("captured", 500)


# --- The payout ---


async def becomes(payouts: PayoutsService, sold: Sold, version: int, **changes: Any) -> None:
    """Deliver a later event of the order."""
    await payouts.payouts.follow_order(sold.order.model_copy(update={"version": version, **changes}))


async def test_a_report_freezes_the_sale_until_it_is_rejected(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    for version, state in ((5, "open"), (6, "answered")):
        await becomes(payouts, sold, version, problem=state)
        await payouts.reconcile()
        assert await payouts.state(sold) == "frozen"
    assert await payouts.transfers_of(sold) == []
    await becomes(payouts, sold, 7, problem="rejected")
    await payouts.reconcile()
    assert await payouts.state(sold) == "paid"
    assert len(await payouts.transfers_of(sold)) == 1


async def test_a_partly_refunded_sale_stays_frozen_until_the_refund_and_then_pays_the_rest(
    payouts: PayoutsService,
) -> None:
    sold = await payouts.sold(await payouts.seller())
    await becomes(payouts, sold, 5, problem="partly-refunded", refund_due=500)
    await payouts.reconcile()
    assert await payouts.state(sold) == "frozen"
    await payouts.becomes(sold, refunded_amount=500)
    await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    assert transfer.amount == (await payouts.sale(sold)).net < 1499
    assert await payouts.state(sold) == "paid"


async def test_a_refunded_sale_is_reversed(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await becomes(payouts, sold, 5, problem="refunded", refund_due=1999)
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    assert await payouts.state(sold) == "reversed"
    assert await payouts.transfers_of(sold) == []


async def test_a_report_after_the_payout_changes_nothing_until_the_refund_reverses_it(
    payouts: PayoutsService,
) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.reconcile()
    await becomes(payouts, sold, 5, problem="open")
    assert await payouts.state(sold) == "paid"
    await becomes(payouts, sold, 6, problem="refunded", refund_due=1999)
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    assert await payouts.state(sold) == "reversed"


async def test_a_report_that_arrives_just_before_the_transfer_freezes_the_sale(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await payouts.sold(await payouts.seller())
    _report_while_the_charge_is_read(payouts, sold, monkeypatch)
    await payouts.reconcile()
    assert await payouts.transfers_of(sold) == []
    assert await payouts.state(sold) == "frozen"


async def test_without_the_guard_a_reported_sale_would_be_transferred(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    sold = await payouts.sold(await payouts.seller())
    _report_while_the_charge_is_read(payouts, sold, monkeypatch)

    async def unguarded(self: Sale, changes: Any, **_: Any) -> Sale:
        stored = {
            name: getattr(value, "model_dump", lambda value=value: value)() for name, value in changes.items()
        }
        await self.get_pymongo_collection().update_one({"_id": self.id}, {"$set": stored})
        return self.model_copy(update=dict(changes))

    monkeypatch.setattr(Sale, "save_private", unguarded)
    await payouts.reconcile()
    assert len(await payouts.transfers_of(sold)) == 1


def _report_while_the_charge_is_read(
    payouts: PayoutsService, sold: Sold, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Gateway.charge_of

    async def read_slowly(self: Gateway, intent_id: str) -> Any:
        charge = await read(self, intent_id)
        await becomes(payouts, sold, 5, problem="open")
        return charge

    monkeypatch.setattr(Gateway, "charge_of", read_slowly)
