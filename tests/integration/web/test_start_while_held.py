"""The pages of an order and a ticket whose event starts while a buyer holds the ticket."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.api import Order, User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, page_client, text_of
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from web.app import web_app

STARTED = "The event has started"


@pytest_asyncio.fixture(loop_scope="session")
async def strict(services: Services, tmp_path: Path) -> AsyncIterator[PageClient]:
    """A client of a marketplace where nobody may pay after the start."""
    conf = services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9", pay_after_start=False)
    async with alive(app := web_app(conf)), page_client(app) as client:
        yield client


@pytest.fixture
def buyer(client: PageClient, strict: PageClient, market: Market) -> User:
    user, token = market.user("buyer@example.com")
    client.sign_in_as(token)
    strict.sign_in_as(token)
    return user


def order_of(market: Market, buyer: User, minutes: float) -> Order:
    """An unpaid order, due in 15 minutes, whose event starts this many minutes from now."""
    starts_at = now() + timedelta(minutes=minutes)
    return market.order(buyer, market.ticket(market.user("seller@example.com")[0], starts_at=starts_at))


def reload_after(page: str) -> int:
    found = re.search(r'http-equiv="refresh" content="(\d+)"', page)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("step", ["", "?step=pay"])
async def test_by_default_a_buyer_is_warned_and_can_still_pay(
    client: PageClient, market: Market, buyer: User, step: str
) -> None:
    order = order_of(market, buyer, -1)
    page = await client.get(f"/orders/{order.id}{step}")
    assert f"{STARTED}: " in text_of(page)
    assert "make sure that the ticket is still of use to you" in text_of(page)
    paid = await client.submit(f"/orders/{order.id}/pay", token="tok_visa", follow=True)
    assert "The ticket is yours" in text_of(paid)
    assert STARTED not in text_of(paid)


async def test_before_the_start_nobody_is_warned(
    client: PageClient, strict: PageClient, market: Market, buyer: User
) -> None:
    order = order_of(market, buyer, 60)
    for each in (client, strict):
        page = await each.get(f"/orders/{order.id}")
        assert STARTED not in text_of(page)
        assert "until the event starts" not in text_of(page)


async def test_a_page_changes_when_the_event_starts(
    client: PageClient, strict: PageClient, market: Market, buyer: User
) -> None:
    order = order_of(market, buyer, 5)
    page = await strict.get(f"/orders/{order.id}")
    assert "You can pay until the event starts: " in text_of(page)
    assert 'data-refresh-at="300 600"' in page.text  # ten minutes of the hold are left then
    assert 300 <= reload_after(page.text) <= 302
    usual = await client.get(f"/orders/{order.id}")
    assert "You can pay until the event starts" not in text_of(usual)
    assert 'data-refresh-at="300 600"' in usual.text
    later = await client.get(f"/orders/{order_of(market, buyer, 60).id}")
    assert 'data-refresh-at="300"' in later.text
    assert 900 <= reload_after(later.text) <= 902


async def test_after_the_start_an_order_can_only_be_released_if_payments_are_refused_then(
    strict: PageClient, market: Market, buyer: User
) -> None:
    order = order_of(market, buyer, -1)
    page = await strict.get(f"/orders/{order.id}?step=pay")
    assert 'data-stage="begun"' in page.text
    assert f"{STARTED}, so you can no longer pay for this ticket. You haven\u2019t been charged." in text_of(
        page
    )
    assert 'id="pay"' not in page.text
    assert "Give me more time" not in text_of(page)
    assert STARTED in text_of(await strict.get("/orders"))
    released = await strict.submit(f"/orders/{order.id}/cancel", follow=True)
    assert "You released this ticket" in text_of(released)


async def test_a_card_that_was_declined_cannot_be_replaced_after_the_start(
    strict: PageClient, market: Market, buyer: User
) -> None:
    order = order_of(market, buyer, -1)
    market.payment(order, "failed", decline_message="Your card was declined.")
    page = await strict.get(f"/orders/{order.id}")
    assert 'data-stage="begun"' in page.text
    assert 'id="pay"' not in page.text


async def test_the_page_of_a_held_ticket_tells_that_the_event_has_started(
    client: PageClient, strict: PageClient, market: Market, buyer: User
) -> None:
    mine = order_of(market, buyer, -1).ticket.id
    assert f"{STARTED}. Before you pay" in text_of(await client.get(f"/tickets/{mine}"))
    assert f"{STARTED}. You can only pay if you began before." in text_of(
        await strict.get(f"/tickets/{mine}")
    )
    other = order_of(market, market.user("other@example.com")[0], -1).ticket.id
    page = await client.get(f"/tickets/{other}")
    assert f"{STARTED}, so it won\u2019t be on sale again" in text_of(page)
    assert "Notify me" not in text_of(page)
    later = order_of(market, buyer, 60).ticket.id
    assert STARTED not in text_of(await client.get(f"/tickets/{later}"))
