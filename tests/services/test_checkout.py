"""Paying on Stripe's own page."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
import stripe

from contracts.events import OrderEvent
from tests.people import PATIENCE
from tests.services.conftest import SettingsWith
from tests.services.served import messages, refusal, serving
from tests.services.till import Till


@pytest.fixture
async def desk(
    settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[Till]:
    """A payments service whose buyers pay at Stripe."""
    conf = settings_with(stripe_api_base=stripe_url, payment_page="checkout")
    async with serving("payments", conf) as served:
        yield Till(served, shop, stripe_url)


async def sent_to_page(desk: Till, order: OrderEvent) -> str:
    """The address of the page that a buyer is sent to."""
    answer = await desk.pay(order, None)
    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    return str(answer.json()["pageUrl"])


async def fills_in(desk: Till, page: str, card: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=desk.stripe_url, timeout=PATIENCE) as browser:
        return await browser.post(urlsplit(page).path, data={"card": card})


async def session_of(desk: Till, order: OrderEvent) -> stripe.checkout.Session:
    return await desk.shop.v1.checkout.sessions.retrieve_async((await desk.stored(order))["session_id"])


async def test_a_buyer_is_sent_to_stripes_page_and_always_to_the_same(desk: Till) -> None:
    order = await desk.order()
    answers = await asyncio.gather(*(desk.pay(order, None) for _ in range(4)))
    pages = {answer.json()["pageUrl"] for answer in answers} | {await sent_to_page(desk, order)}
    assert len(pages) == 1
    session = await session_of(desk, order)
    assert (session.amount_total, session.client_reference_id, session.status) == (1999, order.id, "open")
    assert await desk.intents(order) == []
    assert await desk.told(order) == [("payment.created", 0, "pending")]


async def test_the_page_leads_back_to_the_order(desk: Till) -> None:
    order = await desk.order()
    await sent_to_page(desk, order)
    session = await session_of(desk, order)
    assert session.success_url is not None
    assert session.success_url.endswith(f"/orders/{order.id}?paid")
    assert session.cancel_url is not None
    assert session.cancel_url.endswith(f"/orders/{order.id}")


async def test_a_card_token_is_refused_where_one_pays_at_stripe(desk: Till) -> None:
    order = await desk.order()
    assert refusal(await desk.pay(order, "tok_visa"), 400) == [
        (None, "Cards aren't taken here: pay on Stripe's page")
    ]
    assert await desk.served.database["payments"].count_documents({}) == 0


async def test_what_was_paid_there_is_seen_here_and_captured_for_a_complete_order(desk: Till) -> None:
    order = await desk.order()
    await fills_in(desk, await sent_to_page(desk, order), "tok_visa")
    shown = await desk.shown(order)
    assert (shown["status"], shown["pageUrl"]) == ("authorized", None)
    assert await desk.statuses(order) == ["requires_capture"]
    await desk.becomes(order, "complete")
    assert await desk.statuses(order) == ["succeeded"]
    assert [status for _, _, status in await desk.told(order)] == ["pending", "authorized", "captured"]


async def test_a_decline_there_stays_there_and_another_card_pays(desk: Till) -> None:
    order = await desk.order()
    page = await sent_to_page(desk, order)
    declined = await fills_in(desk, page, "tok_chargeDeclined")
    assert "declined" in declined.text
    shown = await desk.shown(order)
    assert (shown["status"], shown["pageUrl"]) == ("pending", page)
    await fills_in(desk, page, "tok_visa")
    assert (await desk.shown(order))["status"] == "authorized"
    assert await desk.statuses(order) == ["requires_capture"]


async def test_a_bank_that_asks_there_is_told_to_orders(desk: Till) -> None:
    order = await desk.order()
    answer = await fills_in(desk, await sent_to_page(desk, order), "tok_threeDSecure2Required")
    assert (await desk.shown(order))["actionUrl"] is None
    key = str((await desk.stored(order))["_id"])
    assert [body["bankCheck"] for _, body in await desk.served.outbox("payments", key)] == [False, True]
    async with httpx.AsyncClient(base_url=desk.stripe_url, timeout=PATIENCE) as browser:
        await browser.post(urlsplit(answer.headers["location"]).path, data={"answer": "approve"})
    assert (await desk.shown(order))["status"] == "authorized"


async def test_the_page_ends_with_its_order(desk: Till) -> None:
    order = await desk.order()
    page = await sent_to_page(desk, order)
    await desk.becomes(order, "cancelled")
    assert (await desk.stored(order))["status"] == "voided"
    assert (await session_of(desk, order)).status == "expired"
    await fills_in(desk, page, "tok_visa")
    assert await desk.intents(order) == []
    assert messages(await desk.pay(order, None), 409) == ["Cannot pay for a cancelled order"]


async def test_a_card_that_was_declined_before_the_order_ended_leaves_nothing_open(desk: Till) -> None:
    order = await desk.order()
    await fills_in(desk, await sent_to_page(desk, order), "tok_chargeDeclined")
    await desk.becomes(order, "cancelled")
    assert (await desk.stored(order))["status"] == "voided"
    assert await desk.statuses(order) == ["canceled"]


async def test_who_pays_just_before_the_order_ends_gets_the_money_back(desk: Till) -> None:
    order = await desk.order()
    await fills_in(desk, await sent_to_page(desk, order), "tok_visa")
    await desk.becomes(order, "cancelled")
    assert (await desk.stored(order))["status"] == "voided"
    assert await desk.statuses(order) == ["canceled"]


async def test_the_reconciler_sees_what_was_paid_when_the_buyer_never_comes_back(desk: Till) -> None:
    order = await desk.order()
    await fills_in(desk, await sent_to_page(desk, order), "tok_visa")
    (mended,) = await desk.payments.reconcile()
    assert (mended.order, mended.was, mended.became) == (order.id, "pending", "authorized")


async def test_a_page_whose_address_was_lost_is_found_again_also_under_another_address_of_ours(
    desk: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key was used for other parameters: what it did is looked up, and no second page is opened."""
    order = await desk.order()
    page = await sent_to_page(desk, order)
    forgotten = {"session_id": None, "page_url": None}
    await desk.served.database["payments"].update_one({"order_id": order.id}, {"$set": forgotten})
    monkeypatch.setattr(desk.payments.gateway, "_site", "https://moved.example")
    assert await sent_to_page(desk, order) == page
