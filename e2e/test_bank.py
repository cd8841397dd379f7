"""A bank that asks the buyer to confirm a payment (3-D Secure)."""

import re
from datetime import datetime
from functools import partial

from playwright.async_api import expect

from e2e.money import ATTEMPTS, shows
from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, order_id
from tests.support.polling import until
from tests.support.stack import Stack


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_buyer_returning_from_the_bank_sees_the_approved_payment_at_once(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    for _ in range(ATTEMPTS):
        ticket = await visitors.ticket(120)
        order = await buyer.reserves(f"/tickets/{ticket['id']}")
        await buyer.pays("3-D Secure card")
        await buyer.sees(re.compile("check extends the reservation to at most 30 minutes"))
        await buyer.link("Confirm with your bank").click()
        await expect(buyer.page.get_by_text("120.00 USD")).to_be_visible()
        shown = buyer.page.expect_response(partial(shows, buyer.site + order))
        async with shown as first:
            await buyer.button("Approve").click()
        answer = await (await first.value).text()
        if "The ticket is yours." in answer:
            break
    assert "The ticket is yours." in answer
    await buyer.sees(re.compile("You paid \\$120.00"))
    await until(lambda: buyer.person.payment(order_id(order)), lambda seen: seen["status"] == "captured")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_after_a_refusal_by_the_bank_the_buyer_can_pay_with_another_card(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    ticket = await visitors.ticket(120)
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.pays("3-D Secure card")
    await buyer.link("Confirm with your bank").click()
    await buyer.button("Refuse").click()
    await buyer.sees("Card declined")
    await buyer.sees(re.compile("Your bank didn't confirm the payment"))
    assert buyer.path == order
    await buyer.pays("Visa")
    await buyer.sees(re.compile("You paid \\$120.00"))


async def test_a_bank_check_extends_the_time_to_pay_and_the_page_shows_the_new_time(
    visitors: Visitors, stack: Stack
) -> None:
    buyer = await visitors.member()
    async with stack.paused("expiration"):  # so that the order doesn't expire before the payment
        for _ in range(4):
            order = await buyer.person.reserves((await visitors.ticket())["id"], at=stack.short_window_orders)
            answer = await buyer.person.pays(order["id"], "tok_threeDSecure2Required")
            if answer.status_code != 409:  # the order expired first, on a slow machine
                break
        before = datetime.fromisoformat(order["expiresAt"])
        seen = await until(
            lambda: buyer.person.order(order["id"]),
            lambda seen: datetime.fromisoformat(seen["expiresAt"]) > before,
        )
    assert seen["status"] == "awaiting:payment"
    await buyer.open(f"/orders/{order['id']}")
    await expect(buyer.page.get_by_role("timer")).to_have_text(re.compile(r"^1[0-4]:\d\d$"))
    await expect(buyer.link("Confirm with your bank")).to_be_visible()
    await expect(buyer.link("Release ticket")).to_be_visible()


async def test_the_page_updates_when_the_buyer_confirms_in_another_tab(visitors: Visitors) -> None:
    buyer = await visitors.member()
    order = await buyer.reserves(f"/tickets/{(await visitors.ticket())['id']}")
    await buyer.pays("3-D Secure card")
    await buyer.marks_the_page()
    bank = await buyer.link("Confirm with your bank").get_attribute("href")
    tab = await buyer.page.context.new_page()
    await tab.goto(bank or "")
    await tab.get_by_role("button", name="Approve").click()
    await buyer.sees(re.compile("You paid \\$45.00"))
    assert await buyer.has_not_reloaded()
    assert buyer.path == order
