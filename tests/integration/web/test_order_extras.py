"""The ticket and the payment on order pages, and their absence while a service is down."""

import asyncio
from datetime import timedelta

import pytest
from aiohttp import web

from contracts.api import Order, User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services

BANK = "https://bank.test/ask"


@pytest.fixture
def order(market: Market, buyer: User) -> Order:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller, starts_at="2026-12-12T20:00:00Z", venue="Harpa", city="Reykjavik")
    return market.order(buyer, ticket)


async def test_an_order_shows_the_date_and_venue_of_its_event(client: PageClient, order: Order) -> None:
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "Sat, Dec 12, 2026, 8:00 PM UTC" in page
    assert "Harpa, Reykjavik" in page


async def test_an_order_is_shown_with_its_ticket_while_the_tickets_service_is_down(
    client: PageClient, services: Services, order: Order
) -> None:
    await services.stop("tickets")
    page = await client.get(f"/orders/{order.id}")
    assert page.status_code == 200
    assert "You pay $20.00" in text_of(page)
    assert "Harpa, Reykjavik" in text_of(page)


async def test_an_expired_order_does_not_offer_its_ticket_again_while_the_tickets_service_is_down(
    client: PageClient, services: Services, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="cancelled", cancel_reason="expired")
    await services.stop("tickets")
    page = await client.get(f"/orders/{order.id}")
    assert "Not paid in time" in text_of(page)
    assert "Reserve it again" not in text_of(page)


async def test_the_list_of_orders_shows_the_payment_state_of_each_order(
    client: PageClient, market: Market, buyer: User, order: Order
) -> None:
    seller, _ = market.user("another@example.com")
    to_confirm = market.order(buyer, market.ticket(seller), status="awaiting:payment")
    declined = market.order(buyer, market.ticket(seller), status="awaiting:payment")
    market.payment(to_confirm, "pending", action_url=BANK)
    market.payment(declined, "failed")
    page = text_of(await client.get("/orders"))
    for label in ("To pay", "Confirm with your bank", "Card declined"):
        assert page.count(label) == 1
    assert "Checking payment" not in page


async def test_the_list_of_orders_is_shown_while_the_payments_service_is_down_or_slow(
    client: PageClient, services: Services, market: Market, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def respond_late(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    monkeypatch.setattr("web.page_context.OPTIONAL_DATA_TIMEOUT", 0.2)
    await services.replace("payments", [web.get("/api/payments", respond_late)])
    assert "To pay" in text_of(await client.get("/orders"))
    await services.stop("payments")
    assert "To pay" in text_of(await client.get("/orders"))


async def test_a_changed_date_is_stated_before_and_after_paying_and_in_the_copy(
    client: PageClient, market: Market, buyer: User
) -> None:
    seller, _ = market.user("another.seller@example.com")
    starts_at = now() + timedelta(days=30)
    for status in ("created", "complete"):
        ticket = market.ticket(seller, starts_at=starts_at)
        order = market.order(buyer, ticket, status=status, former_starts_at=starts_at - timedelta(days=7))
        pages = [f"/orders/{order.id}"] + ([f"/orders/{order.id}/copy"] if status == "complete" else [])
        for path in pages:
            assert "The date has changed" in (await client.get(path)).text, path
        market.change_order(order.id, former_starts_at=starts_at)
        assert "The date has changed" not in (await client.get(f"/orders/{order.id}")).text
