"""What an order shows of its ticket and its payment, and how it does without them."""

import asyncio

import pytest
from aiohttp import web

from contracts.api import Order, User
from tests.web.conftest import Browser, text_of
from tests.web.market import Market
from tests.web.served import Services

BANK = "https://bank.test/ask"


@pytest.fixture
def order(market: Market, buyer: User) -> Order:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller, starts_at="2026-12-12T20:00:00Z", venue="Harpa", city="Reykjavik")
    return market.order(buyer, ticket)


async def test_an_order_says_when_and_where_to_go(browser: Browser, order: Order) -> None:
    page = text_of(await browser.get(f"/orders/{order.id}"))
    assert "Sat, Dec 12, 2026, 8:00 PM UTC" in page
    assert "Harpa, Reykjavik" in page


async def test_an_order_knows_its_ticket_by_itself(
    browser: Browser, services: Services, order: Order
) -> None:
    await services.stop("tickets")
    page = await browser.get(f"/orders/{order.id}")
    assert page.status_code == 200
    assert "You pay $20.00" in text_of(page)
    assert "Harpa, Reykjavik" in text_of(page)


async def test_an_order_that_ended_is_shown_while_tickets_is_away(
    browser: Browser, services: Services, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="cancelled", cancel_reason="expired")
    await services.stop("tickets")
    page = await browser.get(f"/orders/{order.id}")
    assert "Not paid in time" in text_of(page)
    assert "Reserve it again" not in text_of(page)


async def test_the_list_says_of_each_order_what_its_own_page_says(
    browser: Browser, market: Market, buyer: User, order: Order
) -> None:
    seller, _ = market.user("another@example.com")
    asked = market.order(buyer, market.ticket(seller), status="awaiting:payment")
    declined = market.order(buyer, market.ticket(seller), status="awaiting:payment")
    market.payment(asked, "pending", action_url=BANK)
    market.payment(declined, "failed")
    page = text_of(await browser.get("/orders"))
    for label in ("To pay", "Confirm with your bank", "Card declined"):
        assert page.count(label) == 1
    assert "Checking payment" not in page


async def test_the_list_is_shown_while_payments_is_away_or_slow(
    browser: Browser, services: Services, market: Market, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    monkeypatch.setattr("web.page.EXTRAS_WITHIN", 0.2)
    await services.replace("payments", [web.get("/api/payments", never)])
    assert "To pay" in text_of(await browser.get("/orders"))
    await services.stop("payments")
    assert "To pay" in text_of(await browser.get("/orders"))
