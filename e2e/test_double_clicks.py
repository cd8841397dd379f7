"""Double clicks and outdated pages create one order and one payment."""

import re

from playwright.async_api import expect

from e2e.money import assert_charged_once
from e2e.visitors import IN_MOTION, WITH_AND_WITHOUT_JAVASCRIPT, Visitors, order_id
from tests.support.stack import Stack


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_double_click_on_buy_creates_one_order(visitors: Visitors, java_script_enabled: bool) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled, **IN_MOTION)
    ticket = await visitors.ticket()
    await buyer.open(f"/tickets/{ticket['id']}")
    await buyer.button("Buy").dblclick()
    await expect(buyer.page.get_by_role("timer")).to_be_visible()
    orders = (await buyer.person.client.get("/api/orders")).json()
    assert [order["id"] for order in orders] == [order_id(buyer.path)]


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_double_click_on_pay_charges_once(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled, **IN_MOTION)
    ticket = await visitors.ticket()
    order = await buyer.person.reserves(ticket["id"])
    await buyer.open(f"/orders/{order['id']}?step=pay")
    await buyer.button(re.compile("^Pay")).dblclick()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await assert_charged_once(stack, buyer, order["id"])


async def test_paying_again_on_an_outdated_page_does_not_charge_again(
    visitors: Visitors, stack: Stack
) -> None:
    buyer = await visitors.member(java_script_enabled=False)
    ticket = await visitors.ticket()
    order = await buyer.person.reserves(ticket["id"])
    await buyer.open(f"/orders/{order['id']}?step=pay")
    await buyer.person.pays(order["id"])
    await assert_charged_once(stack, buyer, order["id"])
    await buyer.button(re.compile("^Pay")).click()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await assert_charged_once(stack, buyer, order["id"])


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_going_back_after_paying_does_not_offer_to_pay_again(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled, **IN_MOTION)
    ticket = await visitors.ticket()
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.pays()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await buyer.page.get_by_role("navigation").get_by_role("link", name="My orders").click()
    await expect(buyer.heading("My orders")).to_be_visible()
    await buyer.page.go_back()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await expect(buyer.button(re.compile("^Pay"))).to_have_count(0)
    await buyer.page.go_back()
    await expect(buyer.button(re.compile("^(Pay|Buy)"))).to_have_count(0)
    await assert_charged_once(stack, buyer, order_id(order))
