"""Pressed twice, or again: still one order and one payment."""

import re

import pytest
from playwright.async_api import expect

from e2e.money import charged_once
from e2e.visitors import House, order_id
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITH_AND_WITHOUT_JAVASCRIPT = pytest.mark.parametrize("java_script_enabled", [True, False])


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_double_click_on_buy_makes_one_order(house: House, java_script_enabled: bool) -> None:
    buyer = await house.member(java_script_enabled=java_script_enabled)
    ticket = await house.ticket()
    await buyer.open(f"/tickets/{ticket['id']}")
    await buyer.button("Buy").dblclick()
    await expect(buyer.page.get_by_role("timer")).to_be_visible()
    orders = (await buyer.person.client.get("/api/orders")).json()
    assert [order["id"] for order in orders] == [order_id(buyer.path)]


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_double_click_on_pay_charges_once(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await house.member(java_script_enabled=java_script_enabled)
    ticket = await house.ticket()
    order = await buyer.person.reserves(ticket["id"])
    await buyer.open(f"/orders/{order['id']}?step=pay")
    await buyer.button(re.compile("^Pay")).dblclick()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await charged_once(stack, buyer, order["id"])


async def test_paying_again_from_a_page_that_is_out_of_date_charges_nothing_more(
    house: House, stack: Stack
) -> None:
    buyer = await house.member(java_script_enabled=False)
    ticket = await house.ticket()
    order = await buyer.person.reserves(ticket["id"])
    await buyer.open(f"/orders/{order['id']}?step=pay")
    await buyer.person.pays(order["id"])
    await charged_once(stack, buyer, order["id"])
    await buyer.button(re.compile("^Pay")).click()
    await buyer.sees(re.compile("You paid \\$45.00"))
    await charged_once(stack, buyer, order["id"])


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_going_back_after_paying_offers_nothing_to_pay(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await house.member(java_script_enabled=java_script_enabled)
    ticket = await house.ticket()
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
    await charged_once(stack, buyer, order_id(order))
