"""Payments with a card: authorization, declines, bank checks, and concurrent requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.api import Order
from contracts.wire import now
from kit.errors import Forbidden
from kit.stripe.errors import OutcomeUnknown
from services.payments.documents import Payment
from services.payments.rules import Outcome, PaymentState
from services.payments.stripe_gateway.client import Gateway
from tests.support.events import an_order, minor
from tests.support.owners import FakeOwner
from tests.support.payments import PaymentsService
from tests.support.service import messages, new_id, old_id, refusal, token_for


def authorized_body(payment: dict[str, Any]) -> dict[str, Any]:
    """The body of the response to a buyer whose payment was authorized."""
    return {"id": payment["id"], "status": "authorized", "pageUrl": None, "refundFailed": False}


async def test_a_payment_is_authorized_at_stripe_but_not_captured(service: PaymentsService) -> None:
    order = await service.order()
    answer = await service.pay(order)
    payment = await service.shown(order)
    assert (answer.status_code, answer.json()) == (201, authorized_body(payment))
    assert payment == {
        "id": payment["id"],
        "orderId": order.id,
        "status": "authorized",
        "amount": 1999,
        "currency": "usd",
        "declineMessage": None,
        "actionUrl": None,
        "pageUrl": None,
        "processing": False,
        "refundedAmount": 0,
        "refundFailed": False,
        "dispute": None,
    }
    (intent,) = await service.intents(order)
    assert (intent.status, intent.amount, intent.amount_received) == ("requires_capture", 1999, 0)
    assert intent.to_dict()["metadata"] == {"order_id": order.id}


@pytest.mark.parametrize(
    ("price", "amount"), [("0.5", 50), ("19.99", 1999), ("0.57", 57), ("999999.99", 99999999)]
)
async def test_the_authorized_amount_is_exactly_the_price(
    service: PaymentsService, price: str, amount: int
) -> None:
    order = await service.order(price=price)
    assert (await service.pay(order)).status_code == 201
    (intent,) = await service.intents(order)
    assert (intent.amount, minor(order)) == (amount, amount)


async def test_a_payment_publishes_that_it_begins_and_then_its_complete_state(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await service.pay(order)
    payment = await service.shown(order)
    (intent,) = await service.intents(order)
    charge = await service.shop.v1.charges.retrieve_async(str(intent.latest_charge))
    authorized_at = f"{datetime.fromtimestamp(charge.created, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    begun = {
        "id": payment["id"],
        "version": 0,
        "orderId": order.id,
        "status": "pending",
        "amount": 1999,
        "currency": "usd",
        "bankCheck": False,
        "relist": False,
        "refundedAmount": 0,
        "lostAmount": 0,
        "refundFailed": False,
        "dispute": None,
        "stripeId": None,
        "authorizedAt": None,
    }
    authorized = {"status": "authorized", "stripeId": intent.id, "authorizedAt": authorized_at}
    assert await service.served.outbox("payments", payment["id"]) == [
        ("payment.created", begun),
        ("payment.updated", {**begun, **authorized, "version": 1}),
    ]


async def test_a_payment_is_published_before_stripe_is_asked(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await service.order()
    seen: list[list[tuple[str, int, str]]] = []

    async def create(*_: object) -> Outcome:
        seen.append(await service.published(order))
        raise OutcomeUnknown

    monkeypatch.setattr(Gateway, "create", create)
    assert (await service.pay(order)).json()["status"] == "pending"
    assert seen == [[]]  # nothing after the first event


async def test_a_captured_payment_keeps_the_time_of_its_authorization(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    authorized_at = (await service.stored(order))["authorized_at"]
    await service.becomes(order, "complete")
    captured = await service.stored(order)
    assert (captured["status"], captured["authorized_at"]) == ("captured", authorized_at)
    assert abs(now() - authorized_at) < timedelta(minutes=1)


async def test_a_payment_method_id_is_accepted_like_a_card_token(service: PaymentsService) -> None:
    order = await service.order()
    assert (await service.pay(order, "pm_card_visa")).json()["status"] == "authorized"


async def test_paying_again_returns_the_same_payment_and_charges_nothing(service: PaymentsService) -> None:
    order = await service.order()
    first = await service.pay(order)
    for token in ("tok_visa", "tok_mastercard", "tok_chargeDeclined"):
        again = await service.pay(order, token)
        assert (again.status_code, again.content) == (first.status_code, first.content)
    assert await service.statuses(order) == ["requires_capture"]
    assert len(await service.published(order)) == 1


async def test_concurrent_payments_of_one_order_charge_once(service: PaymentsService) -> None:
    order = await service.order()
    answers = await asyncio.gather(*(service.pay(order) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await service.statuses(order) == ["requires_capture"]
    payment = await service.shown(order)
    assert payment["status"] == "authorized"
    assert await service.published(order) == [("payment.updated", 1, "authorized")]


class GatewayWithNewKeys(Gateway):
    """A gateway that creates every PaymentIntent with a new idempotency key."""

    async def create(self, payment: PaymentState, description: str) -> Outcome:
        return await super().create(
            payment.model_copy(update={"order_id": f"{payment.order_id}-{uuid4()}"}), description
        )


async def test_concurrent_payments_with_different_stripe_keys_still_charge_once(
    service: PaymentsService,
) -> None:
    order = await service.order()
    async with gateway_with_new_keys(service):
        await asyncio.gather(*(service.pay(order) for _ in range(3)))
    assert (await service.statuses(order)).count("requires_capture") == 1


async def test_concurrent_payments_without_the_unique_index_still_create_one_intent(
    service: PaymentsService,
) -> None:
    await service.served.database["payments"].drop_index("one_payment_an_order")
    order = await service.order()
    await asyncio.gather(*(service.pay(order) for _ in range(3)))
    assert await Payment.find({"order_id": order.id}).count() > 1
    assert await service.statuses(order) == ["requires_capture"]


async def test_control_without_the_unique_index_and_a_shared_key_concurrent_payments_charge_more_than_once(
    service: PaymentsService,
) -> None:
    await service.served.database["payments"].drop_index("one_payment_an_order")
    order = await service.order()
    async with gateway_with_new_keys(service):
        await asyncio.gather(*(service.pay(order) for _ in range(3)))
    assert (await service.statuses(order)).count("requires_capture") > 1


@asynccontextmanager
async def gateway_with_new_keys(service: PaymentsService) -> AsyncIterator[None]:
    settlement = service.payments.settlement
    original, replacement = settlement.gateway, GatewayWithNewKeys(service.served.app.state.settings)
    object.__setattr__(settlement, "gateway", replacement)
    yield
    object.__setattr__(settlement, "gateway", original)
    await replacement.close()


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("tok_chargeDeclined", "Your card was declined."),
        ("tok_chargeDeclinedInsufficientFunds", "Your card has insufficient funds."),
        ("tok_chargeDeclinedExpiredCard", "Your card has expired."),
    ],
)
async def test_after_a_decline_the_buyer_sees_stripes_message_and_can_use_another_card(
    service: PaymentsService, token: str, message: str
) -> None:
    order = await service.order()
    answer = await service.pay(order, token)
    assert messages(answer, 402) == [message]
    assert answer.json()["type"] == "/problems/payment-declined"
    payment = await service.shown(order)
    assert (payment["status"], payment["declineMessage"]) == ("failed", message)
    again = await service.pay(order, "tok_visa")
    assert (again.status_code, again.json()) == (201, authorized_body(payment))
    assert (await service.stored(order))["attempt"] == 2
    assert (await service.shown(order))["declineMessage"] is None
    assert await service.statuses(order) == ["requires_capture"]
    assert await service.published(order) == [
        ("payment.updated", 1, "failed"),
        ("payment.updated", 2, "pending"),
        ("payment.updated", 3, "authorized"),
    ]


async def test_several_declines_do_not_prevent_a_payment_with_another_card(service: PaymentsService) -> None:
    order = await service.order()
    for _ in range(3):
        assert messages(await service.pay(order, "tok_chargeDeclined"), 402) == ["Your card was declined."]
    assert (await service.stored(order))["attempt"] == 3
    assert (await service.pay(order)).status_code == 201


async def test_a_card_unknown_to_stripe_counts_as_declined(service: PaymentsService) -> None:
    order = await service.order()
    assert messages(await service.pay(order, "tok_madeUp"), 402) == [
        "That card can't be used. Try another one."
    ]
    assert (await service.pay(order)).status_code == 201


async def test_a_payment_that_needs_a_bank_check_has_the_address_of_the_banks_page(
    service: PaymentsService,
) -> None:
    order = await service.order()
    answer = await service.pay(order, "tok_threeDSecure2Required")
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    payment = await service.shown(order)
    assert (payment["status"], "/3d_secure/" in payment["actionUrl"]) == ("pending", True)
    assert await service.published(order) == [("payment.updated", 1, "pending")]
    again = await service.pay(order)
    assert again.json() == answer.json()
    assert await service.statuses(order) == ["requires_action"]


@pytest.mark.parametrize(("decision", "status"), [("approve", "authorized"), ("refuse", "failed")])
async def test_paying_again_after_the_bank_check_returns_its_result(
    service: PaymentsService, decision: str, status: str
) -> None:
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    await service.answer_check(order, decision)
    answer = await service.pay(order)
    assert answer.status_code == (201 if decision == "approve" else 402)
    payment = await service.shown(order)
    assert (payment["status"], payment["actionUrl"]) == (status, None)
    assert await service.published(order) == [
        ("payment.updated", 1, "pending"),
        ("payment.updated", 2, status),
    ]


async def test_only_the_buyer_can_pay_and_see_the_payment(service: PaymentsService) -> None:
    order = await service.order()
    assert messages(await service.pay(order, by=new_id()), 403) == ["That order isn't yours"]
    assert await service.intents(order) == []
    await service.pay(order)
    others = await service.served.ask("GET", "/api/payments", by=new_id(), params={"orderId": order.id})
    assert (others.status_code, others.json()) == (200, [])


async def test_the_payments_of_several_orders_are_listed_in_one_response_without_those_of_other_buyers(
    service: PaymentsService,
) -> None:
    buyer = new_id()
    mine = [await service.order(by=buyer) for _ in range(3)]
    others, declined = await service.order(), mine[1]
    for order in (mine[0], others):
        await service.pay(order)
    await service.pay(declined, "tok_chargeDeclined")
    orders = [order.id for order in (*mine, others)]
    answer = await service.served.ask("GET", "/api/payments", by=buyer, params={"orderId": orders})
    assert {payment["orderId"]: payment["status"] for payment in answer.json()} == {
        mine[0].id: "authorized",
        declined.id: "failed",
    }
    single = await service.shown(declined)
    assert single in answer.json()


async def test_a_cancelled_order_cannot_be_paid(service: PaymentsService) -> None:
    order = await service.order(status="cancelled", version=1)
    assert messages(await service.pay(order), 409) == ["Cannot pay for a cancelled order"]
    assert await service.intents(order) == []


async def test_an_expired_order_cannot_be_paid(service: PaymentsService) -> None:
    order = await service.order(time_left=timedelta(seconds=-1))
    assert messages(await service.pay(order), 409) == ["The time to pay for this order is over"]
    assert await service.intents(order) == []


@pytest.mark.parametrize(
    "unknown",
    ["7", "no id", "0" * 23, "g" * 24, old_id(), new_id()],
    ids=["digit", "words", "too short", "not hexadecimal", "old id", "new id"],
)
async def test_a_payment_for_an_unknown_order_is_not_found(service: PaymentsService, unknown: str) -> None:
    answer = await service.served.ask("POST", "/api/payments", by=new_id(), json={"orderId": unknown})
    assert messages(answer, 404) == ["Not found"]


async def test_a_payment_asks_for_an_order_whose_event_has_not_arrived(service: PaymentsService) -> None:
    """It asks as the buyer, so that the orders service decides who may learn of the order."""
    order = an_order(new_id())
    orders: FakeOwner = service.served.app.state.payments.orders
    path = f"/api/orders/{order.id}"
    orders.known[path] = Order.model_validate(
        {**dict(order), "ticket": {**dict(order.ticket), "version": 0}, "cancel_reason": None}
    )
    token = token_for(order.user_id)
    answer = await service.served.http.post(
        "/api/payments",
        json={"orderId": order.id, "token": "tok_visa"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 201, answer.text
    assert (path, token) in orders.asked
    assert (await service.shown(order))["amount"] == minor(order)


async def test_a_payment_for_an_order_of_another_buyer_is_refused_before_its_event_has_arrived(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(*_: object, **__: object) -> Order:
        raise Forbidden

    monkeypatch.setattr(service.payments.orders, "get", get)
    answer = await service.served.ask("POST", "/api/payments", by=new_id(), json={"orderId": new_id()})
    assert messages(answer, 403) == ["That order isn't yours"]


@pytest.mark.parametrize("token", ["tok_visa", "tok_unknown", "asdf", "", None])
async def test_an_unknown_order_is_not_found_and_a_foreign_one_is_forbidden_whatever_the_token(
    service: PaymentsService, token: str | None
) -> None:
    """As in the Node version, so that its clients get the same errors."""
    body = {"orderId": new_id(), "token": token}
    unknown = await service.served.ask("POST", "/api/payments", by=new_id(), json=body)
    assert messages(unknown, 404) == ["Not found"]
    order = await service.order()
    body = {"orderId": order.id, "token": token}
    foreign = await service.served.ask("POST", "/api/payments", by=new_id(), json=body)
    assert messages(foreign, 403) == ["That order isn't yours"]
    assert await service.intents(order) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, [("orderId", "OrderId is required")]),
        ({"orderId": ""}, [("orderId", "OrderId is required")]),
        ({"orderId": {"$ne": ""}}, [("orderId", "OrderId must be text")]),
        ({"orderId": "x", "token": {"id": "tok_visa"}}, [("token", "Token must be text")]),
        ({"orderId": "x", "amount": 1}, [("amount", "Amount isn't a known field")]),
    ],
)
async def test_the_error_for_an_invalid_payment_request_names_the_invalid_field(
    service: PaymentsService, body: object, expected: list[tuple[str, str]]
) -> None:
    answer = await service.served.ask("POST", "/api/payments", by=new_id(), json=body)
    assert refusal(answer, 400) == expected


async def test_a_request_for_payments_requires_a_valid_order_id(service: PaymentsService) -> None:
    missing = await service.served.ask("GET", "/api/payments", by=new_id())
    assert refusal(missing, 400) == [("orderId", "OrderId is required")]
    too_long = await service.served.ask("GET", "/api/payments", by=new_id(), params={"orderId": "x" * 65})
    assert refusal(too_long, 400) == [("orderId", "OrderId isn't valid")]
    too_many = await service.served.ask(
        "GET", "/api/payments", by=new_id(), params={"orderId": [new_id()] * 101}
    )
    assert refusal(too_many, 400) == [("orderId", "OrderId isn't valid")]
    unknown = await service.served.ask("GET", "/api/payments", by=new_id(), params={"orderId": new_id()})
    assert (unknown.status_code, unknown.json()) == (200, [])


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (None, "Token is required"),
        ("", "Token is required"),
        ("4242424242424242", "Token isn't valid"),
        ("tok_visa\n", "Token isn't valid"),
        ("tok_" + "x" * 201, "Token isn't valid"),
    ],
)
async def test_a_payment_on_our_page_requires_a_token(
    service: PaymentsService, token: str | None, why: str
) -> None:
    order = await service.order()
    assert refusal(await service.pay(order, token), 400) == [("token", why)]
    assert await service.served.database["payments"].count_documents({"order_id": order.id}) == 0
    assert (await service.pay(order)).status_code == 201


@pytest.mark.parametrize("token", [None, "4242424242424242"])
async def test_the_order_is_checked_before_the_token(service: PaymentsService, token: str | None) -> None:
    order = await service.order()
    assert messages(await service.pay(order, token, by=new_id()), 403) == ["That order isn't yours"]
    await service.becomes(order, "cancelled")
    assert messages(await service.pay(order, token), 409) == ["Cannot pay for a cancelled order"]


async def test_an_order_below_the_smallest_charge_is_refused_with_the_reason(
    service: PaymentsService,
) -> None:
    """Its ticket may have been listed before prices had a minimum."""
    order = await service.order(price="0.49")
    answer = await service.pay(order)
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/price-too-low"
    assert answer.json()["title"] == (
        "This ticket can't be paid for, because its price is below $0.50. Release the ticket"
    )
    assert await service.intents(order) == []
