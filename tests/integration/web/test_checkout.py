"""Payments on Stripe's page: the redirect to the page, the buyer's return, and trusted addresses."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.api import Order
from tests.integration.web.page_client import PageClient, page_client, text_of
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from web.app import web_app

PAGE = "http://localhost:12111/c/pay/cs_test_1"
LIVE_STRIPE = {"stripe_key": "sk_test_1", "stripe_webhook_secret": "whsec_1"}
REFRESH = '<noscript><meta http-equiv="refresh" content="10">'


@pytest_asyncio.fixture(loop_scope="session")
async def client(services: Services, tmp_path: Path) -> AsyncIterator[PageClient]:
    """A client of a marketplace whose buyers pay on Stripe's page."""
    async with (
        alive(app := web_app(checkout_settings(services, tmp_path))),
        page_client(app) as client,
    ):
        yield client


def checkout_settings(services: Services, folder: Path, **changes: Any) -> Any:
    no_server = "nats://127.0.0.1:9"
    return services.settings(data_dir=folder, nats_url=no_server, payment_page="checkout", **changes)


@pytest.fixture
def order(client: PageClient, market: Market) -> Order:
    buyer, token = market.user("buyer@example.com")
    client.sign_in_as(token)
    market.page = PAGE
    return market.order(buyer, market.ticket(market.user("seller@example.com")[0]))


async def test_the_order_page_has_one_pay_button_and_no_test_cards(client: PageClient, order: Order) -> None:
    page = await client.get(f"/orders/{order.id}")
    assert "Pay $20.00" in text_of(page)
    assert "You pay on a test page that replaces Stripe" in text_of(page)
    assert 'name="token"' not in page.text


async def test_paying_redirects_to_stripes_page(client: PageClient, order: Order) -> None:
    plain = await client.submit(f"/orders/{order.id}/pay")
    assert (plain.status_code, plain.headers["location"]) == (303, PAGE)
    with_htmx = await client.submit(f"/orders/{order.id}/pay", target="article#order")
    assert (with_htmx.status_code, with_htmx.headers["hx-redirect"]) == (200, PAGE)


@pytest.mark.parametrize(
    "address",
    [
        "https://checkout.stripe.com.evil.test/c/pay/1",
        "http://localhost:12111@evil.test/c/pay/1",
        "//evil.test/c/pay/1",
        "http://localhost:12111\\@evil.test/",
        "javascript:alert(1)",
    ],
)
async def test_a_payment_redirects_to_no_site_except_stripe(
    client: PageClient, market: Market, order: Order, address: str
) -> None:
    market.page = address
    answer = await client.submit(f"/orders/{order.id}/pay")
    assert answer.headers["location"] == f"/orders/{order.id}"
    shown = await client.get(f"/orders/{order.id}")
    assert "open the payment page right now" in text_of(shown)
    assert "evil" not in shown.text
    assert "javascript:" not in shown.text


async def test_a_started_payment_can_be_continued_or_released_and_has_a_countdown(
    client: PageClient, market: Market, order: Order
) -> None:
    market.payment(order, "pending", page_url=PAGE)
    page = await client.get(f"/orders/{order.id}")
    assert f'<a class="button wide" href="{PAGE}" rel="noreferrer">Continue to payment</a>' in page.text
    assert "Release ticket" in text_of(page)
    assert 'role="timer"' in page.text
    assert "Pay $20.00" not in text_of(page)
    assert "extends the reservation to at most 30 minutes" in text_of(page)
    listed = text_of(await client.get("/orders"))
    assert "Finish paying" in listed
    assert "to pay" in listed


async def test_paying_at_stripe_is_refused_after_a_payment_by_card_was_started(
    client: PageClient, market: Market, order: Order
) -> None:
    market.payment(order, "failed", decline_message="Your card was declined.")
    answer = await client.submit(f"/orders/{order.id}/pay")
    assert answer.status_code == 409
    assert "This payment was started on another page" in text_of(answer)


async def test_a_card_token_is_refused(client: PageClient, order: Order) -> None:
    answer = await client.submit(f"/orders/{order.id}/pay", token="tok_visa")
    assert answer.status_code == 422
    assert "Cards aren&#39;t taken here" in answer.text


async def return_to(client: PageClient, address: str) -> httpx.Response:
    """Open the address as a buyer does whom Stripe redirects to the shop."""
    return await client.http.get(address, follow_redirects=True)


@pytest.mark.parametrize("query", ["paid", "payment_intent=pi_1&payment_intent_client_secret=pi_1_secret"])
async def test_a_buyer_who_returns_is_redirected_to_the_order_page_and_sees_the_outcome(
    client: PageClient, market: Market, order: Order, query: str
) -> None:
    market.change_order(order.id, status="complete")
    market.payment(order, "captured")
    page = await return_to(client, f"/orders/{order.id}?{query}")
    assert "The ticket is yours" in text_of(page)
    assert page.url.query == b""


