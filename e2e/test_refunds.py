"""An operator gives the money back; the buyer sees it on the page that is open."""

import re

import pytest
from playwright.async_api import expect

from e2e.money import charges, give_back
from e2e.visitors import House, Member, some_title
from tests.people import until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

BACK = re.compile("^You have got \\$45.00 back.")


async def paid(house: House, title: str) -> tuple[Member, str, str]:
    """Somebody who looks at an order that they paid for, the order and the ticket."""
    buyer = await house.member()
    ticket = await house.ticket(title=title)
    order = await buyer.person.reserves(ticket["id"])
    await buyer.person.pays(order["id"])
    await until(lambda: buyer.person.payment(order["id"]), lambda seen: seen["status"] == "captured")
    await buyer.open(f"/orders/{order['id']}")
    await buyer.sees(re.compile("You paid \\$45.00"))
    await buyer.marks_the_page()
    return buyer, order["id"], ticket["id"]


async def test_who_gets_the_money_back_and_keeps_the_ticket_sees_both(house: House, stack: Stack) -> None:
    buyer, order, _ = await paid(house, some_title())
    await give_back(stack, order)
    await buyer.sees(BACK)
    await buyer.sees("The ticket is still yours.")
    assert await buyer.still_has_the_mark()
    await buyer.open("/orders")
    await buyer.sees("Refunded")
    assert await charges(stack, order) == [("succeeded", 4500)]


async def test_a_ticket_that_goes_on_sale_again_is_seen_by_its_buyer_and_by_everyone(
    house: House, stack: Stack
) -> None:
    buyer, order, ticket = await paid(house, some_title())
    onlooker = await house.member()
    await onlooker.open(f"/tickets/{ticket}")
    await onlooker.sees(re.compile("^Sold"))
    await give_back(stack, order, relist=True)
    await buyer.sees(BACK)
    await buyer.sees(re.compile("^The ticket is on sale again"))
    assert await buyer.still_has_the_mark()
    await expect(onlooker.button("Buy")).to_be_visible()
    await onlooker.buys()


async def test_a_ticket_that_was_kept_may_go_on_sale_again_later(house: House, stack: Stack) -> None:
    buyer, order, _ = await paid(house, some_title())
    await give_back(stack, order)
    await buyer.sees("The ticket is still yours.")
    await give_back(stack, order, relist=True)
    await buyer.sees(re.compile("^The ticket is on sale again"))
    assert await buyer.still_has_the_mark()


async def test_a_refund_that_stripe_cant_take_now_is_on_its_way_until_it_can(
    house: House, stack: Stack
) -> None:
    buyer, order, _ = await paid(house, some_title())
    await stack.stop("stripe")
    try:
        await give_back(stack, order)
        await buyer.sees("Refund on its way")
        await buyer.sees(re.compile("^We are giving you \\$45.00 back"))
    finally:
        await stack.start("stripe")
    await buyer.sees(BACK)
    assert await buyer.still_has_the_mark()
