"""A service is down: pages say so, the rest works, and it goes on by itself afterwards."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import expect

from e2e.visitors import House, order_id, some_title
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def without(stack: Stack, name: str) -> AsyncIterator[None]:
    await stack.stop(name)
    try:
        yield
    finally:
        await stack.start(name)


async def test_buying_while_orders_is_down_says_so_and_works_again_afterwards(
    house: House, stack: Stack
) -> None:
    buyer = await house.member()
    title = some_title()
    ticket = await house.ticket(title=title)
    path = f"/tickets/{ticket['id']}"
    await buyer.open(path)
    async with without(stack, "orders"):
        await buyer.button("Buy").click()
        await expect(buyer.notice).to_contain_text("Orders are away for a moment")
        await expect(buyer.heading(title)).to_be_visible()
        await buyer.open("/orders")
        await expect(buyer.heading("Orders are away for a moment")).to_be_visible()
        await buyer.open("/")
        await expect(buyer.link(title)).to_be_visible()
        await buyer.open("/orders")
    await buyer.link("Try again").click()
    await expect(buyer.heading("My orders")).to_be_visible()
    await buyer.reserves(path)


async def test_paying_while_payments_is_down_says_that_nothing_is_charged_twice(
    house: House, stack: Stack
) -> None:
    buyer = await house.member()
    ticket = await house.ticket()
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    async with without(stack, "payments"):
        await buyer.pays()
        await expect(buyer.notice).to_contain_text("We can't reach the payment service")
        await expect(buyer.page.get_by_role("timer")).to_be_visible()
    await buyer.pays()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await expect(buyer.notice).to_be_empty()
    assert (await buyer.person.payment(order_id(order)))["amount"] == 4500


async def test_signing_in_while_auth_is_down_says_so_and_tickets_can_still_be_looked_at(
    house: House, stack: Stack
) -> None:
    visitor = await house.guest()
    title = some_title()
    ticket = await house.ticket(title=title)
    await visitor.open("/signin")
    async with without(stack, "auth"):
        await visitor.page.get_by_label("Email").fill("somebody@example.com")
        await visitor.page.get_by_label("Password").fill("correct horse battery")
        await visitor.button("Sign in").click()
        await expect(visitor.notice).to_contain_text("Sign-in is away for a moment")
        await expect(visitor.page.get_by_label("Email")).to_have_value("somebody@example.com")
        await visitor.open(f"/tickets/{ticket['id']}")
        await expect(visitor.heading(title)).to_be_visible()
        await expect(visitor.link("Sign in to buy")).to_be_visible()
    await visitor.page.reload()
    await expect(visitor.link("Sign in to buy")).to_be_visible()


async def test_a_page_that_lost_its_connection_catches_up_without_a_reload(
    house: House, stack: Stack
) -> None:
    buyer, onlooker = await house.person(), await house.member()
    ticket = await house.ticket()
    await onlooker.open(f"/tickets/{ticket['id']}")
    await onlooker.marks_the_page()
    await onlooker.page.context.set_offline(True)
    await onlooker.button("Buy").click()
    await expect(onlooker.notice).to_contain_text("Check your connection, then look before you try again.")
    async with without(stack, "web"):
        order = await buyer.reserves(ticket["id"], at=stack.settings.url_of("orders"))
        await onlooker.page.context.set_offline(False)
    await onlooker.sees(re.compile("^Held by someone"))
    await buyer.cancels(order["id"])
    await expect(onlooker.button("Buy")).to_be_visible()
    assert await onlooker.still_has_the_mark()
