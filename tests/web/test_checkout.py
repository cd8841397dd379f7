"""Paying on Stripe's page: the way there, the way back, and what is believed of either."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.api import Order
from tests.web.conftest import Browser, alive, open_browser, text_of
from tests.web.market import Market
from tests.web.served import Services
from web.app import create

PAGE = "http://localhost:12111/c/pay/cs_test_1"
REAL = {"stripe_key": "sk_test_1", "stripe_webhook_secret": "whsec_1"}
REFRESH = '<noscript><meta http-equiv="refresh" content="10">'


@pytest.fixture
async def browser(services: Services, tmp_path: Path) -> AsyncIterator[Browser]:
    """Of a marketplace where one pays on Stripe's page."""
    async with alive(app := create(at_checkout(services, tmp_path))), open_browser(app) as browser:
        yield browser


def at_checkout(services: Services, folder: Path, **others: Any) -> Any:
    nowhere = "nats://127.0.0.1:9"
    return services.settings(data_dir=folder, nats_url=nowhere, payment_page="checkout", **others)


@pytest.fixture
def order(browser: Browser, market: Market) -> Order:
    buyer, token = market.user("buyer@example.com")
    browser.sign_in_as(token)
    market.page = PAGE
    return market.order(buyer, market.ticket(market.user("seller@example.com")[0]))


async def test_one_button_and_no_cards_are_offered(browser: Browser, order: Order) -> None:
    page = await browser.get(f"/orders/{order.id}")
    assert "Pay $20.00" in text_of(page)
    assert "You pay on a page that stands in for Stripe" in text_of(page)
    assert 'name="token"' not in page.text


async def test_paying_leads_to_stripes_page(browser: Browser, order: Order) -> None:
    plain = await browser.submit(f"/orders/{order.id}/pay")
    assert (plain.status_code, plain.headers["location"]) == (303, PAGE)
    with_htmx = await browser.submit(f"/orders/{order.id}/pay", target="article#order")
    assert (with_htmx.status_code, with_htmx.headers["hx-redirect"]) == (200, PAGE)


@pytest.mark.parametrize(
    "page",
    [
        "https://checkout.stripe.com.evil.test/c/pay/1",
        "http://localhost:12111@evil.test/c/pay/1",
        "//evil.test/c/pay/1",
        "http://localhost:12111\\@evil.test/",
        "javascript:alert(1)",
    ],
)
async def test_nobody_is_sent_anywhere_else(
    browser: Browser, market: Market, order: Order, page: str
) -> None:
    market.page = page
    answer = await browser.submit(f"/orders/{order.id}/pay")
    assert answer.headers["location"] == f"/orders/{order.id}"
    shown = await browser.get(f"/orders/{order.id}")
    assert "be opened just now" in text_of(shown)
    assert "evil" not in shown.text
    assert "javascript:" not in shown.text


async def test_a_payment_that_waits_there_has_a_way_on_a_way_out_and_a_time(
    browser: Browser, market: Market, order: Order
) -> None:
    market.payment(order, "pending", page_url=PAGE)
    page = await browser.get(f"/orders/{order.id}")
    assert f'<a class="button wide" href="{PAGE}" rel="noreferrer">Continue to payment</a>' in page.text
    assert "Release ticket" in text_of(page)
    assert 'role="timer"' in page.text
    assert "Pay $20.00" not in text_of(page)
    assert "gives you more of it, 30 minutes in all at most" in text_of(page)
    listed = text_of(await browser.get("/orders"))
    assert "Finish paying" in listed
    assert "to pay" in listed


async def test_a_payment_that_was_begun_with_a_card_says_why_it_cant_go_on(
    browser: Browser, market: Market, order: Order
) -> None:
    market.payment(order, "failed", decline_message="Your card was declined.")
    answer = await browser.submit(f"/orders/{order.id}/pay")
    assert answer.status_code == 409
    assert "This payment was begun on another page" in text_of(answer)


async def test_a_card_that_is_sent_all_the_same_is_refused(browser: Browser, order: Order) -> None:
    answer = await browser.submit(f"/orders/{order.id}/pay", token="tok_visa")
    assert answer.status_code == 422
    assert "Cards aren&#39;t taken here" in answer.text


async def came_back(browser: Browser, address: str) -> httpx.Response:
    return await browser.http.get(address, follow_redirects=True)


