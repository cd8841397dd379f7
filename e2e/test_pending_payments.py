"""While the outcome of a payment is unknown, the order's page says so, and then updates without a reload."""

import re

from playwright.async_api import expect

from e2e.money import assert_charged_once
from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, order_id
from tests.support.polling import until
from tests.support.stack import Stack

CHECKING = re.compile("^We are checking your payment.")
PAID = re.compile("You paid \\$45.00")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_payment_is_shown_as_being_checked_until_stripe_responds(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    order = await buyer.reserves(f"/tickets/{(await visitors.ticket())['id']}")
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
    await assert_charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_the_order_page_updates_when_the_outcome_is_known_after_the_return_from_stripe(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(site=stack.checkout_web, java_script_enabled=java_script_enabled)
    order = await buyer.person.reserves((await visitors.ticket())["id"])
    await buyer.open(f"/orders/{order['id']}")
    await buyer.pays()
    await expect(buyer.heading("Pay by card")).to_be_visible()
    async with stack.paused("payments"), stack.paused("checkout-payments"):
        await buyer.pays("Visa")
        await buyer.sees(CHECKING)
        await expect(buyer.button(re.compile("^Pay"))).to_have_count(0)
        await expect(buyer.link("Continue to payment")).to_have_count(0)
    await buyer.sees(PAID)
    await assert_charged_once(stack, buyer, order["id"])
