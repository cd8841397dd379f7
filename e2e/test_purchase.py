"""A sale from the listing to the payment, as the seller and the buyer see it."""

import asyncio
import re

import pytest
from playwright.async_api import Route, expect

from e2e.visitors import IN_MOTION, Visitors, order_id, some_title
from tests.support.polling import until


async def test_a_ticket_is_listed_found_reserved_paid_and_shown_to_its_seller_as_sold(
    visitors: Visitors,
) -> None:
    seller, buyer = await visitors.guest(**IN_MOTION), await visitors.guest(**IN_MOTION)
    title = some_title()
    await seller.open("/")
    await seller.signs_up()
    await seller.lists(title, "19.99")
    await seller.marks_the_page()

    await buyer.open("/")
    await buyer.signs_up()
    await buyer.page.get_by_role("searchbox", name="Search").fill(title)
    await buyer.page.locator(".stub", has_text=title).click()
    await expect(buyer.heading(title)).to_be_visible()
    await expect(buyer.main).to_contain_text("$19.99")
    await buyer.buys()
    await expect(buyer.main.get_by_role("definition").last).to_have_text("$19.99")
    await buyer.goes_to_pay()
    await buyer.marks_the_page()
    left = await buyer.page.get_by_role("timer").inner_text()
    await expect(buyer.page.get_by_role("timer")).not_to_have_text(left)
    await expect(buyer.page.get_by_role("timer")).to_have_text(re.compile(r"^1[0-4]:[0-5]\d$"))
    await expect(buyer.page.get_by_role("radio", name="Visa")).to_be_checked()
    await buyer.pays()
    await expect(buyer.page.get_by_text("The ticket is yours. You paid $19.99")).to_be_visible()
    await expect(buyer.page).to_have_title(re.compile(re.escape(title)))
    assert await buyer.has_not_reloaded()

    await seller.sees(re.compile("^Your ticket is sold"))
    await expect(seller.link("Edit")).to_have_count(0)
    assert await seller.has_not_reloaded()


async def test_a_declined_card_shows_the_reason_and_another_card_completes_the_order(
    visitors: Visitors,
) -> None:
    buyer = await visitors.member()
    ticket = await visitors.ticket(84)
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.pays("Empty account")
    await buyer.sees("Your card has insufficient funds.")
    await expect(buyer.main).to_contain_text("been charged, and the ticket is still held for you")
    await expect(buyer.page.get_by_role("timer")).to_be_visible()
    await until(lambda: buyer.person.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
    await buyer.pays("Visa")
    await buyer.sees(re.compile("You paid \\$84.00"))
    await until(lambda: buyer.person.order(order_id(order)), lambda seen: seen["status"] == "complete")


@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_after_a_decline_the_first_card_is_selected(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    await buyer.reserves(f"/tickets/{(await visitors.ticket())['id']}")
    await buyer.pays("Declined card")
    await buyer.sees("Your card was declined.")
    await expect(buyer.page.get_by_role("radio", name="Visa")).to_be_checked()


async def test_a_slow_payment_says_that_it_is_under_way(visitors: Visitors) -> None:
    buyer = await visitors.member(viewport={"width": 390, "height": 844})
    let_go = asyncio.Event()

    async def slowly(route: Route) -> None:
        await let_go.wait()
        await route.continue_()

    await buyer.page.route("**/pay", slowly)
    await buyer.reserves(f"/tickets/{(await visitors.ticket())['id']}")
    await buyer.pays()
    sign = buyer.main.get_by_text("Your payment is on its way. Please wait a moment.")
    await expect(sign).to_be_in_viewport()
    let_go.set()
    await buyer.sees(re.compile(r"You paid \$45.00"))
    await expect(sign).to_have_count(0)