@pytest.mark.parametrize("query", ["paid", "payment_intent=pi_1&payment_intent_client_secret=pi_1_secret"])
async def test_who_comes_back_sees_the_outcome_at_the_orders_own_address(
    browser: Browser, market: Market, order: Order, query: str
) -> None:
    market.change_order(order.id, status="complete")
    market.payment(order, "captured")
    page = await came_back(browser, f"/orders/{order.id}?{query}")
    assert "The ticket is yours" in text_of(page)
    assert page.url.query == b""


@pytest.mark.parametrize("query", ["paid", "payment_intent=pi_1"])
async def test_who_comes_back_before_the_outcome_is_told_that_its_being_checked(
    browser: Browser, market: Market, order: Order, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.SETTLES_WITHIN", 0.2)
    waits = {"page_url": PAGE} if query == "paid" else {"action_url": "https://bank.test/ask"}
    market.payment(order, "pending", **waits)
    page = await came_back(browser, f"/orders/{order.id}?{query}")
    assert "We are checking your payment" in text_of(page)
    assert REFRESH in page.text
    assert f'hx-get="/orders/{order.id}?paid"' in page.text
    assert "Continue to payment" not in text_of(page)
    again = await browser.get(f"/orders/{order.id}?paid", target="article#order")
    assert "We are checking your payment" in text_of(again)
    market.payment(order, "authorized")
    market.change_order(order.id, status="complete")
    done = await browser.get(f"/orders/{order.id}?paid", target="article#order")
    assert "The ticket is yours" in text_of(done)


async def test_the_address_alone_pays_for_nothing(
    browser: Browser, market: Market, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.SETTLES_WITHIN", 0.2)
    claimed = await came_back(browser, f"/orders/{order.id}?paid")
    assert "yours" not in text_of(claimed)
    assert f'<a href="/orders/{order.id}">Go back to your order</a>' in claimed.text
    assert "Pay $20.00" in text_of(await browser.get(f"/orders/{order.id}"))
    market.change_order(order.id, status="cancelled", cancel_reason="expired")
    assert "Not paid in time" in text_of(await came_back(browser, f"/orders/{order.id}?paid"))


async def test_coming_back_while_payments_is_away_says_that_its_being_checked(
    browser: Browser, services: Services, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.SETTLES_WITHIN", 0.2)
    await services.stop("payments")
    assert "We are checking your payment" in text_of(await came_back(browser, f"/orders/{order.id}?paid"))


async def test_coming_back_signed_out_asks_to_sign_in(browser: Browser, order: Order) -> None:
    browser.http.cookies.clear()
    answer = await browser.get(f"/orders/{order.id}?paid")
    assert answer.headers["location"] == f"/signin?next=/orders/{order.id}%3Fpaid"


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({"stripe_sandbox_port": 4711}, "http://localhost:4711"),
        (REAL, "https://checkout.stripe.com"),
        ({"stripe_api_base": "https://api.stripe.com"}, "https://checkout.stripe.com"),
        ({"stripe_api_base": "https://api.stripe.com/"}, "https://checkout.stripe.com"),
        ({"stripe_api_base": "http://10.0.0.7:9000/"}, "http://10.0.0.7:9000"),
    ],
)
async def test_forms_may_lead_to_stripes_page_where_that_is_and_nowhere_else(
    services: Services, tmp_path: Path, settings: dict[str, Any], origin: str
) -> None:
    async with (
        alive(app := create(at_checkout(services, tmp_path, **settings))),
        open_browser(app) as browser,
    ):
        policy = (await browser.get("/developers")).headers["content-security-policy"]
    assert f"form-action 'self' {origin};" in policy


@pytest.mark.parametrize(("settings", "shown"), [({}, True), (REAL, False)])
async def test_only_a_sandbox_is_called_one(
    services: Services, market: Market, tmp_path: Path, settings: dict[str, Any], shown: bool
) -> None:
    buyer, token = market.user("ann@example.com")
    order = market.order(buyer, market.ticket(market.user("bob@example.com")[0]))
    async with (
        alive(app := create(at_checkout(services, tmp_path, **settings))),
        open_browser(app) as browser,
    ):
        browser.sign_in_as(token)
        page = text_of(await browser.get(f"/orders/{order.id}"))
    assert ("Sandbox payments:" in page) is shown
    assert ("stands in for Stripe" in page) is shown
    assert ("secure page, and come back here" in page) is not shown


async def test_where_one_pays_here_forms_lead_nowhere_else(services: Services, tmp_path: Path) -> None:
    app = create(services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9"))
    async with alive(app), open_browser(app) as browser:
        policy = (await browser.get("/developers")).headers["content-security-policy"]
    assert "form-action 'self';" in policy
