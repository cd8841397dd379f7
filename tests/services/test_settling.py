import asyncio
from datetime import timedelta

import pytest

from services.kit import copies
from services.kit.errors import NotFound
from tests.services.market import an_order, moved
from tests.services.served import new_id
from tests.services.till import Till


async def test_a_complete_order_takes_the_money(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    for _ in range(2):
        await till.becomes(order, "complete")
    (intent,) = await till.intents(order)
    assert (intent.status, intent.amount_received) == ("succeeded", 1999)
    assert await till.told(order) == [
        ("payment.created", 0, "authorized"),
        ("payment.updated", 1, "captured"),
    ]
    again = await till.pay(order)
    assert (again.status_code, again.json()["status"]) == (201, "captured")


async def test_a_cancelled_order_lets_the_money_go(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    for _ in range(2):
        await till.becomes(order, "cancelled")
    assert await till.statuses(order) == ["canceled"]
    assert await till.told(order) == [("payment.created", 0, "authorized"), ("payment.updated", 1, "voided")]
    assert (await till.pay(order)).status_code == 409


async def test_an_order_cancelled_during_the_banks_check_cannot_be_charged(till: Till) -> None:
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    check = await till.shown(order)
    await till.becomes(order, "cancelled")
    assert await till.statuses(order) == ["canceled"]
    assert check["status"] == "pending"
    assert (await till.shown(order))["status"] == "voided"


async def test_an_order_cancelled_after_a_decline_is_voided(till: Till) -> None:
    order = await till.order()
    assert (await till.pay(order, "tok_chargeDeclined")).status_code == 402
    await till.becomes(order, "cancelled")
    assert await till.statuses(order) == ["canceled"]
    assert (await till.shown(order))["status"] == "voided"


async def test_what_was_taken_for_an_order_that_is_cancelled_is_given_back(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    await till.becomes(order, "complete")
    await till.payments.follow_order(moved(moved(order, "complete"), "cancelled"))
    (intent,) = await till.intents(order)
    refunds = await till.shop.v1.refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in refunds.data] == [1999]
    assert [status for _, _, status in await till.told(order)] == ["authorized", "captured", "refunded"]


async def test_an_order_that_nobody_paid_for_has_no_payment(till: Till) -> None:
    order = await till.order()
    await till.becomes(order, "cancelled")
    assert await till.intents(order) == []
    assert await till.served.database["payments"].count_documents({}) == 0


async def test_an_event_that_comes_late_or_twice_changes_nothing(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    await till.becomes(order, "complete")
    before = await till.stored(order)
    await till.payments.follow_order(order)
    await till.becomes(order, "complete")
    await till.payments.follow_order(moved(order, "cancelled"))  # as old as the completion
    assert await till.stored(order) == before
    assert await till.statuses(order) == ["succeeded"]


async def test_completion_heard_by_many_at_once_takes_the_money_once(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    await asyncio.gather(*(till.becomes(order, "complete") for _ in range(4)))
    (intent,) = await till.intents(order)
    assert intent.amount_received == 1999
    assert await till.told(order) == [
        ("payment.created", 0, "authorized"),
        ("payment.updated", 1, "captured"),
    ]


async def test_of_paying_and_cancelling_at_once_nothing_is_left_authorized(till: Till) -> None:
    for _ in range(3):
        order = await till.order()
        answer, _ = await asyncio.gather(till.pay(order), till.becomes(order, "cancelled"))
        assert answer.status_code in (201, 409)
        await till.payments.reconcile()
        assert {*await till.statuses(order)} <= {"canceled"}
        assert (await till.pay(order)).status_code == 409


async def test_the_reconciler_takes_what_an_event_was_lost_for(till: Till) -> None:
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    assert len(await till.payments.reconcile()) == 0
    await till.answer_check(order, "approve")
    assert len(await till.payments.reconcile()) == 1
    assert (await till.shown(order))["status"] == "authorized"
    assert len(await till.payments.reconcile()) == 0


async def test_a_payment_of_an_order_that_nobody_heard_of_is_not_begun(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PATIENCE", timedelta(seconds=0.2))
    order = an_order(new_id())
    with pytest.raises(NotFound):
        await till.payments.pay(order.id, "tok_visa", order.user_id)
    assert await till.served.database["payments"].count_documents({}) == 0


async def test_a_buyer_who_comes_back_from_the_bank_is_told_at_once(till: Till) -> None:
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    assert (await till.shown(order))["status"] == "pending"
    await till.answer_check(order, "approve")
    assert (await till.shown(order))["status"] == "authorized"


async def test_a_refused_bank_check_is_told_in_words_for_buyers(till: Till) -> None:
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    await till.answer_check(order, "refuse")
    payment = await till.shown(order)
    assert payment["status"] == "failed"
    assert payment["declineMessage"] == "Your bank didn't confirm the payment. Try again or use another card."
