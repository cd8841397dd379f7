"""Webhooks of Stripe: signatures, the inbox, and their effect on payments."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
import stripe

from contracts.events import OrderEvent
from contracts.wire import now
from kit.stripe.errors import OutcomeUnknown
from services.payments import documents, inbox
from services.payments.rules import Outcome, PaymentState
from services.payments.stripe_gateway.client import Gateway
from services.payments.stripe_gateway.webhook import IMPLIED_TYPES
from tests.support.payments import PaymentsService
from tests.support.polling import until
from tests.support.service import SettingsWith, messages, serving
from tests.support.webhooks import SECRET, deliver, signature


@pytest_asyncio.fixture(loop_scope="session")
async def webhook_service(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    conf = settings_with(stripe_api_base=stripe_url, stripe_webhook_secret=SECRET)
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)


def event_about(
    resource: dict[str, Any], kind: str = "payment_intent.amount_capturable_updated", *, key: str = "evt_1"
) -> bytes:
    return json.dumps({"id": key, "object": "event", "type": kind, "data": {"object": resource}}).encode()


async def wait_for_status(service: PaymentsService, order: OrderEvent, status: str) -> None:
    """Wait until the order's payment has this status."""

    async def has_status() -> bool:
        return bool((await service.stored(order))["status"] == status)

    await until(has_status)


async def webhooks(service: PaymentsService) -> dict[str, bool]:
    """For each webhook event in the inbox, by its id, whether it is processed."""
    return {
        event["_id"]: event["processed"] async for event in service.served.database["webhook_events"].find()
    }


async def wait_until_processed(service: PaymentsService, *keys: str) -> None:
    async def are_processed() -> bool:
        found = await webhooks(service)
        return all(found.get(key) for key in keys)

    await until(are_processed)


@pytest_asyncio.fixture(loop_scope="session")
async def approved(webhook_service: PaymentsService) -> OrderEvent:
    """An order whose bank check is approved at Stripe, while its payment is still pending here."""
    order = await webhook_service.order()
    await webhook_service.pay(order, "tok_threeDSecure2Required")
    await webhook_service.answer_check(order, "approve")
    return order


