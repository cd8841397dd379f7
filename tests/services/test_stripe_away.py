import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import stripe

import streams.payments
from contracts.events import OrderEvent
from sandbox.testing import free_port, running
from services.payments import actions, gateway
from services.payments.gateway import SANDBOX_KEY
from tests.sandbox import served as sandbox
from tests.services.conftest import SettingsWith
from tests.services.served import messages, serving, until
from tests.services.till import Till

RECONCILE = streams.payments.reconcile

Tills = Callable[..., AbstractAsyncContextManager[Till]]


@pytest.fixture
def till_at(settings_with: SettingsWith) -> Tills:
    """A payments service whose Stripe is at a port of this machine, if it is there at all."""

    @asynccontextmanager
    async def open_till(port: int) -> AsyncIterator[Till]:
        url = f"http://127.0.0.1:{port}"
        async with (
            serving("payments", settings_with(stripe_api_base=url)) as served,
            sandbox.client(url, key=SANDBOX_KEY) as shop,
        ):
            yield Till(served, shop, url)

    return open_till


async def settled(till: Till, order: OrderEvent) -> None:
    """Once the payment is authorized, however often that takes a look."""

    async def is_so() -> bool:
        await till.payments.reconcile()
        return bool((await till.stored(order))["status"] == "authorized")

    await until(is_so)


async def test_while_stripe_is_away_a_payment_is_being_checked_and_later_settled(
    till_at: Tills, tmp_path: Path
) -> None:
    port = free_port()
    async with till_at(port) as till:
        order = await till.order()
        answer = await till.pay(order)
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        assert (await till.shown(order))["status"] == "pending"
        assert await till.told(order) == []
        async with running(sandbox.process(port, tmp_path), tmp_path / "log", signal.SIGKILL):
            assert len(await till.payments.reconcile()) == 1
            assert (await till.shown(order))["status"] == "authorized"
            assert (await till.pay(order)).json() == {**answer.json(), "status": "authorized"}
            assert await till.statuses(order) == ["requires_capture"]
            assert await till.told(order) == [("payment.created", 0, "authorized")]


async def test_an_order_cancelled_before_stripe_knew_of_it_is_voided_without_an_intent(
    till_at: Tills, tmp_path: Path
) -> None:
    port = free_port()
    async with till_at(port) as till:
        order = await till.order()
        await till.pay(order)
        await till.becomes(order, "cancelled")
        assert (await till.shown(order))["status"] == "voided"
        assert await till.told(order) == [("payment.created", 0, "voided")]
        async with running(sandbox.process(port, tmp_path), tmp_path / "log", signal.SIGKILL):
            assert len(await till.payments.reconcile()) == 0
            assert messages(await till.pay(order), 409) == ["Cannot pay for a cancelled order"]
            assert await till.intents(order) == []


async def test_a_card_whose_answer_got_lost_is_charged_once(
    till_at: Tills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(gateway, "NETWORK_RETRIES", 0)
    port, door = free_port(), tmp_path / "open"
    slow = sandbox.process(port, tmp_path, bank_opens=door)
    async with running(slow, tmp_path / "log", signal.SIGKILL), till_at(port) as till:
        order = await till.order()
        answer = await till.pay(order)
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        intents = await till.intents(order)
        assert len(intents) == 1
        assert await till.payments.reconcile() == []
        assert (await till.shown(order))["status"] == "pending"
        door.touch()
        await settled(till, order)
        assert await till.statuses(order) == ["requires_capture"]
        assert await till.told(order) == [("payment.created", 0, "authorized")]


async def test_a_buyer_does_not_wait_for_a_slow_bank_and_is_charged_once_all_the_same(
    till_at: Tills, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "PAY_SECONDS", 1.0)
    port, door = free_port(), tmp_path / "open"
    slow = sandbox.process(port, tmp_path, bank_opens=door)
    async with running(slow, tmp_path / "log", signal.SIGKILL), till_at(port) as till:
        order = await till.order()
        answer = await till.pay(order)
        assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        assert await till.told(order) == []
        assert await till.payments.reconcile() == []
        door.touch()
        await settled(till, order)
        assert await till.statuses(order) == ["requires_capture"]
        assert await till.told(order) == [("payment.created", 0, "authorized")]


async def test_what_was_left_open_is_settled_when_the_process_starts_again(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await till.order()
    await till.pay(order, "tok_threeDSecure2Required")
    await till.answer_check(order, "approve")
    monkeypatch.setattr(streams.payments, "reconcile", RECONCILE)
    async with serving("payments", till.served.app.state.settings, fresh=False):

        async def is_settled() -> bool:
            return bool((await till.stored(order))["status"] == "authorized")

        await until(is_settled)


async def test_a_key_that_stripe_refuses_charges_nobody_and_keeps_the_reservation(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = settings_with(stripe_api_base=stripe_url, stripe_key="sk_wrong", stripe_webhook_secret="whsec_x")
    async with serving("payments", wrong) as served:
        till = Till(served, shop, stripe_url)
        order = await till.order()
        answer = await till.pay(order)
        assert messages(answer, 503) == ["Payments are unavailable for a moment. Your reservation stands"]
        assert "sk_wrong" not in answer.text
        assert "Stripe refuses a request of ours" in caplog.text
    async with serving("payments", settings_with(stripe_api_base=stripe_url), fresh=False) as served:
        till = Till(served, shop, stripe_url)
        assert (await till.pay(order)).json()["status"] == "authorized"
        assert await till.statuses(order) == ["requires_capture"]
