"""Paying on the page of Stripe, which the sandbox stands in for: there, back, and what comes between."""

import re
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from playwright.async_api import expect

from e2e.money import AGAIN, charged_once, charges, shows
from e2e.visitors import House, Member, order_id
from tests.people import until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITH_AND_WITHOUT_JAVASCRIPT = pytest.mark.parametrize("java_script_enabled", [True, False])
PAID = re.compile("You paid \\$45.00")


async def at_checkout(house: House, stack: Stack, **options: Any) -> tuple[Member, str]:
    """A buyer on Stripe's page, and their order's path."""
    buyer = await house.member(site=stack.checkout_web, **options)
    order = await buyer.person.reserves((await house.ticket())["id"])
    path = f"/orders/{order['id']}"
    await buyer.open(path)
    await buyer.pays()
    await expect(buyer.heading("Pay by card")).to_be_visible()
    return buyer, path


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_paying_there_completes_the_order_here(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    for _ in range(AGAIN):
        buyer, order = await at_checkout(house, stack, java_script_enabled=java_script_enabled)
        shown = buyer.page.expect_response(partial(shows, stack.checkout_web + order))
        async with shown as first:
            await buyer.pays("Visa")
        answer = await (await first.value).text()
        if "The ticket is yours." in answer:
            break
    assert "The ticket is yours." in answer
    await buyer.sees(PAID)
    await charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_card_that_is_declined_there_leaves_the_page_to_another(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer, order = await at_checkout(house, stack, java_script_enabled=java_script_enabled)
    await buyer.pays("Empty account")
    await expect(buyer.page.get_by_role("alert")).to_contain_text("insufficient funds")
    await buyer.pays("Visa")
    await buyer.sees(PAID)
    await charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_who_comes_back_without_paying_can_go_on_or_let_go(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer, order = await at_checkout(house, stack, java_script_enabled=java_script_enabled)
    page = buyer.page.url
    await buyer.link("Back to the shop without paying").click()
    await buyer.sees("Finish paying")
    await expect(buyer.page.get_by_role("timer")).to_be_visible()
    assert buyer.path == order
    await buyer.link("Continue to payment").click()
    assert buyer.page.url == page
    await buyer.link("Back to the shop without paying").click()
    await buyer.button("Release ticket").click()
    await buyer.sees(re.compile("You released this ticket"))
    await until(lambda: buyer.person.payment(order_id(order)), lambda seen: seen["status"] == "voided")
    await buyer.page.goto(page)
    await expect(buyer.heading("This page has expired")).to_be_visible()


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_the_back_button_leads_to_what_is_true_now(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer, order = await at_checkout(house, stack, java_script_enabled=java_script_enabled)
    await buyer.page.go_back()
    await buyer.sees("Finish paying")
    await buyer.page.go_forward()
    await buyer.pays("Visa")
    await buyer.sees(PAID)
    await buyer.page.go_back()
    await expect(buyer.heading("Payment received")).to_be_visible()
    await buyer.link("Back to the shop").click()
    await buyer.sees(PAID)
    await expect(buyer.button(re.compile("^Pay"))).to_have_count(0)
    await charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_pressing_twice_opens_one_page_and_pays_once(
    house: House, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await house.member(site=stack.checkout_web, java_script_enabled=java_script_enabled)
    order = await buyer.person.reserves((await house.ticket())["id"])
    await buyer.open(f"/orders/{order['id']}")
    await buyer.button(re.compile("^Pay")).dblclick()
    await expect(buyer.heading("Pay by card")).to_be_visible()
    await buyer.button(re.compile("^Pay")).dblclick()
    await buyer.sees(PAID)
    await charged_once(stack, buyer, order["id"])


async def test_an_order_that_expires_meanwhile_closes_the_page(house: House, stack: Stack) -> None:
    buyer = await house.member(site=stack.checkout_web)
    async with stack.paused("expiration"):  # it doesn't expire before the page is there to be seen
        for _ in range(4):
            order = await buyer.person.reserves((await house.ticket())["id"], at=stack.hasty_orders)
            opened = await buyer.person.client.post(
                f"{stack.checkout_payments}/api/payments", json={"orderId": order["id"]}
            )
            if opened.status_code != 409:  # that the time is over, on a slow machine
                break
        await buyer.page.goto(opened.json()["pageUrl"])
        await expect(buyer.heading("Pay by card")).to_be_visible()
    await until(lambda: buyer.person.payment(order["id"]), lambda seen: seen["status"] == "voided")
    await buyer.pays()
    await expect(buyer.heading("This page has expired")).to_be_visible()
    await buyer.link("Back to the shop").click()
    await buyer.sees("Not paid in time")
    assert all(amount == 0 for _, amount in await charges(stack, order["id"]))


async def test_a_bank_that_asks_there_gives_more_time_here(house: House, stack: Stack) -> None:
    buyer, path = await at_checkout(house, stack)
    order = await buyer.person.order(order_id(path))
    await buyer.pays("3-D Secure card")
    await expect(buyer.button("Approve")).to_be_visible()
    before = datetime.fromisoformat(order["expiresAt"])
    await until(
        lambda: buyer.person.order(order["id"]),
        lambda seen: datetime.fromisoformat(seen["expiresAt"]) > before,
    )
    await buyer.button("Approve").click()
    await buyer.sees(PAID)
    await charged_once(stack, buyer, order["id"])


async def test_the_order_goes_on_by_itself_when_its_paid_in_another_tab(house: House, stack: Stack) -> None:
    buyer, path = await at_checkout(house, stack)
    tab = await buyer.page.context.new_page()
    await tab.goto(buyer.page.url)
    await buyer.open(path)
    await buyer.sees("Finish paying")
    await buyer.marks_the_page()
    await tab.get_by_role("button", name=re.compile("^Pay ")).click()
    await buyer.sees(PAID)
    assert await buyer.still_has_the_mark()


async def test_the_success_address_alone_makes_nothing_paid(house: House, stack: Stack) -> None:
    buyer, path = await at_checkout(house, stack)
    await buyer.open(f"{path}?paid")
    await buyer.sees(re.compile("^We are checking your payment"))
    await buyer.link("Go back to your order").click()
    await buyer.sees("Finish paying")
    await until(lambda: buyer.person.order(order_id(path)), lambda seen: seen["status"] == "awaiting:payment")
