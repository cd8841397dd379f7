"""Paying on Stripe's hosted page, which the sandbox provides."""

import re
from datetime import datetime
from functools import partial
from typing import Any

from bson import ObjectId
from playwright.async_api import expect

from contracts.wire import now
from e2e.money import ATTEMPTS, assert_charged_once, charges, shows
from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Member, Visitors, order_id
from kit.mongo import connect
from tests.support.polling import until
from tests.support.stack import Stack

PAID = re.compile("You paid \\$45.00")


async def at_checkout(visitors: Visitors, stack: Stack, **options: Any) -> tuple[Member, str]:
    """A buyer on Stripe's page, and the path of the order."""
    buyer = await visitors.member(site=stack.checkout_web, **options)
    order = await buyer.person.reserves((await visitors.ticket())["id"])
    path = f"/orders/{order['id']}"
    await buyer.open(path)
    await buyer.pays()
    await expect(buyer.heading("Pay by card")).to_be_visible()
    return buyer, path


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_paying_on_stripes_page_completes_the_order(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    for _ in range(ATTEMPTS):
        buyer, order = await at_checkout(visitors, stack, java_script_enabled=java_script_enabled)
        shown = buyer.page.expect_response(partial(shows, stack.checkout_web + order))
        async with shown as first:
            await buyer.pays("Visa")
        answer = await (await first.value).text()
        if "The ticket is yours." in answer:
            break
    assert "The ticket is yours." in answer
    await buyer.sees(PAID)
    await assert_charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_after_a_decline_on_stripes_page_the_buyer_can_pay_with_another_card(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer, order = await at_checkout(visitors, stack, java_script_enabled=java_script_enabled)
    await buyer.pays("Empty account")
    await expect(buyer.page.get_by_role("alert")).to_contain_text("insufficient funds")
    await buyer.pays("Visa")
    await buyer.sees(PAID)
    await assert_charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_buyer_who_returns_without_paying_can_continue_or_release_the_ticket(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer, order = await at_checkout(visitors, stack, java_script_enabled=java_script_enabled)
    page = buyer.page.url
    await buyer.link("Back to the shop without paying").click()
    await buyer.sees("Finish paying")
    await expect(buyer.page.get_by_role("timer")).to_be_visible()
    assert buyer.path == order
    await buyer.link("Continue to payment").click()
    assert buyer.page.url == page
    await buyer.link("Back to the shop without paying").click()
    await buyer.releases()
    await buyer.sees(re.compile("You released this ticket"))
    await until(lambda: buyer.person.payment(order_id(order)), lambda seen: seen["status"] == "voided")
    await buyer.page.goto(page)
    await expect(buyer.heading("This page has expired")).to_be_visible()


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_the_back_button_shows_the_current_state_of_the_order(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer, order = await at_checkout(visitors, stack, java_script_enabled=java_script_enabled)
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
    await assert_charged_once(stack, buyer, order_id(order))


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_double_clicks_open_one_payment_page_and_charge_once(
    visitors: Visitors, stack: Stack, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(site=stack.checkout_web, java_script_enabled=java_script_enabled)
    order = await buyer.person.reserves((await visitors.ticket())["id"])
    await buyer.open(f"/orders/{order['id']}")
    await buyer.button(re.compile("^Pay")).dblclick()
    await expect(buyer.heading("Pay by card")).to_be_visible()
    await buyer.button(re.compile("^Pay")).dblclick()
    await buyer.sees(PAID)
    await assert_charged_once(stack, buyer, order["id"])


async def test_the_payment_page_expires_with_the_order(visitors: Visitors, stack: Stack) -> None:
    buyer = await visitors.member(site=stack.checkout_web)
    async with stack.paused("expiration"):  # so that the order doesn't expire before the page opens
        for _ in range(4):
            order = await buyer.person.reserves((await visitors.ticket())["id"], at=stack.short_window_orders)
            opened = await buyer.person.client.post(
                f"{stack.checkout_payments}/api/payments", json={"orderId": order["id"]}
            )
            if opened.status_code != 409:  # the order expired first, on a slow machine
                break
        await buyer.page.goto(opened.json()["pageUrl"])
        await expect(buyer.heading("Pay by card")).to_be_visible()
    # An order with an open page is kept for a minute after its deadline (tests/integration/services). Here,
    # the minute is over at once.
    async with connect(stack.settings.database) as client:
        orders = client.get_database("orders")["orders"]

        async def payment() -> dict[str, Any]:
            is_kept = {"_id": ObjectId(order["id"]), "kept_until": {"$gt": now()}}
            await orders.update_one(is_kept, {"$set": {"kept_until": now()}})
            return await buyer.person.payment(order["id"])

        await until(payment, lambda seen: seen["status"] == "voided")
    await buyer.pays()
    await expect(buyer.heading("This page has expired")).to_be_visible()
    await buyer.link("Back to the shop").click()
    await buyer.sees("Not paid in time")
    assert all(amount == 0 for _, amount in await charges(stack, order["id"]))


async def test_a_bank_check_on_stripes_page_extends_the_time_to_pay(visitors: Visitors, stack: Stack) -> None:
    buyer, path = await at_checkout(visitors, stack)
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
    await assert_charged_once(stack, buyer, order["id"])


async def test_the_order_page_updates_when_the_order_is_paid_in_another_tab(
    visitors: Visitors, stack: Stack
) -> None:
    buyer, path = await at_checkout(visitors, stack)
    tab = await buyer.page.context.new_page()
    await tab.goto(buyer.page.url)
    await buyer.open(path)
    await buyer.sees("Finish paying")
    await buyer.marks_the_page()
    await tab.get_by_role("button", name=re.compile("^Pay ")).click()
    await buyer.sees(PAID)
    assert await buyer.has_not_reloaded()


async def test_opening_the_success_url_without_paying_does_not_complete_the_order(
    visitors: Visitors, stack: Stack
) -> None:
    buyer, path = await at_checkout(visitors, stack)
    await buyer.open(f"{path}?paid")
    await buyer.sees(re.compile("^We are checking your payment"))
    await buyer.link("Go back to your order").click()
    await buyer.sees("Finish paying")
    await until(lambda: buyer.person.order(order_id(path)), lambda seen: seen["status"] == "awaiting:payment")
