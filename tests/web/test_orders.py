"""Reserving and paying, as a buyer sees it, without JavaScript and with htmx."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from contracts.api import Order, User
from contracts.events import CancelReason, OrderStatus, PaymentStatus
from contracts.wire import now
from tests.web.conftest import Browser, alive, is_page, open_browser, text_of
from tests.web.market import Market
from tests.web.served import Services
from web.app import create
from web.stages import stage_of

REFRESH = '<noscript><meta http-equiv="refresh"'


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.fixture
def order(market: Market, buyer: User, seller: User) -> Order:
    return market.order(buyer, market.ticket(seller))


async def test_buying_leads_to_the_order(browser: Browser, market: Market, buyer: User, seller: User) -> None:
    ticket = market.ticket(seller)
    page = await browser.submit(f"/tickets/{ticket.id}/buy", follow=True)
    [order] = market.orders.values()
    assert page.url.path == f"/orders/{order.id}"
    assert "To pay" in text_of(page)
    assert "You pay $20.00" in text_of(page)


async def test_buying_asks_to_sign_in_and_comes_back(browser: Browser, market: Market, seller: User) -> None:
    ticket = market.ticket(seller)
    response = await browser.submit(f"/tickets/{ticket.id}/buy")
    assert response.headers["location"] == f"/signin?next=/tickets/{ticket.id}"


async def test_the_loser_of_a_race_sees_the_ticket_as_it_is_and_why(
    browser: Browser, market: Market, buyer: User, seller: User
) -> None:
    ticket = market.ticket(seller)
    market.order(market.user("first@example.com")[0], ticket)
    response = await browser.submit(f"/tickets/{ticket.id}/buy")
    assert response.status_code == 409
    assert "Ticket is already reserved" in text_of(response)
    assert "Held by someone" in text_of(response)


async def test_without_javascript_paying_shows_the_end_and_not_the_middle(
    browser: Browser, market: Market, order: Order
) -> None:
    market.settle_after = 0.2
    page = await browser.submit(f"/orders/{order.id}/pay", token="tok_visa", follow=True)
    assert is_page(page)
    assert "The ticket is yours" in text_of(page)


async def test_an_outcome_that_takes_long_is_waited_for_on_the_page(
    browser: Browser, market: Market, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.SETTLES_WITHIN", 0.2)
    market.settle_after = None
    page = await browser.submit(f"/orders/{order.id}/pay", token="tok_visa", follow=True)
    assert "We are checking your payment" in text_of(page)
    assert f'{REFRESH} content="10">' in page.text


async def test_with_htmx_paying_answers_with_the_order_alone(
    browser: Browser, market: Market, order: Order
) -> None:
    response = await browser.submit(f"/orders/{order.id}/pay", target="article#order", token="tok_visa")
    assert response.status_code == 200
    assert response.text.strip().startswith("<article")
    assert "<title>Nick Cave: Paid" in response.text


@pytest.mark.parametrize("target", [None, "article#order"])
async def test_a_declined_card_says_why_and_lets_one_try_again(
    browser: Browser, market: Market, order: Order, target: str | None
) -> None:
    market.decline = "Your card has insufficient funds."
    page = await browser.submit(
        f"/orders/{order.id}/pay", target=target, token="tok_chargeDeclined", follow=True
    )
    assert "Your card has insufficient funds." in text_of(page)
    assert "still held for you" in text_of(page)
    assert "Pay $20.00" in text_of(page)


async def test_paying_too_late_shows_what_became_of_the_order(
    browser: Browser, market: Market, order: Order
) -> None:
    over = now() - timedelta(seconds=1)
    market.change_order(order.id, status="cancelled", cancel_reason="expired", expires_at=over)
    page = await browser.submit(f"/orders/{order.id}/pay", token="tok_visa", follow=True)
    assert "Not paid in time" in text_of(page)
    assert "been charged" in text_of(page)
    assert "Pay $" not in text_of(page)


async def test_paying_while_payments_is_away_says_so_beside_the_order(
    browser: Browser, services: Services, order: Order
) -> None:
    await services.stop("payments")
    page = await browser.submit(f"/orders/{order.id}/pay", token="tok_visa")
    assert page.status_code == 503
    assert "You won&#39;t be charged twice" in page.text
    assert "Nick Cave" in text_of(page)


async def test_releasing_frees_the_ticket(browser: Browser, market: Market, order: Order) -> None:
    page = await browser.submit(f"/orders/{order.id}/cancel", follow=True)
    assert "You released this ticket" in text_of(page)
    assert market.tickets[order.ticket.id].status == "available"


async def test_an_order_that_was_let_go_stays_so_when_its_time_passes(
    browser: Browser, market: Market, order: Order
) -> None:
    await browser.submit(f"/orders/{order.id}/cancel")
    market.change_order(order.id, expires_at=now() - timedelta(seconds=1))
    page = text_of(await browser.get(f"/orders/{order.id}"))
    assert "You released this ticket" in page
    assert "Not paid in time" not in page


async def test_a_complete_order_isnt_cancelled(browser: Browser, market: Market, order: Order) -> None:
    market.change_order(order.id, status="complete")
    market.payment(order, "captured")
    page = await browser.submit(f"/orders/{order.id}/cancel")
    assert page.status_code == 409
    assert "A completed order can&#39;t be cancelled" in page.text
    assert "The ticket is yours" in text_of(page)


ORDERED: list[tuple[OrderStatus, CancelReason | None]] = [
    ("created", None),
    ("awaiting:payment", None),
    ("complete", None),
    ("cancelled", "buyer"),
    ("cancelled", "expired"),
    ("refunded", None),
]


@pytest.mark.parametrize(("status", "reason"), ORDERED)
@pytest.mark.parametrize("paid", [None, *get_args(PaymentStatus)])
async def test_every_state_is_told_in_words_and_only_waiting_ones_listen(
    browser: Browser,
    market: Market,
    order: Order,
    status: OrderStatus,
    reason: CancelReason | None,
    paid: PaymentStatus | None,
) -> None:
    market.change_order(order.id, status=status, cancel_reason=reason)
    payment = market.payment(order, paid) if paid else None
    page = await browser.get(f"/orders/{order.id}?step=pay")
    stage = stage_of(market.orders[order.id], payment, now())
    assert page.status_code == 200
    assert stage.label in text_of(page)
    said = page.text.partition('class="said')[2].partition("</div>")[0]
    assert "<p" in said, f"nothing is said in {stage.name}"
    assert (f'data-live="order:{order.id}' in page.text) is stage.listens
    assert (f'{REFRESH} content="{stage.looks_again}">' in page.text) is stage.is_waiting
    assert ("Pay $20.00" in text_of(page)) is stage.can_pay


async def test_the_banks_question_is_a_link_to_the_bank(
    browser: Browser, market: Market, order: Order
) -> None:
    market.payment(order, "pending", action_url="https://bank.test/ask?x=1&y=2")
    page = await browser.get(f"/orders/{order.id}")
    assert 'href="https://bank.test/ask?x=1&amp;y=2"' in page.text
    assert "Confirm with your bank" in text_of(page)
    assert "The ticket is held for you meanwhile" in text_of(page)
    assert "check gives you more of it, 30 minutes in all at most" in text_of(page)


async def test_who_has_long_to_pay_isnt_promised_more(
    services: Services, market: Market, tmp_path: Path
) -> None:
    buyer, token = market.user("ann@example.com")
    order = market.order(buyer, market.ticket(market.user("bob@example.com")[0]))
    market.payment(order, "pending", action_url="https://bank.test/ask")
    nowhere = "nats://127.0.0.1:9"
    app = create(services.settings(data_dir=tmp_path, nats_url=nowhere, expiration_window_seconds=1800))
    async with alive(app), open_browser(app) as browser:
        browser.sign_in_as(token)
        page = text_of(await browser.get(f"/orders/{order.id}"))
    assert "Your bank wants to be sure" in page
    assert "more time" not in page


async def test_a_bank_is_never_a_script(browser: Browser, market: Market, order: Order) -> None:
    market.payment(order, "pending", action_url="javascript:alert(1)")
    assert "javascript:" not in (await browser.get(f"/orders/{order.id}")).text


@pytest.mark.usefixtures("stopped_clock")
async def test_the_countdown_starts_from_the_servers_time(
    browser: Browser, market: Market, buyer: User, seller: User
) -> None:
    order = market.order(buyer, market.ticket(seller), seconds=125)
    page = await browser.get(f"/orders/{order.id}")
    assert 'data-remaining="125">2:05</span>' in page.text
    assert f'{REFRESH} content="12' in page.text


async def test_somebody_elses_order_isnt_shown(browser: Browser, market: Market, order: Order) -> None:
    _, token = market.user("other@example.com")
    browser.sign_in_as(token)
    page = await browser.get(f"/orders/{order.id}")
    assert page.status_code == 403
    assert "Nick Cave" not in text_of(page)
    assert "Nick Cave" not in text_of(await browser.get("/orders"))


async def test_the_order_is_shown_while_payments_is_away(
    browser: Browser, services: Services, order: Order
) -> None:
    await services.stop("payments")
    page = await browser.get(f"/orders/{order.id}")
    assert page.status_code == 200
    assert "Nick Cave" in text_of(page)


async def test_the_list_of_orders_listens_to_those_that_may_change(
    browser: Browser, market: Market, buyer: User, seller: User
) -> None:
    waiting = market.order(buyer, market.ticket(seller))
    done = market.order(buyer, market.ticket(seller), status="cancelled")
    page = await browser.get("/orders")
    assert f"order:{waiting.id}" in page.text
    assert f"order:{done.id}" not in page.text
