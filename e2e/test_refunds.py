"""Refunds by an operator, as the buyer and other visitors see them."""

import re

from playwright.async_api import expect

from e2e.money import charges, refund
from e2e.visitors import Member, Visitors, some_title
from tests.support.polling import until
from tests.support.stack import Stack

REFUNDED = re.compile("^We refunded \\$45.00.")


async def paid_order(visitors: Visitors, title: str) -> tuple[Member, str, str]:
    """A buyer on the page of a paid order, and the ids of the order and the ticket."""
    buyer = await visitors.member()
    ticket = await visitors.ticket(title=title)
    order = await buyer.person.reserves(ticket["id"])
    await buyer.person.pays(order["id"])
    await until(lambda: buyer.person.payment(order["id"]), lambda seen: seen["status"] == "captured")
    await buyer.open(f"/orders/{order['id']}")
    await buyer.sees(re.compile("You paid \\$45.00"))
    await buyer.marks_the_page()
    return buyer, order["id"], ticket["id"]


async def test_a_refunded_buyer_who_keeps_the_ticket_sees_the_refund_and_the_ticket(
    visitors: Visitors, stack: Stack
) -> None:
    buyer, order, _ = await paid_order(visitors, some_title())
    await refund(stack, order)
    await buyer.sees(REFUNDED)
    await buyer.sees("The ticket is still yours.")
    assert await buyer.has_not_reloaded()
    await buyer.open("/orders")
    await buyer.sees("Refunded")
    assert await charges(stack, order) == [("succeeded", 4500)]


async def test_a_relisted_ticket_is_on_sale_for_its_former_buyer_and_everyone_else(
    visitors: Visitors, stack: Stack
) -> None:
    buyer, order, ticket = await paid_order(visitors, some_title())
    onlooker = await visitors.member()
    await onlooker.open(f"/tickets/{ticket}")
    await onlooker.sees(re.compile("^Sold"))
    await refund(stack, order, relist=True)
    await buyer.sees(REFUNDED)
    await buyer.sees(re.compile("^The ticket is on sale again"))
    assert await buyer.has_not_reloaded()
    await expect(onlooker.button("Buy")).to_be_visible()
    await onlooker.buys()


async def test_a_refunded_ticket_can_be_relisted_later(visitors: Visitors, stack: Stack) -> None:
    buyer, order, _ = await paid_order(visitors, some_title())
    await refund(stack, order)
    await buyer.sees("The ticket is still yours.")
    await refund(stack, order, relist=True)
    await buyer.sees(re.compile("^The ticket is on sale again"))
    assert await buyer.has_not_reloaded()


async def test_a_refund_is_shown_as_in_progress_while_stripe_is_unreachable(
    visitors: Visitors, stack: Stack
) -> None:
    buyer, order, _ = await paid_order(visitors, some_title())
    await stack.stop("stripe")
    try:
        await refund(stack, order)
        await buyer.sees("Refund in progress")
        await buyer.sees(re.compile("^We are refunding \\$45.00"))
    finally:
        await stack.start("stripe")
    await buyer.sees(REFUNDED)
    assert await buyer.has_not_reloaded()