@pytest.fixture
def retrieved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The orders whose payments are read at Stripe during the test."""
    orders: list[str] = []
    retrieve = Gateway.retrieve

    async def recording_retrieve(gateway: Gateway, payment: PaymentState) -> Outcome:
        orders.append(payment.order_id)
        return await retrieve(gateway, payment)

    monkeypatch.setattr(Gateway, "retrieve", recording_retrieve)
    return orders


async def test_after_a_signed_webhook_the_payment_has_its_status_at_stripe(
    webhook_service: PaymentsService, approved: OrderEvent
) -> None:
    (intent,) = await webhook_service.intents(approved)
    body = event_about({"id": intent.id, "object": "payment_intent"})
    for _ in range(2):
        answer = await deliver(webhook_service, body, signature(body))
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    await wait_for_status(webhook_service, approved, "authorized")
    assert await webhook_service.published(approved) == [
        ("payment.updated", 1, "pending"),
        ("payment.updated", 2, "authorized"),
    ]


async def test_a_webhook_about_a_charge_updates_its_payment(
    webhook_service: PaymentsService, approved: OrderEvent
) -> None:
    (intent,) = await webhook_service.intents(approved)
    body = event_about({"id": "ch_1", "object": "charge", "payment_intent": intent.id}, "charge.refunded")
    assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    await wait_for_status(webhook_service, approved, "authorized")


@pytest.mark.parametrize("kind", sorted(IMPLIED_TYPES))
async def test_a_webhook_that_tells_nothing_is_acknowledged_but_not_stored(
    webhook_service: PaymentsService, kind: str
) -> None:
    body = event_about({"id": "ch_1", "object": "charge", "payment_intent": "pi_1"}, kind)
    assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    assert await webhooks(webhook_service) == {}


async def test_webhooks_that_confirm_a_recorded_status_cause_no_request_to_stripe(
    webhook_service: PaymentsService, retrieved: list[str]
) -> None:
    order = await webhook_service.order()
    await webhook_service.pay(order)
    await webhook_service.becomes(order, "complete")
    (intent,) = await webhook_service.intents(order)
    for key, status in (("evt_1", "requires_capture"), ("evt_2", "succeeded")):
        body = event_about({"id": intent.id, "object": "payment_intent", "status": status}, key=key)
        await deliver(webhook_service, body, signature(body))
    await wait_until_processed(webhook_service, "evt_1", "evt_2")
    assert ((await webhook_service.stored(order))["status"], retrieved) == ("captured", [])


async def test_webhooks_of_one_payment_that_arrive_together_cause_one_request_to_stripe(
    webhook_service: PaymentsService, approved: OrderEvent, retrieved: list[str]
) -> None:
    (intent,) = await webhook_service.intents(approved)
    for key in ("evt_1", "evt_2", "evt_3"):
        body = event_about({"id": intent.id, "object": "payment_intent", "status": intent.status}, key=key)
        await deliver(webhook_service, body, signature(body))
    await wait_until_processed(webhook_service, "evt_1", "evt_2", "evt_3")
    assert retrieved == [approved.id]
    await wait_for_status(webhook_service, approved, "authorized")


async def test_a_webhook_about_an_unknown_intent_is_matched_by_its_order_id(
    webhook_service: PaymentsService, approved: OrderEvent
) -> None:
    body = event_about({"id": "pi_x", "object": "payment_intent", "metadata": {"order_id": approved.id}})
    assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    await wait_for_status(webhook_service, approved, "authorized")


async def test_a_webhook_is_stored_once_and_processed_once(
    webhook_service: PaymentsService, approved: OrderEvent, retrieved: list[str]
) -> None:
    (intent,) = await webhook_service.intents(approved)
    body = event_about({"id": intent.id, "object": "payment_intent"})
    answers = await asyncio.gather(*(deliver(webhook_service, body, signature(body)) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    await wait_until_processed(webhook_service, "evt_1")
    assert retrieved == [approved.id]
    for _ in range(3):
        assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    assert await webhook_service.inbox.process_inbox() == 0
    assert (await webhooks(webhook_service), retrieved) == ({"evt_1": True}, [approved.id])


async def test_a_webhook_is_acknowledged_before_stripe_is_queried(
    webhook_service: PaymentsService, approved: OrderEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_retrieve = asyncio.Event()
    retrieve = Gateway.retrieve

    async def wait_and_retrieve(gateway: Gateway, payment: PaymentState) -> Outcome:
        await may_retrieve.wait()
        return await retrieve(gateway, payment)

    monkeypatch.setattr(Gateway, "retrieve", wait_and_retrieve)
    body = event_about({"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": approved.id}})
    assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    assert (await webhook_service.stored(approved))["status"] == "pending"
    may_retrieve.set()
    await wait_for_status(webhook_service, approved, "authorized")


async def test_a_webhook_whose_processing_failed_stays_in_the_inbox_and_is_processed_later(
    webhook_service: PaymentsService, approved: OrderEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A webhook also stays in the inbox if the process dies before the processing."""
    failed = asyncio.Event()
    monkeypatch.setattr(documents, "FIRST_DELAY", timedelta(0))

    async def fail(*_: object) -> Outcome:
        failed.set()
        raise OutcomeUnknown

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "retrieve", fail)
        body = event_about({"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": approved.id}})
        assert (await deliver(webhook_service, body, signature(body))).status_code == 200
        await failed.wait()
    assert await webhooks(webhook_service) == {"evt_1": False}
    assert await webhook_service.inbox.process_inbox() == 1
    assert await webhooks(webhook_service) == {"evt_1": True}
    await wait_for_status(webhook_service, approved, "authorized")


async def test_a_webhook_that_cannot_be_processed_does_not_delay_others(
    webhook_service: PaymentsService, approved: OrderEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "BATCH", 1)
    failing = await webhook_service.order()
    await webhook_service.pay(failing, "tok_threeDSecure2Required")
    retrieve = Gateway.retrieve

    async def retrieve_or_fail(gateway: Gateway, payment: PaymentState) -> Outcome:
        if payment.order_id == failing.id:
            raise ValueError("a bug")
        return await retrieve(gateway, payment)

    monkeypatch.setattr(Gateway, "retrieve", retrieve_or_fail)
    for key, order in (("evt_1", failing), ("evt_2", approved)):
        body = event_about(
            {"id": "pi_1", "object": "payment_intent", "metadata": {"order_id": order.id}}, key=key
        )
        assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    await wait_for_status(webhook_service, approved, "authorized")
    await wait_until_processed(webhook_service, "evt_2")
    assert (await webhooks(webhook_service))["evt_1"] is False


async def test_a_refund_made_at_stripe_is_detected(
    webhook_service: PaymentsService, shop: stripe.StripeClient
) -> None:
    order = await webhook_service.order()
    await webhook_service.pay(order)
    await webhook_service.becomes(order, "complete")
    (intent,) = await webhook_service.intents(order)
    await shop.v1.refunds.create_async({"payment_intent": intent.id})
    body = event_about({"id": "ch_1", "object": "charge", "payment_intent": intent.id}, "charge.refunded")
    await deliver(webhook_service, body, signature(body))
    await wait_for_status(webhook_service, order, "refunded")


