"""Several people look at the same ticket."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Route, expect

from e2e.visitors import House, Visitor, some_title
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def released_together(visitors: list[Visitor], address: str) -> AsyncIterator[None]:
    """What is sent to the address waits until each of the visitors has sent theirs."""
    everyone = asyncio.Barrier(len(visitors))

    async def wait(route: Route) -> None:
        await everyone.wait()
        await route.continue_()

    for visitor in visitors:
        await visitor.page.route(address, wait)
    yield
    for visitor in visitors:
        await visitor.page.unroute(address)


async def test_of_two_who_press_buy_at_once_one_gets_the_order_and_the_other_sees_it_held(
    house: House,
) -> None:
    buyers = [await house.member() for _ in range(2)]
    ticket = await house.ticket()
    for buyer in buyers:
        await buyer.open(f"/tickets/{ticket['id']}")
    async with released_together(list(buyers), "**/buy"):
        await asyncio.gather(*(buyer.button("Buy").click() for buyer in buyers))
        for buyer in buyers:
            held = buyer.main.get_by_text("Held by someone")
            await expect(buyer.button("Release ticket").or_(held)).to_be_visible()
    winners = [buyer for buyer in buyers if buyer.path.startswith("/orders/")]
    losers = [buyer for buyer in buyers if buyer.path == f"/tickets/{ticket['id']}"]
    assert (len(winners), len(losers)) == (1, 1)
    await expect(losers[0].button("Buy")).to_have_count(0)
    async with losers[0].page.expect_response(f"**/tickets/{ticket['id']}"):
        await losers[0].page.evaluate("document.querySelectorAll('[data-live]').forEach(stagedoor.refresh)")
    await expect(losers[0].notice).to_have_text(
        "Ticket is already reserved"
    )  # whatever the page has since learnt
    await expect(losers[0].page.locator(":focus")).to_have_count(1)
    await winners[0].pays()
    await losers[0].sees("Sold. It belongs to somebody else now.")


async def test_who_presses_buy_on_a_page_that_is_out_of_date_is_told_why_not(house: House) -> None:
    quick, slow = await house.person(), await house.member()
    ticket = await house.ticket()
    await slow.page.route("**/live?*", lambda route: route.abort())  # the news doesn't reach this page
    await slow.open(f"/tickets/{ticket['id']}")
    await quick.reserves(ticket["id"])
    await slow.button("Buy").click()
    await expect(slow.notice).to_have_text("Ticket is already reserved")
    await slow.sees("Held by someone")


async def test_a_cancelled_order_puts_the_ticket_back_on_sale_on_every_open_page(house: House) -> None:
    buyer, onlooker = await house.member(), await house.member()
    title = some_title()
    ticket = await house.ticket(title=title)
    await onlooker.open(f"/tickets/{ticket['id']}")
    await onlooker.marks_the_page()
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await expect(onlooker.main).to_contain_text("Held by someone")
    await expect(onlooker.button("Buy")).to_have_count(0)
    await buyer.button("Release ticket").click()
    await expect(buyer.main).to_contain_text("You released this ticket.")
    assert buyer.path == order
    await expect(onlooker.button("Buy")).to_be_visible()
    assert await onlooker.still_has_the_mark()
    await onlooker.buys()


async def test_a_list_shows_what_happens_to_its_tickets(house: House) -> None:
    buyer = await house.person()
    title = some_title()
    ticket = await house.ticket(title=title)
    onlooker = await house.guest()
    await onlooker.open(f"/?q={title.rpartition(' ')[2]}")
    card = onlooker.main.get_by_role("listitem").filter(has_text=title)
    await expect(card).to_contain_text("On sale")
    await onlooker.marks_the_page()
    order = await buyer.reserves(ticket["id"])
    await expect(card).to_contain_text("Reserved")
    await buyer.pays(order["id"])
    await expect(card).to_contain_text("Sold")
    assert await onlooker.still_has_the_mark()


async def test_an_order_that_is_not_paid_in_time_ends_on_screen_and_frees_its_ticket(
    house: House, stack: Stack
) -> None:
    onlooker = await house.member()
    buyer = await house.member(site=stack.hasty_web)
    ticket = await house.ticket()
    path = f"/tickets/{ticket['id']}"
    await onlooker.open(path)
    await onlooker.marks_the_page()
    # So that what comes in between can be seen on both pages, however slow the machine.
    async with stack.paused("expiration"):
        await buyer.open(path)
        await buyer.button("Buy").click()
        await buyer.page.wait_for_url("**/orders/*")
        await buyer.marks_the_page()
        await expect(onlooker.main).to_contain_text("Held by someone")
        await expect(buyer.main).to_contain_text("The time to pay is over")
        await expect(buyer.button(re.compile("^Pay"))).to_have_count(0)
    await expect(buyer.main).to_contain_text("so the ticket is no longer held for you")
    await expect(onlooker.button("Buy")).to_be_visible()
    assert await buyer.still_has_the_mark()
    assert await onlooker.still_has_the_mark()
    buyer.site = house.site  # where there is time to be seen
    await buyer.open(buyer.path)
    await buyer.button("Reserve it again").click()
    await expect(buyer.heading("Is this the one?")).to_be_visible()
