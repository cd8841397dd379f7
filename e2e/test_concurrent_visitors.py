"""Several people view and buy the same ticket at the same time."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Route, expect

from e2e.visitors import Visitor, Visitors, some_title
from tests.support.stack import Stack


@asynccontextmanager
async def released_together(visitors: list[Visitor], address: str) -> AsyncIterator[None]:
    """Delay all requests to the address until each visitor has sent one, so that they arrive together."""
    everyone = asyncio.Barrier(len(visitors))

    async def wait(route: Route) -> None:
        await everyone.wait()
        await route.continue_()

    for visitor in visitors:
        await visitor.page.route(address, wait)
    yield
    for visitor in visitors:
        await visitor.page.unroute(address)


async def test_of_two_simultaneous_buyers_one_gets_the_order_and_the_other_sees_the_ticket_held(
    visitors: Visitors,
) -> None:
    buyers = [await visitors.member() for _ in range(2)]
    ticket = await visitors.ticket()
    for buyer in buyers:
        await buyer.open(f"/tickets/{ticket['id']}")
    async with released_together(list(buyers), "**/buy"):
        await asyncio.gather(*(buyer.button("Buy").click() for buyer in buyers))
        for buyer in buyers:
            held = buyer.main.get_by_text("Somebody else has reserved")
            await expect(buyer.link("Release ticket").or_(held)).to_be_visible()
    winners = [buyer for buyer in buyers if buyer.path.startswith("/orders/")]
    losers = [buyer for buyer in buyers if buyer.path == f"/tickets/{ticket['id']}"]
    assert (len(winners), len(losers)) == (1, 1)
    await expect(losers[0].button("Buy")).to_have_count(0)
    async with losers[0].page.expect_response(f"**/tickets/{ticket['id']}/offer"):
        await losers[0].refreshes()
    await expect(losers[0].notice).to_have_text(
        "Ticket is already reserved"
    )  # the error stays after a refresh
    await expect(losers[0].page.locator(":focus")).to_have_count(1)
    await winners[0].pays()
    await losers[0].sees("This ticket was sold to somebody else.")


async def test_buying_on_an_outdated_page_shows_the_reason_for_the_refusal(visitors: Visitors) -> None:
    quick, slow = await visitors.person(), await visitors.member()
    ticket = await visitors.ticket()
    await slow.page.route("**/live?*", lambda route: route.abort())  # this page gets no live updates
    await slow.open(f"/tickets/{ticket['id']}")
    await quick.reserves(ticket["id"])
    await slow.button("Buy").click()
    await expect(slow.notice).to_have_text("Ticket is already reserved")
    await slow.sees("Somebody else has reserved")


async def test_a_cancelled_order_puts_the_ticket_back_on_sale_on_every_open_page(visitors: Visitors) -> None:
    buyer, onlooker = await visitors.member(), await visitors.member()
    title = some_title()
    ticket = await visitors.ticket(title=title)
    await onlooker.open(f"/tickets/{ticket['id']}")
    await onlooker.marks_the_page()
    order = await buyer.reserves(f"/tickets/{ticket['id']}")
    await expect(onlooker.main).to_contain_text("Somebody else has reserved")
    await expect(onlooker.button("Buy")).to_have_count(0)
    await buyer.releases()
    await expect(buyer.main).to_contain_text("You released this ticket.")
    assert buyer.path == order
    await expect(onlooker.button("Buy")).to_be_visible()
    assert await onlooker.has_not_reloaded()
    await onlooker.buys()


async def test_a_list_shows_status_changes_of_its_tickets(visitors: Visitors) -> None:
    buyer = await visitors.person()
    title = some_title()
    ticket = await visitors.ticket(title=title)
    onlooker = await visitors.guest()
    await onlooker.open(f"/?q={title.rpartition(' ')[2]}")
    card = onlooker.main.get_by_role("listitem").filter(has_text=title)
    await expect(card).to_contain_text("On sale")
    await onlooker.marks_the_page()
    order = await buyer.reserves(ticket["id"])
    await expect(card).to_contain_text("Reserved")
    await buyer.pays(order["id"])
    await expect(card).to_contain_text("Sold")
    assert await onlooker.has_not_reloaded()


async def test_an_expired_order_ends_on_open_pages_and_its_ticket_is_on_sale_again(
    visitors: Visitors, stack: Stack
) -> None:
    onlooker = await visitors.member()
    buyer = await visitors.member(site=stack.short_window_web)
    ticket = await visitors.ticket()
    path = f"/tickets/{ticket['id']}"
    await onlooker.open(path)
    await onlooker.marks_the_page()
    # While expiration is paused, both pages show a reservation whose time is up, even on a slow machine.
    async with stack.paused("expiration"):
        await buyer.open(path)
        await buyer.button("Buy").click()
        await buyer.page.wait_for_url("**/orders/*")
        await buyer.marks_the_page()
        await expect(onlooker.main).to_contain_text("Somebody else has reserved")
        await expect(buyer.main).to_contain_text("The time to pay is over")
        await expect(buyer.button(re.compile("^Pay"))).to_have_count(0)
    await expect(buyer.main).to_contain_text("so the ticket is no longer held for you")
    await expect(onlooker.button("Buy")).to_be_visible()
    assert await buyer.has_not_reloaded()
    assert await onlooker.has_not_reloaded()
    buyer.site = visitors.site  # with the usual time to pay
    await buyer.open(buyer.path)
    await buyer.button("Reserve it again").click()
    await expect(buyer.heading("Review your order")).to_be_visible()
