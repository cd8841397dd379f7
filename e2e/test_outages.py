"""While a service is down, its pages show an error and other pages work. Afterwards, all pages work again."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import expect

from e2e.visitors import Visitors, order_id, some_title
from tests.support.stack import Stack


@asynccontextmanager
async def without(stack: Stack, name: str) -> AsyncIterator[None]:
    await stack.stop(name)
    try:
        yield
    finally:
        await stack.start(name)


async def test_buying_while_orders_is_down_shows_an_error_and_works_after_the_restart(
    visitors: Visitors, stack: Stack
) -> None:
    buyer = await visitors.member()
    title = some_title()
    ticket = await visitors.ticket(title=title)
    path = f"/tickets/{ticket['id']}"
    await buyer.open(path)
    async with without(stack, "orders"):
        await buyer.button("Buy").click()
        await expect(buyer.notice).to_contain_text("Orders are temporarily unavailable")
        await expect(buyer.heading(title)).to_be_visible()
        await buyer.open("/orders")
        await expect(buyer.heading("Orders are temporarily unavailable")).to_be_visible()
        await buyer.open(f"/?q={title.rpartition(' ')[2]}")
        await expect(buyer.link(title)).to_be_visible()
        await buyer.open("/orders")
    await buyer.link("Try again").click()
    await expect(buyer.heading("My orders")).to_be_visible()
    await buyer.reserves(path)


async def test_paying_while_payments_is_down_shows_an_error_and_charges_once_after_the_restart(
    visitors: Visitors, stack: Stack
) -> None:
    buyer = await visitors.member()
    ticket = await visitors.ticket()
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    async with without(stack, "payments"):
        await buyer.pays()
        await expect(buyer.notice).to_contain_text("We can't reach the payment service")
        await expect(buyer.page.get_by_role("timer")).to_be_visible()
    await buyer.pays()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await expect(buyer.notice).to_be_empty()
    assert (await buyer.person.payment(order_id(order)))["amount"] == 4500


async def test_signing_in_while_auth_is_down_shows_an_error_and_tickets_stay_visible(
    visitors: Visitors, stack: Stack
) -> None:
    visitor = await visitors.guest()
    title = some_title()
    ticket = await visitors.ticket(title=title)
    await visitor.open("/signin")
    async with without(stack, "auth"):
        await visitor.page.get_by_label("Email").fill("somebody@example.com")
        await visitor.page.get_by_label("Password").fill("correct horse battery")
        await visitor.button("Sign in").click()
        await expect(visitor.notice).to_contain_text("Sign-in is temporarily unavailable")
        await expect(visitor.page.get_by_label("Email")).to_have_value("somebody@example.com")
        await visitor.open(f"/tickets/{ticket['id']}")
        await expect(visitor.heading(title)).to_be_visible()
        await expect(visitor.link("Sign in to buy")).to_be_visible()
    await visitor.page.reload()
    await expect(visitor.link("Sign in to buy")).to_be_visible()


async def test_a_page_that_lost_its_connection_catches_up_without_a_reload(
    visitors: Visitors, stack: Stack
) -> None:
    buyer, onlooker = await visitors.person(), await visitors.member()
    ticket = await visitors.ticket()
    await onlooker.open(f"/tickets/{ticket['id']}")
    await onlooker.marks_the_page()
    await onlooker.page.context.set_offline(True)
    await onlooker.button("Buy").click()
    await expect(onlooker.notice).to_contain_text(
        "Your request may have gone through: check before you try again."
    )
    async with without(stack, "web"):
        order = await buyer.reserves(ticket["id"], at=stack.settings.url_of("orders"))
        await onlooker.page.context.set_offline(False)
    await onlooker.sees(re.compile("^Somebody else has reserved"))
    await buyer.cancels(order["id"])
    await expect(onlooker.button("Buy")).to_be_visible()
    assert await onlooker.has_not_reloaded()
