import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.events import OrderEvent
from services.kit import copies
from services.payments.documents import Payment
from services.payments.gateway import Gateway
from services.payments.rules import Outcome, PaymentState
from tests.people import PATIENCE
from tests.services.market import an_order, minor
from tests.services.served import messages, new_id, old_id, refusal
from tests.services.till import Till


def authorized(payment: dict[str, Any]) -> dict[str, Any]:
    """What is answered to who pays."""
    return {"id": payment["id"], "status": "authorized", "pageUrl": None}


async def test_a_payment_is_authorized_at_stripe_and_not_yet_taken(till: Till) -> None:
    order = await till.order()
    answer = await till.pay(order)
    payment = await till.shown(order)
    assert (answer.status_code, answer.json()) == (201, authorized(payment))
    assert payment == {
        "id": payment["id"],
        "orderId": order.id,
        "status": "authorized",
        "amount": 1999,
        "currency": "usd",
        "declineMessage": None,
        "actionUrl": None,
        "pageUrl": None,
    }
    (intent,) = await till.intents(order)
    assert (intent.status, intent.amount, intent.amount_received) == ("requires_capture", 1999, 0)
    assert intent.to_dict()["metadata"] == {"order_id": order.id}


@pytest.mark.parametrize(
    ("price", "amount"), [("0.5", 50), ("19.99", 1999), ("0.57", 57), ("999999.99", 99999999)]
)
async def test_stripe_holds_the_price_to_the_cent(till: Till, price: str, amount: int) -> None:
    order = await till.order(price=price)
    assert (await till.pay(order)).status_code == 201
    (intent,) = await till.intents(order)
    assert (intent.amount, minor(order)) == (amount, amount)


