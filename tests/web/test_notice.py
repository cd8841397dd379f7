"""Why something was refused is said where no live update of the page wipes it off."""

import pytest

from contracts.api import Order, User
from tests.web.conftest import Browser
from tests.web.market import Market

NOTICE = '<hx-partial hx-target="#notice"'


@pytest.fixture
def order(browser: Browser, market: Market) -> Order:
    buyer, token = market.user("buyer@example.com")
    browser.sign_in_as(token)
    return market.order(buyer, market.ticket(_seller(market)))


def _seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.mark.parametrize("target", [None, "article#ticket"])
async def test_a_ticket_that_is_gone(
    browser: Browser, market: Market, order: Order, target: str | None
) -> None:
    browser.sign_in_as(market.user("slow@example.com")[1])
    answer = await browser.submit(f"/tickets/{order.ticket.id}/buy", target=target)
    inside, _, outside = answer.text.partition("</article>")
    assert answer.status_code == 409
    assert ("Ticket is already reserved" in inside) is (target is None)
    assert (NOTICE in outside and "Ticket is already reserved" in outside) is (target is not None)


@pytest.mark.parametrize("target", [None, "article#order"])
async def test_an_order_that_cannot_be_cancelled(
    browser: Browser, market: Market, order: Order, target: str | None
) -> None:
    market.change_order(order.id, status="complete")
    answer = await browser.submit(f"/orders/{order.id}/cancel", target=target)
    inside, _, outside = answer.text.partition("</article>")
    assert answer.status_code == 409
    assert ("A completed order" in inside) is (target is None)
    assert (NOTICE in outside and "A completed order" in outside) is (target is not None)
