"""A bank that wants to be sure who pays: there, back, and the time that it takes."""

import re
from datetime import datetime
from functools import partial

import pytest
from playwright.async_api import expect

from e2e.money import AGAIN, shows
from e2e.visitors import House, order_id
from tests.people import until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

WITH_AND_WITHOUT_JAVASCRIPT = pytest.mark.parametrize("java_script_enabled", [True, False])


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_who_comes_back_from_a_bank_that_approves_sees_the_outcome_at_once(
    house: House, java_script_enabled: bool
) -> None:
    buyer = await house.member(java_script_enabled=java_script_enabled)
    for _ in range(AGAIN):
        ticket = await house.ticket(120)
        order = await buyer.reserves(f"/tickets/{ticket['id']}")
        await buyer.pays("3-D Secure card")
        await buyer.sees(re.compile("check gives you more of it, 30 minutes in all"))
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
async def test_a_bank_that_refuses_leaves_the_reservation_to_another_card(
    house: House, java_script_enabled: bool
) -> None:
    buyer = await house.member(java_script_enabled=java_script_enabled)
    ticket = await house.ticket(120)
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.pays("3-D Secure card")
    await buyer.link("Confirm with your bank").click()
    await buyer.button("Refuse").click()
    await buyer.sees("Card declined")
    await buyer.sees(re.compile("Your bank didn't confirm the payment"))
    assert buyer.path == order
    await buyer.pays("Visa")
    await buyer.sees(re.compile("You paid \\$120.00"))


async def test_a_bank_that_asks_gives_more_time_and_the_page_shows_it(house: House, stack: Stack) -> None:
    buyer = await house.member()
    async with stack.paused("expiration"):  # of an order that isn't paid for before it has to
        for _ in range(4):
            order = await buyer.person.reserves((await house.ticket())["id"], at=stack.hasty_orders)
            answer = await buyer.person.pays(order["id"], "tok_threeDSecure2Required")
            if answer.status_code != 409:  # that the time is over, on a slow machine
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
    await expect(buyer.button("Release ticket")).to_be_visible()


async def test_the_page_goes_on_by_itself_when_the_bank_is_asked_in_another_tab(house: House) -> None:
    buyer = await house.member()
    order = await buyer.reserves(f"/tickets/{(await house.ticket())['id']}")
    await buyer.pays("3-D Secure card")
    await buyer.marks_the_page()
    bank = await buyer.link("Confirm with your bank").get_attribute("href")
    tab = await buyer.page.context.new_page()
    await tab.goto(bank or "")
    await tab.get_by_role("button", name="Approve").click()
    await buyer.sees(re.compile("You paid \\$45.00"))
    assert await buyer.still_has_the_mark()
    assert buyer.path == order