async def test_an_authorized_payment_leaves_one_event_with_all_of_it(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    payment = await till.shown(order)
    (intent,) = await till.intents(order)
    assert await till.served.outbox("payments", payment["id"]) == [
        (
            "payment.created",
            {
                "id": payment["id"],
                "version": 0,
                "orderId": order.id,
                "status": "authorized",
                "amount": 1999,
                "currency": "usd",
                "bankCheck": False,
                "relist": False,
                "stripeId": intent.id,
            },
        )
    ]


async def test_without_a_card_the_test_card_pays(till: Till) -> None:
    order = await till.order()
    assert (await till.pay(order, None)).json()["status"] == "authorized"


async def test_a_payment_method_pays_as_a_token_does(till: Till) -> None:
    order = await till.order()
    assert (await till.pay(order, "pm_card_visa")).json()["status"] == "authorized"


async def test_paying_again_gives_the_same_payment_and_charges_nothing(till: Till) -> None:
    order = await till.order()
    first = await till.pay(order)
    for token in ("tok_visa", "tok_mastercard", "tok_chargeDeclined"):
        again = await till.pay(order, token)
        assert (again.status_code, again.content) == (first.status_code, first.content)
    assert await till.statuses(order) == ["requires_capture"]
    assert len(await till.told(order)) == 1


async def test_payments_of_one_order_at_once_charge_once(till: Till) -> None:
    order = await till.order()
    answers = await asyncio.gather(*(till.pay(order) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await till.statuses(order) == ["requires_capture"]
    payment = await till.shown(order)
    assert payment["status"] == "authorized"
    assert await till.told(order) == [("payment.created", 0, "authorized")]


class KeyForEachCall(Gateway):
    """Asks for an intent under another idempotency key each time."""

    async def create(self, payment: PaymentState, description: str) -> Outcome:
        return await super().create(
            payment.model_copy(update={"order_id": f"{payment.order_id}-{uuid4()}"}), description
        )


async def test_without_a_key_of_its_own_the_order_is_still_charged_once(till: Till) -> None:
    order = await till.order()
    async with forgetting_keys(till):
        await asyncio.gather(*(till.pay(order) for _ in range(3)))
    assert (await till.statuses(order)).count("requires_capture") == 1


async def test_without_its_index_the_order_still_has_one_intent(till: Till) -> None:
    await till.served.database["payments"].drop_index("one_payment_an_order")
    order = await till.order()
    await asyncio.gather(*(till.pay(order) for _ in range(3)))
    assert await Payment.find({"order_id": order.id}).count() > 1
    assert await till.statuses(order) == ["requires_capture"]


async def test_control_without_index_and_key_the_order_is_charged_more_than_once(till: Till) -> None:
    await till.served.database["payments"].drop_index("one_payment_an_order")
    order = await till.order()
    async with forgetting_keys(till):
        await asyncio.gather(*(till.pay(order) for _ in range(3)))
    assert (await till.statuses(order)).count("requires_capture") > 1


@asynccontextmanager
async def forgetting_keys(till: Till) -> AsyncIterator[None]:
    kept, forgetful = till.payments.gateway, KeyForEachCall(till.served.app.state.settings)
    object.__setattr__(till.payments, "gateway", forgetful)
    yield
    object.__setattr__(till.payments, "gateway", kept)
    await forgetful.close()


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("tok_chargeDeclined", "Your card was declined."),
        ("tok_chargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
        ("tok_chargeDeclinedExpiredCard", "Your card has expired."),
    ],
)
async def test_a_declined_card_is_told_in_stripes_words_and_another_can_be_tried(
    till: Till, token: str, message: str
) -> None:
    order = await till.order()
    answer = await till.pay(order, token)
    assert messages(answer, 402) == [message]
    assert answer.json()["type"] == "/problems/payment-declined"
    payment = await till.shown(order)
    assert (payment["status"], payment["declineMessage"]) == ("failed", message)
    again = await till.pay(order, "tok_visa")
    assert (again.status_code, again.json()) == (201, authorized(payment))
    assert (await till.stored(order))["attempt"] == 2
    assert (await till.shown(order))["declineMessage"] is None
    assert await till.statuses(order) == ["requires_capture"]
    assert await till.told(order) == [
        ("payment.created", 0, "failed"),
        ("payment.updated", 1, "pending"),
        ("payment.updated", 2, "authorized"),
    ]


async def test_one_card_can_be_declined_time_and_again(till: Till) -> None:
    order = await till.order()
    for _ in range(3):
        assert messages(await till.pay(order, "tok_chargeDeclined"), 402) == ["Your card was declined."]
    assert (await till.stored(order))["attempt"] == 3
    assert (await till.pay(order)).status_code == 201


async def test_a_card_that_stripe_does_not_know_is_a_decline(till: Till) -> None:
    order = await till.order()
    assert messages(await till.pay(order, "tok_madeUp"), 402) == ["That card can't be used. Try another one."]
    assert (await till.pay(order)).status_code == 201


async def test_a_card_whose_bank_asks_leads_to_the_banks_page(till: Till) -> None:
    order = await till.order()
    answer = await till.pay(order, "tok_threeDSecure2Required")
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    payment = await till.shown(order)
    assert (payment["status"], "/3d_secure/" in payment["actionUrl"]) == ("pending", True)
    assert await till.told(order) == [("payment.created", 0, "pending")]
    again = await till.pay(order)
    assert again.json() == answer.json()
    assert await till.statuses(order) == ["requires_action"]


@pytest.mark.parametrize(("said", "status"), [("approve", "authorized"), ("refuse", "failed")])
async def test_the_banks_answer_is_found_by_the_next_look(till: Till, said: str, status: str) -> None:
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    await till.answer_check(order, said)
    answer = await till.pay(order)
    assert answer.status_code == (201 if said == "approve" else 402)
    payment = await till.shown(order)
    assert (payment["status"], payment["actionUrl"]) == (status, None)
    assert await till.told(order) == [("payment.created", 0, "pending"), ("payment.updated", 1, status)]


async def test_only_the_buyer_can_pay_and_see_the_payment(till: Till) -> None:
    order = await till.order()
    assert messages(await till.pay(order, by=new_id()), 403) == ["That order isn't yours"]
    assert await till.intents(order) == []
    await till.pay(order)
    others = await till.served.ask("GET", "/api/payments", by=new_id(), params={"orderId": order.id})
    assert (others.status_code, others.json()) == (200, [])


async def test_a_cancelled_order_cannot_be_paid(till: Till) -> None:
    order = await till.order(status="cancelled", version=1)
    assert messages(await till.pay(order), 409) == ["Cannot pay for a cancelled order"]
    assert await till.intents(order) == []


async def test_an_order_whose_time_is_over_cannot_be_paid(till: Till) -> None:
    order = await till.order(time_left=timedelta(seconds=-1))
    assert messages(await till.pay(order), 409) == ["The time to pay for this order is over"]
    assert await till.intents(order) == []


@pytest.mark.parametrize(
    "unknown", ["7", "no id", "0" * 23, "g" * 24, old_id()], ids=["digit", "words", "short", "letters", "old"]
)
async def test_an_unknown_order_is_not_found_without_delay(
    till: Till, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PATIENCE", timedelta(hours=1))
    async with asyncio.timeout(PATIENCE):
        answer = await till.served.ask("POST", "/api/payments", by=new_id(), json={"orderId": unknown})
    assert messages(answer, 404) == ["Not found"]


async def test_an_order_that_was_made_just_now_is_waited_for(till: Till) -> None:
    order: OrderEvent = an_order(new_id())
    asked = asyncio.create_task(till.pay(order))
    done, _ = await asyncio.wait({asked}, timeout=0.1)
    assert not done
    await till.payments.follow_order(order)
    assert (await asked).status_code == 201


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("orderId", "OrderId is required")]),
        ({"orderId": ""}, [("orderId", "OrderId is required")]),
        ({"orderId": {"$ne": ""}}, [("orderId", "OrderId must be text")]),
        ({"orderId": "x", "token": "4242424242424242"}, [("token", "Token isn't valid")]),
        ({"orderId": "x", "token": {"id": "tok_visa"}}, [("token", "Token must be text")]),
        ({"orderId": "x", "amount": 1}, [("amount", "Amount isn't a known field")]),
    ],
)
async def test_a_payment_names_what_is_wrong(
    till: Till, body: object, expected: list[tuple[str, str]]
) -> None:
    answer = await till.served.ask("POST", "/api/payments", by=new_id(), json=body)
    assert refusal(answer, 400) == expected


async def test_payments_are_listed_by_order_only(till: Till) -> None:
    nameless = await till.served.ask("GET", "/api/payments", by=new_id())
    assert refusal(nameless, 400) == [("orderId", "OrderId is required")]
    long = await till.served.ask("GET", "/api/payments", by=new_id(), params={"orderId": "x" * 65})
    assert refusal(long, 400) == [("orderId", "OrderId isn't valid")]
    unknown = await till.served.ask("GET", "/api/payments", by=new_id(), params={"orderId": new_id()})
    assert (unknown.status_code, unknown.json()) == (200, [])
