"""Without JavaScript: every page and every form works by itself."""

import re

import pytest
from playwright.async_api import expect

from e2e.visitors import House, Visitor, order_id, some_title

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def plain(house: House) -> Visitor:
    return await house.guest(java_script_enabled=False)


async def test_the_whole_purchase_works_without_javascript(house: House) -> None:
    seller, buyer = await plain(house), await plain(house)
    title = some_title()
    await seller.open("/")
    await seller.signs_up()
    ticket = await seller.lists(title, "19,99")

    await buyer.open("/")
    await buyer.page.get_by_role("searchbox", name="Search").fill(title)
    await buyer.button("Search").click()
    await buyer.link(re.compile("^" + re.escape(title))).click()
    await buyer.link("Sign in to buy").click()
    await buyer.link("Sign up").last.click()
    await buyer.fills_in_sign_up()
    assert buyer.path == ticket  # back where they wanted to buy
    order = await buyer.buys()
    await buyer.pays("Declined card")
    await buyer.sees("Your card was declined.")
    assert buyer.path == order
    await buyer.page.reload()  # sends nothing again
    await buyer.sees("Your card was declined.")
    await buyer.pays()
    await buyer.sees(re.compile("You paid \\$19.99"))
    assert buyer.path == order

    await seller.page.reload()
    await seller.sees("Sold. Your ticket has found somebody.")


async def test_a_ticket_is_released_without_javascript(house: House) -> None:
    buyer = await house.member(java_script_enabled=False)
    ticket = await house.ticket()
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.button("Release ticket").click()
    await buyer.sees("You released this ticket.")
    assert buyer.path == order
    assert (await buyer.person.order(order_id(order)))["status"] == "cancelled"


async def test_who_comes_too_late_is_told_without_javascript(house: House) -> None:
    quick = await house.person()
    slow = await house.member(java_script_enabled=False)
    ticket = await house.ticket()
    await slow.open(f"/tickets/{ticket['id']}")
    await quick.reserves(ticket["id"])
    await slow.button("Buy").click()
    await slow.sees("Ticket is already reserved")


async def test_a_ticket_with_errors_is_kept_as_it_was_typed_without_javascript(house: House) -> None:
    seller = await house.member(java_script_enabled=False)
    await seller.open("/sell")
    await seller.page.get_by_label("What is it a ticket for?").fill("Low Roar, Reykjavik")
    await seller.page.get_by_label("Price").fill("-3")
    await seller.page.get_by_label("Venue").fill("Harpa")
    await seller.button("Put it on sale").click()
    price = seller.page.get_by_label("Price")
    await expect(price).to_have_accessible_description(re.compile("Price must be greater than 0"))
    await expect(price).to_have_value("-3")
    await expect(seller.page.get_by_label("What is it a ticket for?")).to_have_value("Low Roar, Reykjavik")
    await expect(seller.page.get_by_label("Venue")).to_have_value("Harpa")
    await price.fill("3")
    await seller.button("Put it on sale").click()
    await expect(seller.heading("Low Roar, Reykjavik")).to_be_visible()
    await expect(seller.main).to_contain_text("$3.00")