async def test_the_payment_status_in_a_webhook_is_not_trusted(webhook_service: PaymentsService) -> None:
    order = await webhook_service.order()
    await webhook_service.pay(order, "tok_threeDSecure2Required")
    (intent,) = await webhook_service.intents(order)
    body = event_about({"id": intent.id, "object": "payment_intent", "status": "succeeded"})
    assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    await wait_until_processed(webhook_service, "evt_1")
    assert (await webhook_service.shown(order))["status"] == "pending"


@pytest.mark.parametrize(
    "resource",
    [
        {"id": "pi_unknown", "object": "payment_intent"},
        {"id": "cus_1", "object": "customer"},
        {"id": "ch_1", "object": "charge", "payment_intent": None},
        {},
    ],
)
async def test_a_webhook_about_an_unrelated_resource_is_accepted_and_ignored(
    webhook_service: PaymentsService, resource: dict[str, Any]
) -> None:
    body = event_about(resource)
    assert (await deliver(webhook_service, body, signature(body))).status_code == 200
    await wait_until_processed(webhook_service, "evt_1")


async def test_a_webhook_that_is_a_few_minutes_old_is_accepted(webhook_service: PaymentsService) -> None:
    body = event_about({"id": "pi_unknown", "object": "payment_intent"})
    assert (await deliver(webhook_service, body, signature(body, age=200))).status_code == 200


async def test_a_webhook_without_a_valid_signature_is_refused(webhook_service: PaymentsService) -> None:
    body = event_about({"id": "pi_1", "object": "payment_intent"})
    for signed in (
        signature(body, secret="whsec_of_another"),
        signature(body + b" "),
        "t=1,v1=",
        "v1=abc",
        "invalid",
        "t=now,v1=abc",
        None,
    ):
        answer = await deliver(webhook_service, body, signed)
        assert messages(answer, 400) == ["The webhook's signature isn't valid"], signed


async def test_a_webhook_signed_too_long_ago_is_refused(webhook_service: PaymentsService) -> None:
    body = event_about({"id": "pi_1", "object": "payment_intent"})
    answer = await deliver(webhook_service, body, signature(body, age=400))
    assert messages(answer, 400) == ["The webhook's signature isn't valid"]


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff", b"[]", b"7", b"{}", b'{"data": 7}'])
async def test_a_signed_body_that_is_not_an_event_is_refused(
    webhook_service: PaymentsService, body: bytes
) -> None:
    assert messages(await deliver(webhook_service, body, signature(body)), 400)


async def test_all_webhooks_are_refused_without_a_configured_secret(service: PaymentsService) -> None:
    body = event_about({"id": "pi_1", "object": "payment_intent"})
    for secret in (SECRET, "None", "whsec_"):
        answer = await deliver(service, body, signature(body, secret=secret))
        assert messages(answer, 400) == ["Webhooks are refused: no STRIPE_WEBHOOK_SECRET is set"]


@pytest.mark.parametrize("invalid", [{"order_id": 7}, {"failures": "many"}, {"received_at": None}])
async def test_unreadable_webhook_events_are_kept_and_do_not_delay_others(
    webhook_service: PaymentsService,
    approved: OrderEvent,
    monkeypatch: pytest.MonkeyPatch,
    invalid: dict[str, Any],
) -> None:
    monkeypatch.setattr(inbox, "BATCH", 2)
    monkeypatch.setattr(documents, "FIRST_DELAY", timedelta(hours=1))  # no round takes as long
    received_at = now()
    stored = webhook_service.served.database["webhook_events"]
    fields = {
        "order_id": approved.id,
        "intent_id": None,
        "received_at": received_at,
        "failures": 0,
        "processed": False,
    }
    long_due = received_at - timedelta(hours=1)
    await stored.insert_many(
        [{**fields, **invalid, "_id": f"evt_invalid_{n}", "due": long_due} for n in range(2)]
    )
    await stored.insert_one({**fields, "_id": "evt_valid", "due": received_at})
    for _ in range(2):
        await webhook_service.inbox.process_inbox()
    assert await webhooks(webhook_service) == {
        "evt_invalid_0": False,
        "evt_invalid_1": False,
        "evt_valid": True,
    }
    await wait_for_status(webhook_service, approved, "authorized")
    assert {
        event["failures"] async for event in stored.find({"processed": False, "due": {"$gt": received_at}})
    } == {1}


async def test_a_webhook_may_be_signed_with_the_previous_secret_while_it_is_replaced(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> None:
    conf = settings_with(
        stripe_api_base=stripe_url, stripe_webhook_secret=SECRET, previous_stripe_webhook_secret="whsec_old"
    )
    body = event_about({"id": "ch_1", "object": "charge", "payment_intent": "pi_1"}, "charge.refunded")
    async with serving("payments", conf) as served:
        service = PaymentsService(served, shop, stripe_url)
        answers = [
            (await deliver(service, body, signature(body, secret=secret))).status_code
            for secret in (SECRET, "whsec_old", "whsec_older")
        ]
    assert answers == [200, 200, 400]
