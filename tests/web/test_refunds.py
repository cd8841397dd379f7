"""A buyer who gets the money back reads so, and whose the ticket is now."""

import pytest

from contracts.api import Order, User
from tests.web.conftest import Browser, text_of
from tests.web.market import Market


@pytest.fixture
def order(market: Market, buyer: User) -> Order:
    """Paid for."""
    seller, _ = market.user("seller@example.com")
    order = market.order(buyer, market.ticket(seller), status="complete")
    market.payment(order, "captured")
    return order


async def test_a_paid_order_listens_since_it_may_be_refunded(browser: Browser, order: Order) -> None:
    for path in (f"/orders/{order.id}", "/orders"):
        page = await browser.get(path)
        assert "Paid" in text_of(page)
        assert f"order:{order.id}" in page.text


async def test_a_refund_that_was_asked_for_is_on_its_way(
    browser: Browser, market: Market, order: Order
) -> None:
    market.payment(order, "refunding")
    page = text_of(await browser.get(f"/orders/{order.id}"))
    assert "Refund on its way" in page
    assert "We are giving you $20.00 back. It can take your bank a few days to show it." in page
    assert "Refund on its way" in text_of(await browser.get("/orders"))


@pytest.mark.parametrize(
    ("relisted", "whose"),
    [(False, "The ticket is still yours."), (True, "The ticket is on sale again")],
)
async def test_a_refunded_order_says_whose_the_ticket_is(
    browser: Browser, market: Market, order: Order, relisted: bool, whose: str
) -> None:
    market.payment(order, "refunded")
    market.change_order(order.id, status="refunded", relisted=relisted)
    page = await browser.get(f"/orders/{order.id}")
    assert "Refunded" in text_of(page)
    assert "You have got $20.00 back. It can take your bank a few days to show it." in text_of(page)
    assert whose in text_of(page)
    assert (f"order:{order.id}" in page.text) is not relisted
    assert "Refunded" in text_of(await browser.get("/orders"))


async def test_orders_that_wait_are_listened_to_before_those_that_are_paid(
    browser: Browser, market: Market, buyer: User, order: Order
) -> None:
    seller, _ = market.user("another@example.com")
    waiting = market.order(buyer, market.ticket(seller))
    paid = [market.order(buyer, market.ticket(seller), status="complete") for _ in range(25)]
    page = await browser.get("/orders")
    watched = page.text.partition('data-live="')[2].partition('"')[0].split()
    assert watched[:2] == ["buyer:me", f"order:{waiting.id}"]
    assert len(watched) == 21
    assert f"order:{paid[-1].id}" in watched


async def test_the_page_of_a_sold_ticket_listens_since_it_may_go_on_sale_again(
    browser: Browser, market: Market, order: Order
) -> None:
    page = await browser.get(f"/tickets/{order.ticket.id}")
    assert "This ticket is yours" in text_of(page)
    assert f'data-live="ticket:{order.ticket.id}"' in page.text
