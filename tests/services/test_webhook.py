import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from contracts.events import OrderEvent
from contracts.wire import now
from services.payments import actions, documents
from services.payments.gateway import Gateway, OutcomeUnknown
from services.payments.rules import Outcome, PaymentState
from tests.services.conftest import SettingsWith
from tests.services.served import messages, serving, until
from tests.services.till import Till

SECRET = "whsec_of_this_test"


@pytest.fixture
async def hooked(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[Till]:
    conf = settings_with(stripe_api_base=stripe_url, stripe_webhook_secret=SECRET)
    async with serving("payments", conf) as served:
        yield Till(served, shop, stripe_url)


def about(
    thing: dict[str, Any], kind: str = "payment_intent.amount_capturable_updated", *, key: str = "evt_1"
) -> bytes:
    return json.dumps({"id": key, "object": "event", "type": kind, "data": {"object": thing}}).encode()


def signature(body: bytes, *, secret: str = SECRET, age: int = 0) -> str:
    """As https://docs.stripe.com/webhooks#verify-manually describes it."""
    at = int(time.time()) - age
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


async def deliver(till: Till, body: bytes, signed: str | None) -> httpx.Response:
    headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": signed} if signed else {})
    return await till.served.ask("POST", "/api/payments/webhook", content=body, headers=headers)


async def becomes(till: Till, order: OrderEvent, status: str) -> None:
    """Wait for what the payment becomes when the inbox is read."""

    async def is_so() -> bool:
        return bool((await till.stored(order))["status"] == status)

    await until(is_so)


async def notices(till: Till) -> dict[str, bool]:
    """What is in the inbox, and whether it is handled."""
    return {notice["_id"]: notice["handled"] async for notice in till.served.database["notices"].find()}


async def handled(till: Till, *keys: str) -> None:
    async def are() -> bool:
        found = await notices(till)
        return all(found.get(key) for key in keys)

    await until(are)


@pytest.fixture
async def asked(hooked: Till) -> OrderEvent:
    """An order whose buyer just gave their bank the answer it asked for."""
    order = await hooked.order()
    await hooked.pay(order, "tok_threeDSecure2Required")
    await hooked.answer_check(order, "approve")
    return order


async def test_a_signed_webhook_brings_the_payment_on(hooked: Till, asked: OrderEvent) -> None:
    (intent,) = await hooked.intents(asked)
    body = about({"id": intent.id, "object": "payment_intent"})
    for _ in range(2):
        answer = await deliver(hooked, body, signature(body))
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    await becomes(hooked, asked, "authorized")
    assert await hooked.told(asked) == [
        ("payment.created", 0, "pending"),
        ("payment.updated", 1, "authorized"),
    ]


async def test_a_webhook_about_a_charge_brings_its_payment_on(hooked: Till, asked: OrderEvent) -> None:
    (intent,) = await hooked.intents(asked)
    body = about({"id": "ch_1", "object": "charge", "payment_intent": intent.id}, "charge.succeeded")
    assert (await deliver(hooked, body, signature(body))).status_code == 200
    await becomes(hooked, asked, "authorized")


async def test_a_webhook_about_an_intent_that_we_know_by_its_order_alone_finds_it(
    hooked: Till, asked: OrderEvent
) -> None:
    body = about({"id": "pi_x", "object": "payment_intent", "metadata": {"order_id": asked.id}})
    assert (await deliver(hooked, body, signature(body))).status_code == 200
    await becomes(hooked, asked, "authorized")


async def test_a_webhook_is_written_down_once_and_handled_once(
    hooked: Till, asked: OrderEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = Gateway.look

    async def counted(gateway: Gateway, payment: PaymentState) -> Outcome:
        looks.append(payment.order_id)
        return await look(gateway, payment)

    monkeypatch.setattr(Gateway, "look", counted)
    (intent,) = await hooked.intents(asked)
    body = about({"id": intent.id, "object": "payment_intent"})
    answers = await asyncio.gather(*(deliver(hooked, body, signature(body)) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    await handled(hooked, "evt_1")
    assert looks == [asked.id]
    for _ in range(3):
        assert (await deliver(hooked, body, signature(body))).status_code == 200
    assert await hooked.payments.handle_notices() == 0
    assert (await notices(hooked), looks) == ({"evt_1": True}, [asked.id])


async def test_a_webhook_is_answered_before_stripe_is_asked(
    hooked: Till, asked: OrderEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_look = asyncio.Event()
    look = Gateway.look

    async def waits(gateway: Gateway, payment: PaymentState) -> Outcome:
        await may_look.wait()
        return await look(gateway, payment)

    monkeypatch.setattr(Gateway, "look", waits)
    body = about({"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": asked.id}})
    assert (await deliver(hooked, body, signature(body))).status_code == 200
    assert (await hooked.stored(asked))["status"] == "pending"
    may_look.set()
    await becomes(hooked, asked, "authorized")


async def test_a_webhook_that_could_not_be_handled_stays_in_the_inbox(
    hooked: Till, asked: OrderEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does when the process dies between the answer and the look."""
    failed = asyncio.Event()
    monkeypatch.setattr(documents, "FIRST_DELAY", timedelta(0))

    async def away(*_: object) -> Outcome:
        failed.set()
        raise OutcomeUnknown

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "look", away)
        body = about({"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": asked.id}})
        assert (await deliver(hooked, body, signature(body))).status_code == 200
        await failed.wait()
    assert await notices(hooked) == {"evt_1": False}
    assert await hooked.payments.handle_notices() == 1
    assert await notices(hooked) == {"evt_1": True}
    await becomes(hooked, asked, "authorized")


async def test_a_webhook_that_can_not_be_handled_keeps_no_other_waiting(
    hooked: Till, asked: OrderEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "NOTICES_AT_ONCE", 1)
    stuck = await hooked.order()
    await hooked.pay(stuck, "tok_threeDSecure2Required")
    look = Gateway.look

    async def cannot(gateway: Gateway, payment: PaymentState) -> Outcome:
        if payment.order_id == stuck.id:
            raise ValueError("a mistake of ours")
        return await look(gateway, payment)

    monkeypatch.setattr(Gateway, "look", cannot)
    for key, order in (("evt_1", stuck), ("evt_2", asked)):
        body = about({"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": order.id}}, key=key)
        assert (await deliver(hooked, body, signature(body))).status_code == 200
    await becomes(hooked, asked, "authorized")
    await handled(hooked, "evt_2")
    assert (await notices(hooked))["evt_1"] is False


async def test_a_refund_that_was_made_at_stripe_is_noticed(hooked: Till, shop: stripe.StripeClient) -> None:
    order = await hooked.order()
    await hooked.pay(order)
    await hooked.becomes(order, "complete")
    (intent,) = await hooked.intents(order)
    await shop.v1.refunds.create_async({"payment_intent": intent.id})
    body = about({"id": "ch_1", "object": "charge", "payment_intent": intent.id}, "charge.refunded")
    await deliver(hooked, body, signature(body))
    await becomes(hooked, order, "refunded")


async def test_a_webhook_is_believed_only_in_that_something_happened(hooked: Till) -> None:
    order = await hooked.order()
    await hooked.pay(order, "tok_threeDSecure2Required")
    (intent,) = await hooked.intents(order)
    body = about({"id": intent.id, "object": "payment_intent", "status": "succeeded"})
    assert (await deliver(hooked, body, signature(body))).status_code == 200
    await handled(hooked, "evt_1")
    assert (await hooked.shown(order))["status"] == "pending"


@pytest.mark.parametrize(
    "thing",
    [
        {"id": "pi_unknown", "object": "payment_intent"},
        {"id": "cus_1", "object": "customer"},
        {"id": "ch_1", "object": "charge", "payment_intent": None},
        {},
    ],
)
async def test_a_webhook_about_something_else_is_taken_and_does_nothing(
    hooked: Till, thing: dict[str, Any]
) -> None:
    body = about(thing)
    assert (await deliver(hooked, body, signature(body))).status_code == 200
    await handled(hooked, "evt_1")


async def test_a_webhook_may_take_a_few_minutes(hooked: Till) -> None:
    body = about({"id": "pi_unknown", "object": "payment_intent"})
    assert (await deliver(hooked, body, signature(body, age=200))).status_code == 200


async def test_a_webhook_that_is_not_signed_with_the_secret_is_refused(hooked: Till) -> None:
    body = about({"id": "pi_1", "object": "payment_intent"})
    for signed in (
        signature(body, secret="whsec_of_another"),
        signature(body + b" "),
        "t=1,v1=",
        "v1=abc",
        "made up",
        "t=now,v1=abc",
        None,
    ):
        answer = await deliver(hooked, body, signed)
        assert messages(answer, 400) == ["The webhook's signature isn't valid"], signed


async def test_a_stale_webhook_is_refused(hooked: Till) -> None:
    body = about({"id": "pi_1", "object": "payment_intent"})
    answer = await deliver(hooked, body, signature(body, age=400))
    assert messages(answer, 400) == ["The webhook's signature isn't valid"]


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"[]", b"7", b"{}", b'{"data": 7}'])
async def test_a_signed_webhook_that_is_no_event_is_refused(hooked: Till, body: bytes) -> None:
    assert messages(await deliver(hooked, body, signature(body)), 400)


async def test_without_a_secret_every_webhook_is_refused(till: Till) -> None:
    body = about({"id": "pi_1", "object": "payment_intent"})
    for secret in (SECRET, "None", "whsec_"):
        answer = await deliver(till, body, signature(body, secret=secret))
        assert messages(answer, 400) == ["Webhooks are refused: no STRIPE_WEBHOOK_SECRET is set"]


@pytest.mark.parametrize("spoilt", [{"order_id": 7}, {"failures": "many"}, {"received_at": None}])
async def test_webhooks_that_can_not_be_read_keep_no_other_waiting_and_are_kept(
    hooked: Till, asked: OrderEvent, monkeypatch: pytest.MonkeyPatch, spoilt: dict[str, Any]
) -> None:
    monkeypatch.setattr(actions, "NOTICES_AT_ONCE", 2)
    told_at = now()
    inbox = hooked.served.database["notices"]
    written = {
        "order_id": asked.id,
        "intent_id": None,
        "received_at": told_at,
        "failures": 0,
        "handled": False,
    }
    long_due = told_at - timedelta(hours=1)
    await inbox.insert_many([{**written, **spoilt, "_id": f"evt_bad_{n}", "due": long_due} for n in range(2)])
    await inbox.insert_one({**written, "_id": "evt_good", "due": told_at})
    for _ in range(2):
        await hooked.payments.handle_notices()
    assert await notices(hooked) == {"evt_bad_0": False, "evt_bad_1": False, "evt_good": True}
    await becomes(hooked, asked, "authorized")
    assert {bad["failures"] async for bad in inbox.find({"handled": False, "due": {"$gt": told_at}})} == {1}
