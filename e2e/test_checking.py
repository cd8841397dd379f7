"""While nobody knows yet whether it's paid, the page says so, and goes on by itself when somebody does."""

import re

import pytest
from playwright.async_api import expect

from e2e.money import charged_once
from e2e.visitors import House, order_id
from tests.people import until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITH_AND_WITHOUT_JAVASCRIPT = pytest.mark.parametrize("java_script_enabled", [True, False])
CHECKING = re.compile("^We are checking your payment.")
PAID = re.compile("You paid \\$45.00")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_payment_that_stripe_is_slow_about_is_checked_until_its_known(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await house.member(java_script_enabled=java_script_enabled)
    order = await buyer.reserves(f"/tickets/{(await house.ticket())['id']}")
    await buyer.goes_to_pay()
    tab = await buyer.page.context.new_page()
    async with stack.paused("stripe"):
        await buyer.button(re.compile("^Pay")).click(no_wait_after=True)
        await until(lambda: buyer.person.payment(order_id(order)), lambda seen: seen["status"] == "pending")
        await tab.goto(buyer.site + order)
        await expect(tab.get_by_text(CHECKING)).to_be_visible()
        await expect(tab.get_by_role("button", name=re.compile("^Pay"))).to_have_count(0)
    await expect(tab.get_by_text(PAID)).to_be_visible()
    await buyer.sees(PAID)
    await charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_who_comes_back_from_stripes_page_before_the_outcome_sees_it_come(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await house.member(site=stack.checkout_web, java_script_enabled=java_script_enabled)
    order = await buyer.person.reserves((await house.ticket())["id"])
    await buyer.open(f"/orders/{order['id']}")
    await buyer.pays()
    await expect(buyer.heading("Pay by card")).to_be_visible()
    async with stack.paused("payments"), stack.paused("checkout-payments"):
        await buyer.pays("Visa")
        await buyer.sees(CHECKING)
        await expect(buyer.button(re.compile("^Pay"))).to_have_count(0)
        await expect(buyer.link("Continue to payment")).to_have_count(0)
    await buyer.sees(PAID)
    await charged_once(stack, buyer, order["id"])
