"""Refunds as operators ask for them, from the API to the order and its ticket."""

import asyncio
from typing import Any

import httpx
import pytest
import stripe
from bson import ObjectId

from contracts.events import OrderEvent, PaymentEvent, PaymentUpdated
from services.orders import actions
from services.payments.gateway import OutcomeUnknown
from tests.services.conftest import SettingsWith
from tests.services.market import WINDOW, on_sale
from tests.services.served import Served, messages, new_id, refusal, serving
from tests.services.till import Till

REFUNDS = "/api/payments/refunds"


async def ask(till: Till, body: Any, *, token: str | None = None) -> httpx.Response:
    secret = till.served.app.state.settings.operator_secret if token is None else token
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return await till.served.ask("POST", REFUNDS, json=body, headers=headers)


async def give_back(till: Till, order: OrderEvent, *, relist: bool = False) -> httpx.Response:
    return await ask(till, {"orderId": order.id, "relist": relist})


async def bought(till: Till) -> OrderEvent:
    """An order that is paid for."""
    order = await till.order()
    await till.pay(order)
    await till.becomes(order, "complete")
    return order


async def refunds_of(till: Till, order: OrderEvent) -> list[int]:
    (intent,) = await till.intents(order)
    listed = await till.shop.v1.refunds.list_async({"payment_intent": intent.id})
    return [refund.amount for refund in listed.data]


async def test_an_operator_gives_all_of_it_back(till: Till) -> None:
    order = await bought(till)
    answer = await give_back(till, order)
    assert (answer.status_code, answer.json()["status"]) == (201, "refunded")
    assert await refunds_of(till, order) == [1999]
    assert [status for *_, status in await till.told(order)] == [
        "authorized",
        "captured",
        "refunding",
        "refunded",
    ]
    assert (await till.shown(order))["status"] == "refunded"


@pytest.mark.parametrize("token", ["", "wrong", "x" * 64], ids=["missing", "wrong", "as long as a right one"])
async def test_nobody_else_refunds(till: Till, token: str) -> None:
    order = await bought(till)
    refusal(await ask(till, {"orderId": order.id}, token=token), 401)
    assert (await till.stored(order))["status"] == "captured"


async def test_a_buyer_is_no_operator(till: Till) -> None:
    order = await bought(till)
    refusal(await till.served.ask("POST", REFUNDS, by=order.user_id, json={"orderId": order.id}), 401)
    assert await refunds_of(till, order) == []


