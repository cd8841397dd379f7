"""With htmx, an error message appears outside the fragment that the next live update replaces."""

import pytest

from contracts.api import Order, User
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market

NOTICE = '<hx-partial hx-target="#notice"'


@pytest.fixture
def order(client: PageClient, market: Market) -> Order:
    buyer, token = market.user("buyer@example.com")
    client.sign_in_as(token)
    return market.order(buyer, market.ticket(_seller(market)))


def _seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.mark.parametrize("target", [None, "article#ticket"])
async def test_the_error_for_buying_a_reserved_ticket_remains_after_live_updates(
    client: PageClient, market: Market, order: Order, target: str | None
) -> None:
    client.sign_in_as(market.user("slow@example.com")[1])
    answer = await client.submit(f"/tickets/{order.ticket.id}/buy", target=target)
    inside, _, outside = answer.text.partition("</article>")
    assert answer.status_code == 409
    assert ("Ticket is already reserved" in inside) is (target is None)
    assert (NOTICE in outside and "Ticket is already reserved" in outside) is (target is not None)


@pytest.mark.parametrize("target", [None, "article#order"])
async def test_the_error_for_cancelling_a_complete_order_remains_after_live_updates(
    client: PageClient, market: Market, order: Order, target: str | None
) -> None:
    market.change_order(order.id, status="complete")
    answer = await client.submit(f"/orders/{order.id}/cancel", target=target)
    inside, _, outside = answer.text.partition("</article>")
    assert answer.status_code == 409
    assert ("A completed order" in inside) is (target is None)
    assert (NOTICE in outside and "A completed order" in outside) is (target is not None)
