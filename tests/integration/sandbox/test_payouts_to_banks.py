"""Payouts of the sandbox's balances to bank accounts, and the webhooks of an endpoint of payouts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from sandbox.testing import FAST_STOP, free_port, running
from tests.integration.sandbox.receiver import Receiver, receiving
from tests.support.connect import acting_for, balance_of, onboarded, settled, transferred
from tests.support.polling import until
from tests.support.stripe_sandbox import (
    HTTPX_WARNING,
    PAYOUTS_WEBHOOK_SECRET,
    WEBHOOK_SECRET,
    client,
    process,
)

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)


async def pay_out(shop: stripe.StripeClient, account: stripe.Account, amount: int = 1000) -> stripe.Payout:
    return await shop.v1.payouts.create_async({"amount": amount, "currency": "usd"}, acting_for(account))


async def ended(shop: stripe.StripeClient, payout: stripe.Payout, options: Any = None) -> stripe.Payout:
    async def look() -> stripe.Payout:
        return await shop.v1.payouts.retrieve_async(payout.id, {}, options)

    return await until(look, lambda found: found.status in ("paid", "failed"))


async def event_types(shop: stripe.StripeClient, account: stripe.Account) -> list[str]:
    """The types of all events of a connected account, oldest first."""
    events = (await shop.v1.events.list_async({"limit": 100}, acting_for(account))).data
    assert {event.account for event in events} == {account.id}
    return [event.type for event in reversed(events)]


async def test_a_payout_empties_the_balance_and_arrives_later(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    seller = await onboarded(shop, http)
    await transferred(shop, seller)
    payout = await pay_out(shop, seller)
    assert (payout.status, payout.automatic) == ("in_transit", False)
    assert await balance_of(shop, seller) == (0, 0)
    paid = await ended(shop, payout, acting_for(seller))
    assert (paid.status, paid.failure_code) == ("paid", None)
    assert await event_types(shop, seller) == ["account.updated", "payout.created", "payout.paid"]
    listed = await shop.v1.payouts.list_async({"status": "paid"}, acting_for(seller))
    assert [each.id for each in listed.data] == [payout.id]
    with pytest.raises(stripe.InvalidRequestError, match="No such payout"):
        await shop.v1.payouts.retrieve_async(payout.id)  # it isn't the platform's


async def test_a_failed_payout_returns_the_money_and_disables_payouts(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    seller = await onboarded(shop, http, "failing_bank")
    await transferred(shop, seller)
    failed = await ended(shop, await pay_out(shop, seller), acting_for(seller))
    assert (failed.status, failed.failure_code) == ("failed", "no_account")
    assert failed.failure_balance_transaction is not None
    assert await balance_of(shop, seller) == (1000, 0)
    assert (await shop.v1.accounts.retrieve_async(seller.id)).payouts_enabled is False
    assert await event_types(shop, seller) == [
        "account.updated",
        "payout.created",
        "account.updated",
        "payout.failed",
    ]
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await pay_out(shop, seller)
    assert caught.value.code == "payouts_not_allowed"
    # The account still receives transfers.
    await transferred(shop, seller)


async def test_a_payout_does_not_exceed_the_balance(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    seller = await onboarded(shop, http)
    await transferred(shop, seller)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await pay_out(shop, seller, 1001)
    assert caught.value.code == "balance_insufficient"
    assert await balance_of(shop, seller) == (1000, 0)


async def test_the_platform_is_paid_out_on_request(shop: stripe.StripeClient) -> None:
    await settled(shop, currency="sgd", amount=5000)
    payout = await shop.v1.payouts.create_async({"amount": 1200, "currency": "sgd"})
    assert payout.automatic is False
    assert (await ended(shop, payout)).status == "paid"
    platforms = await shop.v1.events.list_async({"type": "payout.paid"})
    [paid] = [event for event in platforms.data if event.data.object["id"] == payout.id]
    assert "account" not in paid.to_dict()


@asynccontextmanager
async def sandbox_with_two_endpoints(folder: Path, payments: str, payouts: str) -> AsyncIterator[str]:
    port = free_port()
    server = process(port, folder, shop=payments, payouts=payouts)
    async with running(server, folder / "log", FAST_STOP):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
async def payments() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def payouts() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def sell(url: str) -> stripe.Account:
    """Onboard a seller, transfer the money of a payment, take a part back, and pay out the rest."""
    async with client(url) as shop, httpx.AsyncClient(base_url=url) as http:
        seller = await onboarded(shop, http)
        transfer = await transferred(shop, seller)
        await shop.v1.transfers.reversals.create_async(transfer.id, {"amount": 100})
        await ended(shop, await pay_out(shop, seller, 900), acting_for(seller))
        return seller


async def received(receiver: Receiver, count: int, secret: str) -> list[stripe.Event]:
    """Webhooks in order of their types, signed with this secret."""
    deliveries = [await receiver.next() for _ in range(count)]
    events = [stripe.Webhook.construct_event(each.body, each.signature, secret) for each in deliveries]
    return sorted(events, key=lambda event: event.type)


async def test_each_endpoint_gets_only_its_own_events_with_its_own_signature(
    tmp_path: Path, payments: Receiver, payouts: Receiver
) -> None:
    async with sandbox_with_two_endpoints(tmp_path, payments.url, payouts.url) as url:
        seller = await sell(url)
        events = await received(payouts, 5, PAYOUTS_WEBHOOK_SECRET)
        assert [(event.type, event.to_dict().get("account")) for event in events] == [
            ("account.updated", seller.id),
            ("payout.created", seller.id),
            ("payout.paid", seller.id),
            ("transfer.created", None),
            ("transfer.reversed", None),
        ]
        assert {event.to_dict()["pending_webhooks"] for event in events} == {1}
        of_payments = await received(payments, 3, WEBHOOK_SECRET)
        assert [event.type for event in of_payments] == [
            "charge.succeeded",
            "payment_intent.created",
            "payment_intent.succeeded",
        ]
    assert payouts.deliveries.empty()
    assert payments.deliveries.empty()


async def test_an_endpoint_that_is_down_does_not_delay_the_other(tmp_path: Path, payments: Receiver) -> None:
    port = free_port()
    async with sandbox_with_two_endpoints(tmp_path, payments.url, f"http://127.0.0.1:{port}") as url:
        await sell(url)
        assert len(await received(payments, 3, WEBHOOK_SECRET)) == 3
        async with receiving(port) as later:
            assert len(await received(later, 5, PAYOUTS_WEBHOOK_SECRET)) == 5