async def test_eight_requests_at_once_are_one_refund(till: Till) -> None:
    order = await bought(till)
    answers = await asyncio.gather(*(give_back(till, order) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    again = await give_back(till, order)
    assert (again.status_code, again.json()["status"]) == (201, "refunded")
    assert await refunds_of(till, order) == [1999]


async def test_the_ticket_can_be_put_on_sale_again_afterwards(till: Till) -> None:
    order = await bought(till)
    await give_back(till, order)
    assert (await till.stored(order))["relist"] is False
    await give_back(till, order, relist=True)
    assert (await till.stored(order))["relist"] is True
    version = (await till.stored(order))["version"]
    for relist in (True, False):  # what is on sale again stays so
        assert (await give_back(till, order, relist=relist)).status_code == 201
    after = await till.stored(order)
    assert (after["relist"], after["version"]) == (True, version)
    assert await refunds_of(till, order) == [1999]


@pytest.mark.parametrize("token", ["tok_visa", "tok_chargeDeclined", "tok_threeDSecure2Required"])
async def test_what_was_not_taken_cannot_be_given_back(till: Till, token: str) -> None:
    order = await till.order()
    await till.pay(order, token)
    assert messages(await give_back(till, order), 409) == ["Only an order that is paid for can be refunded"]
    assert await refunds_of(till, order) == []


async def test_what_was_let_go_cannot_be_given_back(till: Till) -> None:
    order = await till.order()
    await till.pay(order)
    await till.becomes(order, "cancelled")
    refusal(await give_back(till, order), 409)


@pytest.mark.parametrize("order_id", [str(ObjectId()), "no-id"], ids=["nobody's", "no id"])
async def test_an_order_that_nobody_paid_for_is_not_found(till: Till, order_id: str) -> None:
    refusal(await ask(till, {"orderId": order_id}), 404)


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
async def test_a_body_that_is_wrong_is_refused_with_its_field(
    till: Till, body: dict[str, Any], field: str
) -> None:
    assert [named for named, _ in refusal(await ask(till, body), 400)] == [field]


async def test_a_body_that_is_no_json_is_refused(till: Till) -> None:
    secret = till.served.app.state.settings.operator_secret
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    refusal(await till.served.ask("POST", REFUNDS, content=b"{", headers=headers), 400)


async def test_a_refund_that_was_written_down_survives_a_restart(
    till: Till, settings_with: SettingsWith, shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await bought(till)

    async def nothing_more(*_: object, **__: object) -> None:
        raise SystemExit("the process ends here")

    with monkeypatch.context() as crash:
        crash.setattr(type(till.payments), "advance", nothing_more)
        with pytest.raises(SystemExit):
            await till.payments.give_back(order.id, relist=False)
    assert ((await till.stored(order))["status"], await refunds_of(till, order)) == ("refunding", [])

    conf = settings_with(stripe_api_base=till.stripe_url)
    async with serving("payments", conf, fresh=False) as served:
        restarted = Till(served, shop, till.stripe_url)
        (mended,) = await restarted.payments.reconcile()
        assert (mended.order, mended.was, mended.became) == (order.id, "refunding", "refunded")
        assert await refunds_of(restarted, order) == [1999]
        assert await restarted.payments.reconcile() == []


async def test_while_stripe_is_away_a_refund_is_on_its_way(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await bought(till)
    gateway = till.payments.gateway
    with monkeypatch.context() as outage:
        outage.setattr(gateway, "refund", _unanswered)
        answer = await give_back(till, order)
        assert (answer.status_code, answer.json()["status"]) == (201, "refunding")
        again = await give_back(till, order, relist=True)
        assert (again.status_code, again.json()["status"]) == (201, "refunding")
        assert await till.payments.reconcile() == []
    assert len(await till.payments.reconcile()) == 1
    stored = await till.stored(order)
    assert (stored["status"], stored["relist"]) == ("refunded", True)
    assert await refunds_of(till, order) == [1999]


@pytest.mark.parametrize("relist", [False, True])
async def test_a_refund_ends_the_order_and_its_ticket_stays_sold_unless_relisted(
    orders: Served, relist: bool
) -> None:
    ticket, buyer = await on_sale(), new_id()
    answer = await orders.ask("POST", "/api/orders", by=buyer, json={"ticketId": ticket})
    order = answer.json()
    await _hears(order, 0, "authorized")
    assert await _reserve(orders, ticket) == 409

    await _hears(order, 2, "refunded", relist=relist)
    seen = (await orders.ask("GET", f"/api/orders/{order['id']}", by=buyer)).json()
    assert (seen["status"], seen["relisted"]) == ("refunded", relist)
    assert await _reserve(orders, ticket) == (201 if relist else 409)


async def test_a_ticket_may_be_relisted_after_the_refund_and_stays_so(orders: Served) -> None:
    ticket, buyer = await on_sale(), new_id()
    order = (await orders.ask("POST", "/api/orders", by=buyer, json={"ticketId": ticket})).json()
    await _hears(order, 0, "authorized")
    for version, relist in ((2, False), (3, True), (2, False)):
        await _hears(order, version, "refunded", relist=relist)
    seen = (await orders.ask("GET", f"/api/orders/{order['id']}", by=buyer)).json()
    assert (seen["status"], seen["relisted"]) == ("refunded", True)
    assert await _reserve(orders, ticket) == 201


async def _hears(order: dict[str, Any], version: int, status: Any, *, relist: bool = False) -> None:
    """Orders hears of its payment."""
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


async def _unanswered(*_: object) -> None:
    raise OutcomeUnknown
