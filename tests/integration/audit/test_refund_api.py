"""Refunds that operators request through the API, and their effect on the order and its ticket."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
import stripe
from bson import ObjectId

from contracts.events import OrderEvent, PaymentEvent, PaymentUpdated
from kit.secrets import operator_token
from kit.stripe.errors import OutcomeUnknown
from services.orders import actions
from services.payments.settlement import Settlement
from tests.support.events import WINDOW, confirm_hold, on_sale
from tests.support.payments import PaymentsService
from tests.support.service import Served, SettingsWith, messages, new_id, refusal, serving

REFUNDS = "/api/payments/refunds"


async def request_refund(service: PaymentsService, body: Any, *, token: str | None = None) -> httpx.Response:
    secret = operator_token(service.served.app.state.settings) if token is None else token
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return await service.served.ask("POST", REFUNDS, json=body, headers=headers)


async def refund(service: PaymentsService, order: OrderEvent, *, relist: bool = False) -> httpx.Response:
    return await request_refund(service, {"orderId": order.id, "relist": relist})


async def buy(service: PaymentsService) -> OrderEvent:
    """Return a complete order whose payment is captured."""
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    return order


async def refunds_of(service: PaymentsService, order: OrderEvent) -> list[int]:
    (intent,) = await service.intents(order)
    listed = await service.shop.v1.refunds.list_async({"payment_intent": intent.id})
    return [refund.amount for refund in listed.data]


async def test_an_operator_refunds_the_full_amount(service: PaymentsService) -> None:
    order = await buy(service)
    answer = await refund(service, order)
    assert (answer.status_code, answer.json()["status"]) == (201, "refunded")
    assert await refunds_of(service, order) == [1999]
    assert [status for *_, status in await service.published(order)] == [
        "authorized",
        "captured",
        "refunding",
        "refunded",
    ]
    assert (await service.shown(order))["status"] == "refunded"


async def test_a_refund_is_in_the_security_log(
    service: PaymentsService, caplog: pytest.LogCaptureFixture
) -> None:
    order = await buy(service)
    with caplog.at_level(logging.INFO, logger="security"):
        await refund(service, order)
    (event,) = [json.loads(line.getMessage()) for line in caplog.records if line.name == "security"]
    assert {name: event[name] for name in ("event", "outcome", "actor", "order")} == {
        "event": "refund",
        "outcome": "success",
        "actor": "operator",
        "order": order.id,
    }


@pytest.mark.parametrize(
    "token", ["", "wrong", "x" * 64], ids=["missing", "wrong", "wrong but of the right length"]
)
async def test_a_refund_without_the_operator_token_is_refused(service: PaymentsService, token: str) -> None:
    order = await buy(service)
    refusal(await request_refund(service, {"orderId": order.id}, token=token), 401)
    assert (await service.stored(order))["status"] == "captured"


async def test_the_previous_operator_token_is_accepted_while_it_is_replaced(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> None:
    conf = settings_with(
        stripe_api_base=stripe_url, operator_token="n" * 32, previous_operator_token="o" * 32
    )
    async with serving("payments", conf) as served:
        service = PaymentsService(served, shop, stripe_url)
        body = {"orderId": new_id()}
        tokens = ("n" * 32, "o" * 32, "x" * 32)
        answers = [(await request_refund(service, body, token=token)).status_code for token in tokens]
    assert answers == [404, 404, 401]


async def test_a_buyer_cannot_request_a_refund(service: PaymentsService) -> None:
    order = await buy(service)
    refusal(await service.served.ask("POST", REFUNDS, by=order.user_id, json={"orderId": order.id}), 401)
    assert await refunds_of(service, order) == []


async def test_eight_concurrent_requests_create_one_refund(service: PaymentsService) -> None:
    order = await buy(service)
    answers = await asyncio.gather(*(refund(service, order) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    again = await refund(service, order)
    assert (again.status_code, again.json()["status"]) == (201, "refunded")
    assert await refunds_of(service, order) == [1999]


async def test_a_later_request_can_relist_the_ticket_but_not_undo_the_relisting(
    service: PaymentsService,
) -> None:
    order = await buy(service)
    await refund(service, order)
    assert (await service.stored(order))["relist"] is False
    await refund(service, order, relist=True)
    assert (await service.stored(order))["relist"] is True
    version = (await service.stored(order))["version"]
    for relist in (True, False):  # a relisted ticket stays on sale
        assert (await refund(service, order, relist=relist)).status_code == 201
    after = await service.stored(order)
    assert (after["relist"], after["version"]) == (True, version)
    assert await refunds_of(service, order) == [1999]


@pytest.mark.parametrize("token", ["tok_visa", "tok_chargeDeclined", "tok_threeDSecure2Required"])
async def test_a_payment_that_is_not_captured_cannot_be_refunded(
    service: PaymentsService, token: str
) -> None:
    order = await service.order()
    await service.pay(order, token)
    assert messages(await refund(service, order), 409) == ["Only an order that is paid for can be refunded"]
    assert await refunds_of(service, order) == []


async def test_a_payment_of_a_cancelled_order_cannot_be_refunded(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "cancelled")
    refusal(await refund(service, order), 409)


@pytest.mark.parametrize("order_id", [str(ObjectId()), "no-id"], ids=["unknown order", "invalid id"])
async def test_refunding_an_order_without_a_payment_answers_404(
    service: PaymentsService, order_id: str
) -> None:
    refusal(await request_refund(service, {"orderId": order_id}), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "orderId"),
        ({"orderId": ""}, "orderId"),
        ({"orderId": 5}, "orderId"),
        ({"orderId": "a" * 24, "relist": "perhaps"}, "relist"),
        ({"orderId": "a" * 24, "amount": 100}, "amount"),
    ],
)
async def test_the_error_for_an_invalid_body_names_the_invalid_field(
    service: PaymentsService, body: dict[str, Any], field: str
) -> None:
    assert [named for named, _ in refusal(await request_refund(service, body), 400)] == [field]


async def test_a_body_that_is_not_json_is_refused(service: PaymentsService) -> None:
    secret = operator_token(service.served.app.state.settings)
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    refusal(await service.served.ask("POST", REFUNDS, content=b"{", headers=headers), 400)


async def test_a_stored_refund_request_is_completed_after_a_crash(
    service: PaymentsService,
    settings_with: SettingsWith,
    shop: stripe.StripeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = await buy(service)

    async def crash_before_stripe(*_: object, **__: object) -> None:
        raise SystemExit("the process ends here")

    with monkeypatch.context() as crash:
        crash.setattr(Settlement, "advance", crash_before_stripe)
        with pytest.raises(SystemExit):
            await service.payments.refund(order.id, relist=False)
    assert ((await service.stored(order))["status"], await refunds_of(service, order)) == ("refunding", [])

    conf = settings_with(stripe_api_base=service.stripe_url)
    async with serving("payments", conf, fresh=False) as served:
        restarted = PaymentsService(served, shop, service.stripe_url)
        (reconciled,) = await restarted.reconciler.reconcile()
        assert (reconciled.order, reconciled.was, reconciled.became) == (order.id, "refunding", "refunded")
        assert await refunds_of(restarted, order) == [1999]
        assert await restarted.reconcile() == []


async def test_a_refund_requested_while_stripe_is_down_is_completed_later(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await buy(service)
    gateway = service.payments.settlement.gateway
    with monkeypatch.context() as outage:
        outage.setattr(gateway, "refund", _fail_without_response)
        answer = await refund(service, order)
        assert (answer.status_code, answer.json()["status"]) == (201, "refunding")
        again = await refund(service, order, relist=True)
        assert (again.status_code, again.json()["status"]) == (201, "refunding")
        assert await service.reconciler.reconcile() == []
    assert len(await service.reconcile()) == 1
    stored = await service.stored(order)
    assert (stored["status"], stored["relist"]) == ("refunded", True)
    assert await refunds_of(service, order) == [1999]


@pytest.mark.parametrize("relist", [False, True])
async def test_a_refund_ends_the_order_and_its_ticket_stays_sold_unless_relisted(
    orders: Served, relist: bool
) -> None:
    ticket, buyer = await on_sale(), new_id()
    answer = await orders.ask("POST", "/api/orders", by=buyer, json={"ticketId": ticket})
    order = answer.json()
    await confirm_hold(order)
    await _deliver_payment_event(order, 0, "authorized")
    assert await _reserve(orders, ticket) == 409

    await _deliver_payment_event(order, 2, "refunded", relist=relist)
    seen = (await orders.ask("GET", f"/api/orders/{order['id']}", by=buyer)).json()
    assert (seen["status"], seen["relisted"]) == ("refunded", relist)
    assert await _reserve(orders, ticket) == (201 if relist else 409)


async def test_a_ticket_relisted_after_the_refund_stays_on_sale(orders: Served) -> None:
    ticket, buyer = await on_sale(), new_id()
    order = (await orders.ask("POST", "/api/orders", by=buyer, json={"ticketId": ticket})).json()
    await confirm_hold(order)
    await _deliver_payment_event(order, 0, "authorized")
    for version, relist in ((2, False), (3, True), (2, False)):
        await _deliver_payment_event(order, version, "refunded", relist=relist)
    seen = (await orders.ask("GET", f"/api/orders/{order['id']}", by=buyer)).json()
    assert (seen["status"], seen["relisted"]) == ("refunded", True)
    assert await _reserve(orders, ticket) == 201


async def _deliver_payment_event(
    order: dict[str, Any], version: int, status: Any, *, relist: bool = False
) -> None:
    """Deliver an event of the order's payment to orders."""
    event: PaymentEvent = PaymentUpdated(
        id=order["id"],
        version=version,
        order_id=order["id"],
        status=status,
        amount=1999,
        currency="usd",
        relist=relist,
    )
    await actions.follow_payment(event, WINDOW)


async def _reserve(orders: Served, ticket: str) -> int:
    return (await orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": ticket})).status_code


async def _fail_without_response(*_: object) -> None:
    raise OutcomeUnknown
