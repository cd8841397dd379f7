"""Payments for tickets whose event begins while a buyer holds them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
import stripe

from contracts.events import OrderEvent
from contracts.wire import now
from services.payments import actions, settlement
from tests.support.payments import PaymentsService
from tests.support.polling import TIMEOUT
from tests.support.service import SettingsWith, messages, serving

SOON = timedelta(minutes=5)
"""The start of the event, before the time to pay is over."""

REFUSED = ["The event has begun, so this ticket can no longer be paid for"]


@pytest_asyncio.fixture(loop_scope="session")
async def strict(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    """A payments service that refuses payments after the start."""
    conf = settings_with(stripe_api_base=stripe_url, pay_after_start=False)
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)


@pytest_asyncio.fixture(loop_scope="session")
async def strict_checkout(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    """The same, where buyers pay on Stripe's page."""
    conf = settings_with(stripe_api_base=stripe_url, pay_after_start=False, payment_page="checkout")
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)


def begin_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock of the service to a minute after `SOON`."""
    for module in (actions, settlement):
        monkeypatch.setattr(module, "now", lambda: now() + SOON + timedelta(minutes=1))


async def status_after_paying(service: PaymentsService, order: OrderEvent, token: str = "tok_visa") -> str:
    answer = await service.pay(order, token)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["status"])


async def test_by_default_a_held_ticket_can_be_paid_for_after_the_start(service: PaymentsService) -> None:
    order = await service.order(starts_in=-SOON)
    assert await status_after_paying(service, order) == "authorized"


async def test_a_payment_after_the_start_is_refused_and_nothing_is_created(strict: PaymentsService) -> None:
    order = await strict.order(starts_in=-SOON)
    answer = await strict.pay(order)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/event-begun")
    assert messages(answer, 409) == REFUSED
    assert await strict.intents(order) == []
    assert await strict.served.database["payments"].find_one({"order_id": order.id}) is None


@pytest.mark.parametrize("starts_in", [SOON, None])
async def test_a_payment_before_the_start_or_without_one_succeeds(
    strict: PaymentsService, starts_in: timedelta | None
) -> None:
    order = await strict.order(starts_in=starts_in)
    assert await status_after_paying(strict, order) == "authorized"


async def test_a_payment_that_was_started_just_before_the_start_succeeds(
    strict: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await strict.order(starts_in=SOON)
    with monkeypatch.context() as during:  # the event begins after the check, before the request to Stripe
        during.setattr(settlement, "now", lambda: now() + SOON * 2)
        assert await status_after_paying(strict, order) == "authorized"
    begin_the_event(monkeypatch)
    assert await status_after_paying(strict, order) == "authorized"
    assert await strict.statuses(order) == ["requires_capture"]


async def test_a_bank_check_that_was_started_before_the_start_may_end_after_it(
    strict: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await strict.order(starts_in=SOON)
    assert await status_after_paying(strict, order, "tok_threeDSecure2Required") == "pending"
    begin_the_event(monkeypatch)
    await strict.reconcile()
    await strict.answer_check(order, "approve")
    assert await status_after_paying(strict, order) == "authorized"


async def test_another_card_after_the_start_is_refused(
    strict: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await strict.order(starts_in=SOON)
    assert (await strict.pay(order, "tok_chargeDeclined")).status_code == 402
    begin_the_event(monkeypatch)
    assert messages(await strict.pay(order), 409) == REFUSED
    assert (await strict.shown(order))["status"] == "failed"
    assert await strict.statuses(order) == ["requires_payment_method"]


async def open_page(service: PaymentsService, order: OrderEvent) -> str:
    answer = await service.pay(order, None)
    assert answer.status_code == 201, answer.text
    return urlsplit(str(answer.json()["pageUrl"])).path


async def pay_on_page(service: PaymentsService, page: str, card: str) -> None:
    async with httpx.AsyncClient(base_url=service.stripe_url, timeout=TIMEOUT) as browser:
        await browser.post(page, data={"card": card})


async def test_stripes_page_is_closed_after_the_start(
    strict_checkout: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await strict_checkout.order(starts_in=SOON)
    page = await open_page(strict_checkout, order)
    await strict_checkout.reconcile()
    assert (await strict_checkout.shown(order))["status"] == "pending"
    begin_the_event(monkeypatch)
    await strict_checkout.reconcile()
    assert (await strict_checkout.shown(order))["status"] == "voided"
    await pay_on_page(strict_checkout, page, "tok_visa")
    assert "requires_capture" not in await strict_checkout.statuses(order)


async def test_a_payment_on_stripes_page_just_before_the_start_succeeds(
    strict_checkout: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await strict_checkout.order(starts_in=SOON)
    await pay_on_page(strict_checkout, await open_page(strict_checkout, order), "tok_visa")
    assert (await strict_checkout.stored(order))["status"] == "pending"  # no webhook has arrived
    begin_the_event(monkeypatch)
    await strict_checkout.reconcile()
    assert (await strict_checkout.shown(order))["status"] == "authorized"
    await strict_checkout.becomes(order, "complete")
    assert (await strict_checkout.shown(order))["status"] == "captured"