@pytest.mark.parametrize("query", ["paid", "payment_intent=pi_1"])
async def test_a_buyer_who_returns_before_the_outcome_sees_that_the_payment_is_being_checked(
    client: PageClient, market: Market, order: Order, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.OUTCOME_TIMEOUT", 0.2)
    next_step = {"page_url": PAGE} if query == "paid" else {"action_url": "https://bank.test/ask"}
    market.payment(order, "pending", **next_step)
    page = await return_to(client, f"/orders/{order.id}?{query}")
    assert "We are checking your payment" in text_of(page)
    assert REFRESH in page.text
    assert f'hx-get="/orders/{order.id}?paid"' in page.text
    assert "Continue to payment" not in text_of(page)
    again = await client.get(f"/orders/{order.id}?paid", target="article#order")
    assert "We are checking your payment" in text_of(again)
    market.payment(order, "authorized")
    market.change_order(order.id, status="complete")
    done = await client.get(f"/orders/{order.id}?paid", target="article#order")
    assert "The ticket is yours" in text_of(done)


async def test_opening_the_return_address_does_not_pay_the_order(
    client: PageClient, market: Market, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.OUTCOME_TIMEOUT", 0.2)
    page = await return_to(client, f"/orders/{order.id}?paid")
    assert "yours" not in text_of(page)
    assert f'<a href="/orders/{order.id}">Go back to your order</a>' in page.text
    assert "Pay $20.00" in text_of(await client.get(f"/orders/{order.id}"))
    market.change_order(order.id, status="cancelled", cancel_reason="expired")
    assert "Not paid in time" in text_of(await return_to(client, f"/orders/{order.id}?paid"))


async def test_returning_while_payments_is_down_shows_that_the_payment_is_being_checked(
    client: PageClient, services: Services, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.OUTCOME_TIMEOUT", 0.2)
    await services.stop("payments")
    assert "We are checking your payment" in text_of(await return_to(client, f"/orders/{order.id}?paid"))


async def test_a_signed_out_buyer_who_returns_is_asked_to_sign_in(client: PageClient, order: Order) -> None:
    client.http.cookies.clear()
    answer = await client.get(f"/orders/{order.id}?paid")
    assert answer.headers["location"] == f"/signin?next=/orders/{order.id}%3Fpaid"


@pytest.mark.parametrize(
    ("settings", "origin"),
    [
        ({"stripe_sandbox_port": 4711}, "http://localhost:4711"),
        (LIVE_STRIPE, "https://checkout.stripe.com"),
        ({"stripe_api_base": "https://api.stripe.com"}, "https://checkout.stripe.com"),
        ({"stripe_api_base": "https://api.stripe.com/"}, "https://checkout.stripe.com"),
        ({"stripe_api_base": "http://10.0.0.7:9000/"}, "http://10.0.0.7:9000"),
    ],
)
async def test_the_content_security_policy_allows_forms_to_redirect_only_to_stripe(
    services: Services, tmp_path: Path, settings: dict[str, Any], origin: str
) -> None:
    async with (
        alive(app := web_app(checkout_settings(services, tmp_path, **settings))),
        page_client(app) as client,
    ):
        policy = (await client.get("/developers")).headers["content-security-policy"]
    assert f"form-action 'self' {origin};" in policy


@pytest.mark.parametrize(("settings", "shown"), [({}, True), (LIVE_STRIPE, False)])
async def test_the_sandbox_notice_appears_only_with_the_sandbox(
    services: Services, market: Market, tmp_path: Path, settings: dict[str, Any], shown: bool
) -> None:
    buyer, token = market.user("ann@example.com")
    order = market.order(buyer, market.ticket(market.user("bob@example.com")[0]))
    async with (
        alive(app := web_app(checkout_settings(services, tmp_path, **settings))),
        page_client(app) as client,
    ):
        client.sign_in_as(token)
        page = text_of(await client.get(f"/orders/{order.id}"))
    assert ("Sandbox payments:" in page) is shown
    assert ("replaces Stripe" in page) is shown
    assert ("secure page, and then return here" in page) is not shown


async def test_without_stripes_page_the_content_security_policy_allows_forms_only_on_this_site(
    services: Services, tmp_path: Path
) -> None:
    app = web_app(services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9"))
    async with alive(app), page_client(app) as client:
        policy = (await client.get("/developers")).headers["content-security-policy"]
    assert "form-action 'self';" in policy
