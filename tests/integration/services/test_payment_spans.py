"""The spans of work on payments that no request waits for."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import stripe

from kit.stripe.errors import OutcomeUnknown
from kit.telemetry import exporting
from services.payments.stripe_gateway.client import Gateway
from tests.integration.services.test_webhook import event_about
from tests.support.collector import Collector, collecting
from tests.support.payments import PaymentsService
from tests.support.polling import until
from tests.support.service import SettingsWith, serving
from tests.support.webhooks import SECRET, signature


@pytest_asyncio.fixture(loop_scope="session")
async def payments(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    conf = settings_with(stripe_api_base=stripe_url, stripe_webhook_secret=SECRET)
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def caller(trace: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}


async def receive(payments: PaymentsService, body: bytes, trace: str) -> None:
    headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body), **caller(trace)}
    answer = await payments.served.ask("POST", "/api/payments/webhook", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_events_of_one_payment_are_processed_in_one_span(
    payments: PaymentsService, collector: Collector
) -> None:
    order = await payments.order()
    await payments.pay(order, "tok_threeDSecure2Required")
    await payments.answer_check(order, "approve")
    (intent,) = await payments.intents(order)
    resource = {"id": intent.id, "object": "payment_intent", "metadata": {"order_id": order.id}}
    first, second = "1" * 32, "2" * 32
    async with exporting(collector.url, "payments"):
        await receive(payments, event_about(resource, key="evt_first"), first)
        await receive(payments, event_about(resource, key="evt_second"), second)

        async def are_processed() -> bool:
            return await payments.served.database["webhook_events"].count_documents({"processed": True}) == 2

        await until(are_processed)
    (span,) = collector.named("payments: process webhook")
    assert {span.trace, *span.links} == {first, second}
    assert [str(each) for each in collector.parents(span)] == ["payments: POST /api/payments/webhook"]
    assert span.attributes["stagedoor.order.id"] == order.id
    stripe_requests = [each for each in collector.spans if each.kind == "client" and each.parent == span.id]
    assert "GET" in {each.name for each in stripe_requests}


async def test_a_look_that_fails_has_a_failed_span_that_is_linked_to_the_request_to_pay(
    payments: PaymentsService, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await payments.order()
    await payments.pay(order, "tok_threeDSecure2Required")
    stored = await payments.stored(order)

    async def retrieve(*_: object) -> None:
        raise OutcomeUnknown

    monkeypatch.setattr(Gateway, "retrieve", retrieve)
    async with exporting(collector.url, "payments"):
        await payments.reconcile()
    (span,) = collector.named("payments: look at payment", stagedoor_order_id=order.id)
    assert span.links == (stored["traceparent"].split("-")[1],)
    assert (span.parent, span.error) == ("", "OutcomeUnknown")


async def test_a_look_at_a_payment_that_stores_no_trace_has_a_span_without_links(
    payments: PaymentsService, collector: Collector
) -> None:
    order = await payments.order()
    await payments.pay(order, "tok_threeDSecure2Required")
    await payments.served.database["payments"].update_one(
        {"order_id": order.id}, {"$unset": {"traceparent": ""}}
    )
    async with exporting(collector.url, "payments"):
        await payments.reconcile()
    (span,) = collector.named("payments: look at payment", stagedoor_order_id=order.id)
    assert (span.links, span.error) == ((), "")
