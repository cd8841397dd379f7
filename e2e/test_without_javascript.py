"""Every page and form works without JavaScript."""

import re

from playwright.async_api import expect

from e2e.visitors import Visitor, Visitors, order_id, some_title


async def plain(visitors: Visitors) -> Visitor:
    return await visitors.guest(java_script_enabled=False)


async def test_the_whole_purchase_works_without_javascript(visitors: Visitors) -> None:
    seller, buyer = await plain(visitors), await plain(visitors)
    title = some_title()
    await seller.open("/")
    await seller.signs_up()
    ticket = await seller.lists(title, "19,99")

    await buyer.open("/")
    await buyer.page.get_by_role("searchbox", name="Search").fill(title)
    await buyer.button("Search").click()
    await buyer.page.locator(".stub", has_text=title).click()
    await buyer.link("Sign in to buy").click()
    await buyer.link("Sign up").last.click()
    await buyer.fills_in_sign_up()
    assert buyer.path == ticket  # the ticket that the buyer came from
    order = await buyer.buys()
    await buyer.pays("Declined card")
    await buyer.sees("Your card was declined.")
    assert buyer.path == order
    await buyer.page.reload()  # a reload doesn't repeat the payment
    await buyer.sees("Your card was declined.")
    await buyer.pays()
    await buyer.sees(re.compile("You paid \\$19.99"))
    assert buyer.path == order

    await seller.page.reload()
    await seller.sees("Your ticket is sold.")


async def test_releasing_a_ticket_works_without_javascript(visitors: Visitors) -> None:
    buyer = await visitors.member(java_script_enabled=False)
    ticket = await visitors.ticket()
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await buyer.releases()
    await buyer.sees("You released this ticket.")
    assert buyer.path == order
    assert (await buyer.person.order(order_id(order)))["status"] == "cancelled"


async def test_buying_a_reserved_ticket_shows_an_error_without_javascript(visitors: Visitors) -> None:
    quick = await visitors.person()
    slow = await visitors.member(java_script_enabled=False)
    ticket = await visitors.ticket()
    await slow.open(f"/tickets/{ticket['id']}")
    await quick.reserves(ticket["id"])
    await slow.button("Buy").click()
    await slow.sees("Ticket is already reserved")


async def test_an_invalid_ticket_form_keeps_its_input_without_javascript(visitors: Visitors) -> None:
    seller = await visitors.member(java_script_enabled=False)
    await seller.open("/sell")
    await seller.page.get_by_label("What is the ticket for?").fill("Low Roar, Reykjavik")
    await seller.page.get_by_label("Price").fill("-3")
    await seller.describes_event()
    await seller.button("List ticket").click()
    price = seller.page.get_by_label("Price")
    await expect(price).to_have_accessible_description(re.compile("Price must be greater than 0"))
    await expect(price).to_have_value("-3")
    await expect(seller.page.get_by_label("What is the ticket for?")).to_have_value("Low Roar, Reykjavik")
    await expect(seller.page.get_by_label("Venue")).to_have_value("Harpa")
    await price.fill("3")
    await seller.button("List ticket").click()
    await expect(seller.heading("Low Roar, Reykjavik")).to_be_visible()
    await expect(seller.main).to_contain_text("$3.00")
