"""Payments on Stripe's hosted payment page, Stripe Checkout."""

import asyncio
from urllib.parse import urlsplit

import httpx
import pytest
import stripe

from contracts.events import OrderEvent
from tests.support.payments import PaymentsService
from tests.support.polling import TIMEOUT
from tests.support.service import messages, refusal


@pytest.fixture
def service(checkout: PaymentsService) -> PaymentsService:
    return checkout


async def start_checkout(service: PaymentsService, order: OrderEvent) -> str:
    """Start a payment and return the address of Stripe's payment page."""
    answer = await service.pay(order, None)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    return str(answer.json()["pageUrl"])


async def pay_on_page(service: PaymentsService, page: str, card: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=service.stripe_url, timeout=TIMEOUT) as browser:
        return await browser.post(urlsplit(page).path, data={"card": card})


async def session_of(service: PaymentsService, order: OrderEvent) -> stripe.checkout.Session:
    return await service.shop.v1.checkout.sessions.retrieve_async((await service.stored(order))["session_id"])


async def test_concurrent_and_repeated_payments_lead_to_the_same_checkout_page(
    service: PaymentsService,
) -> None:
    order = await service.order()
    answers = await asyncio.gather(*(service.pay(order, None) for _ in range(4)))
    pages = {answer.json()["pageUrl"] for answer in answers} | {await start_checkout(service, order)}
    assert len(pages) == 1
    session = await session_of(service, order)
    assert (session.amount_total, session.client_reference_id, session.status) == (1999, order.id, "open")
    assert await service.intents(order) == []
    assert await service.published(order) == [("payment.updated", 1, "pending")]


async def test_the_checkout_page_links_back_to_the_order(service: PaymentsService) -> None:
    order = await service.order()
    await start_checkout(service, order)
    session = await session_of(service, order)
    assert session.success_url is not None
    assert session.success_url.endswith(f"/orders/{order.id}?paid")
    assert session.cancel_url is not None
    assert session.cancel_url.endswith(f"/orders/{order.id}")


async def test_card_tokens_are_refused_when_buyers_pay_through_checkout(service: PaymentsService) -> None:
    order = await service.order()
    assert refusal(await service.pay(order, "tok_visa"), 400) == [
        (None, "Cards aren't taken here: pay on Stripe's page")
    ]
    assert await service.served.database["payments"].count_documents({}) == 0


async def test_a_checkout_payment_is_authorized_and_captured_when_its_order_is_complete(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await pay_on_page(service, await start_checkout(service, order), "tok_visa")
    shown = await service.shown(order)
    assert (shown["status"], shown["pageUrl"]) == ("authorized", None)
    assert await service.statuses(order) == ["requires_capture"]
    await service.becomes(order, "complete")
    assert await service.statuses(order) == ["succeeded"]
    assert [status for _, _, status in await service.published(order)] == [
        "pending",
        "authorized",
        "captured",
    ]


async def test_a_decline_on_the_checkout_page_leaves_the_payment_pending_for_another_card(
    service: PaymentsService,
) -> None:
    order = await service.order()
    page = await start_checkout(service, order)
    declined = await pay_on_page(service, page, "tok_chargeDeclined")
    assert "declined" in declined.text
    shown = await service.shown(order)
    assert (shown["status"], shown["pageUrl"]) == ("pending", page)
    await pay_on_page(service, page, "tok_visa")
    assert (await service.shown(order))["status"] == "authorized"
    assert await service.statuses(order) == ["requires_capture"]


async def test_an_event_is_published_for_a_bank_check_on_the_checkout_page(service: PaymentsService) -> None:
    order = await service.order()
    answer = await pay_on_page(service, await start_checkout(service, order), "tok_threeDSecure2Required")
    assert (await service.shown(order))["actionUrl"] is None
    key = str((await service.stored(order))["_id"])
    assert [body["bankCheck"] for _, body in await service.served.outbox("payments", key)] == [
        False,
        False,
        True,
    ]
    async with httpx.AsyncClient(base_url=service.stripe_url, timeout=TIMEOUT) as browser:
        await browser.post(urlsplit(answer.headers["location"]).path, data={"answer": "approve"})
    assert (await service.shown(order))["status"] == "authorized"


async def test_cancelling_the_order_closes_the_checkout_page(service: PaymentsService) -> None:
    order = await service.order()
    page = await start_checkout(service, order)
    await service.becomes(order, "cancelled")
    assert (await service.stored(order))["status"] == "voided"
    assert (await session_of(service, order)).status == "expired"
    await pay_on_page(service, page, "tok_visa")
    assert await service.intents(order) == []
    assert messages(await service.pay(order, None), 409) == ["Cannot pay for a cancelled order"]


async def test_cancelling_the_order_after_a_decline_on_the_checkout_page_voids_the_payment(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await pay_on_page(service, await start_checkout(service, order), "tok_chargeDeclined")
    await service.becomes(order, "cancelled")
    assert (await service.stored(order))["status"] == "voided"
    assert await service.statuses(order) == ["canceled"]


async def test_cancelling_the_order_after_a_checkout_authorization_voids_the_payment(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await pay_on_page(service, await start_checkout(service, order), "tok_visa")
    await service.becomes(order, "cancelled")
    assert (await service.stored(order))["status"] == "voided"
    assert await service.statuses(order) == ["canceled"]


async def test_the_reconciler_finds_the_checkout_payment_of_a_buyer_who_does_not_return(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await pay_on_page(service, await start_checkout(service, order), "tok_visa")
    (reconciled,) = await service.reconcile()
    assert (reconciled.order, reconciled.was, reconciled.became) == (order.id, "pending", "authorized")


async def test_a_checkout_page_that_payments_has_lost_is_found_by_its_order(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stripe rejects the repeated idempotency key, because the address of the site is part of the request."""
    order = await service.order()
    page = await start_checkout(service, order)
    lost = {"session_id": None, "page_url": None}
    await service.served.database["payments"].update_one({"order_id": order.id}, {"$set": lost})
    monkeypatch.setattr(service.payments.settlement.gateway, "_site", "https://moved.example")
    assert await start_checkout(service, order) == page
