"""Payments while Stripe or a bank is down, slow or refuses the key."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import stripe

import streams.payments
from contracts.events import OrderEvent
from kit.periodic import every
from kit.stripe import client as stripe_client
from kit.stripe.client import SANDBOX_KEY
from sandbox.testing import free_port, running
from services.payments import actions
from tests.support import stripe_sandbox as sandbox
from tests.support.payments import PaymentsService
from tests.support.polling import until
from tests.support.service import SettingsWith, messages, serving

PaymentsServiceAt = Callable[..., AbstractAsyncContextManager[PaymentsService]]


@pytest.fixture
def service_at(settings_with: SettingsWith) -> PaymentsServiceAt:
    """A function that runs a payments service whose Stripe API is at this local port."""

    @asynccontextmanager
    async def open_service(port: int) -> AsyncIterator[PaymentsService]:
        url = f"http://127.0.0.1:{port}"
        async with (
            serving("payments", settings_with(stripe_api_base=url)) as served,
            sandbox.client(url, key=SANDBOX_KEY) as shop,
        ):
            yield PaymentsService(served, shop, url)

    return open_service


async def reconcile_until_authorized(service: PaymentsService, order: OrderEvent) -> None:

    async def is_authorized() -> bool:
        await service.reconcile()
        return bool((await service.stored(order))["status"] == "authorized")

    await until(is_authorized)


async def test_a_payment_is_pending_while_stripe_is_down_and_authorized_later(
    service_at: PaymentsServiceAt, tmp_path: Path
) -> None:
    port = free_port()
    async with service_at(port) as service:
        order = await service.order()
        answer = await service.pay(order)
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        assert (await service.shown(order))["status"] == "pending"
        assert await service.published(order) == []
        async with running(sandbox.process(port, tmp_path), tmp_path / "log", signal.SIGKILL):
            assert len(await service.reconcile()) == 1
            assert (await service.shown(order))["status"] == "authorized"
            assert (await service.pay(order)).json() == {**answer.json(), "status": "authorized"}
            assert await service.statuses(order) == ["requires_capture"]
            assert await service.published(order) == [("payment.updated", 1, "authorized")]


async def test_cancelling_the_order_while_stripe_is_down_voids_the_payment_without_an_intent(
    service_at: PaymentsServiceAt, tmp_path: Path
) -> None:
    port = free_port()
    async with service_at(port) as service:
        order = await service.order()
        await service.pay(order)
        await service.becomes(order, "cancelled")
        assert (await service.shown(order))["status"] == "voided"
        assert await service.published(order) == [("payment.updated", 1, "voided")]
        async with running(sandbox.process(port, tmp_path), tmp_path / "log", signal.SIGKILL):
            assert len(await service.reconcile()) == 0
            assert messages(await service.pay(order), 409) == ["Cannot pay for a cancelled order"]
            assert await service.intents(order) == []


async def test_a_card_is_charged_once_when_stripes_response_is_lost(
    service_at: PaymentsServiceAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_client, "TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(stripe_client, "NETWORK_RETRIES", 0)
    port, bank_opens = free_port(), tmp_path / "open"
    slow = sandbox.process(port, tmp_path, bank_opens=bank_opens)
    async with running(slow, tmp_path / "log", signal.SIGKILL), service_at(port) as service:
        order = await service.order()
        answer = await service.pay(order)
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        intents = await service.intents(order)
        assert len(intents) == 1
        assert await service.reconcile() == []
        assert (await service.shown(order))["status"] == "pending"
        bank_opens.touch()
        await reconcile_until_authorized(service, order)
        assert await service.statuses(order) == ["requires_capture"]
        assert await service.published(order) == [("payment.updated", 1, "authorized")]


async def test_a_buyer_does_not_wait_for_a_slow_bank_and_is_charged_once(
    service_at: PaymentsServiceAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PAY_SECONDS", 1.0)
    port, bank_opens = free_port(), tmp_path / "open"
    slow = sandbox.process(port, tmp_path, bank_opens=bank_opens)
    async with running(slow, tmp_path / "log", signal.SIGKILL), service_at(port) as service:
        order = await service.order()
        answer = await service.pay(order)
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        assert await service.published(order) == []
        assert await service.reconcile() == []
        bank_opens.touch()
        await reconcile_until_authorized(service, order)
        assert await service.statuses(order) == ["requires_capture"]
        assert await service.published(order) == [("payment.updated", 1, "authorized")]


async def test_unsettled_payments_are_settled_when_the_process_restarts(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    await service.answer_check(order, "approve")
    await service.make_due()
    monkeypatch.setattr(streams.payments, "every", every)
    async with serving("payments", service.served.app.state.settings, fresh=False):

        async def is_settled() -> bool:
            return bool((await service.stored(order))["status"] == "authorized")

        await until(is_settled)


async def test_an_invalid_stripe_key_charges_nothing_and_the_order_can_be_paid_later(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = settings_with(stripe_api_base=stripe_url, stripe_key="sk_wrong", stripe_webhook_secret="whsec_x")
    async with serving("payments", wrong) as served:
        service = PaymentsService(served, shop, stripe_url)
        order = await service.order()
        answer = await service.pay(order)
        assert messages(answer, 503) == ["Payments are unavailable for a moment. Your reservation stands"]
        assert "sk_wrong" not in answer.text
        assert "Stripe refuses a request of ours" in caplog.text
    async with serving("payments", settings_with(stripe_api_base=stripe_url), fresh=False) as served:
        service = PaymentsService(served, shop, stripe_url)
        assert (await service.pay(order)).json()["status"] == "authorized"
        assert await service.statuses(order) == ["requires_capture"]
