"""Payments on Stripe's page at two imitations of Stripe."""

from urllib.parse import urlsplit

import httpx
import stripe

from contracts.events import OrderEvent
from tests.support.payments import PaymentsService
from tests.support.polling import TIMEOUT


async def submit(service: PaymentsService, url: str, **fields: str) -> None:
    """Submit a form on a page of the bank or of Stripe. The sandbox shows the page again with a decline."""
    async with httpx.AsyncClient(base_url=service.stripe_url, timeout=TIMEOUT) as browser:
        assert (await browser.post(urlsplit(url).path, data=fields)).status_code in (303, 402)


async def test_a_payment_on_stripes_page_is_completed_and_captured(page_service: PaymentsService) -> None:
    order = await page_service.order()
    page = (await page_service.pay(order, None)).json()["pageUrl"]
    assert (await page_service.pay(order, None)).json()["pageUrl"] == page
    await submit(page_service, page, card="tok_visa")
    shown = await page_service.shown(order)
    assert (shown["status"], shown["pageUrl"]) == ("authorized", None)
    await page_service.becomes(order, "complete")
    assert await page_service.statuses(order) == ["succeeded"]


async def test_a_decline_on_stripes_page_keeps_the_page_open(page_service: PaymentsService) -> None:
    order = await page_service.order()
    page = (await page_service.pay(order, None)).json()["pageUrl"]
    await submit(page_service, page, card="tok_chargeDeclined")
    shown = await page_service.shown(order)
    assert (shown["status"], shown["pageUrl"]) == ("pending", page)
    await submit(page_service, page, card="tok_visa")
    assert (await page_service.shown(order))["status"] == "authorized"


async def test_the_page_of_a_cancelled_order_is_expired(page_service: PaymentsService) -> None:
    order = await page_service.order()
    await page_service.pay(order, None)
    await page_service.becomes(order, "cancelled")
    assert (await page_service.shown(order))["status"] == "voided"
    key = (await page_service.stored(order))["session_id"]
    session = await page_service.shop.v1.checkout.sessions.retrieve_async(key)
    assert (session.status, session.url) == ("expired", None)


async def test_a_payment_that_was_faster_than_the_expiry_of_its_page_is_voided(
    page_service: PaymentsService,
) -> None:
    order = await page_service.order()
    await submit(page_service, (await page_service.pay(order, None)).json()["pageUrl"], card="tok_visa")
    await page_service.becomes(order, "cancelled")
    assert (await page_service.shown(order))["status"] == "voided"
    assert await page_service.statuses(order) == ["canceled"]


async def checked_on_page(service: PaymentsService) -> tuple[OrderEvent, stripe.PaymentIntent]:
    """An order whose buyer has to confirm the payment to the bank, on Stripe's page."""
    order = await service.order()
    page = (await service.pay(order, None)).json()["pageUrl"]
    await submit(service, page, card="tok_threeDSecure2Required")
    (intent,) = await service.intents(order)
    return order, intent


async def test_a_bank_check_with_stripes_script_has_no_address_for_the_buyer(
    page_service: PaymentsService,
) -> None:
    order, intent = await checked_on_page(page_service)
    assert intent.next_action is not None
    assert intent.next_action.type == "use_stripe_sdk"
    shown = await page_service.shown(order)
    assert (shown["status"], shown["actionUrl"]) == ("pending", None)
    assert (await page_service.stored(order))["bank_check"]
    await submit(
        page_service, intent.to_dict()["next_action"]["use_stripe_sdk"]["stripe_js"], answer="approve"
    )
    assert (await page_service.shown(order))["status"] == "authorized"


async def test_cancelling_an_order_during_a_bank_check_ends_its_payment(
    page_service: PaymentsService,
) -> None:
    order, _ = await checked_on_page(page_service)
    await page_service.becomes(order, "cancelled")
    assert (await page_service.shown(order))["status"] == "voided"
    assert await page_service.statuses(order) == ["canceled"]
