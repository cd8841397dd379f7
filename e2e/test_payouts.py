"""A seller's way to the money: the details at Stripe, and the states of a sale until it is paid."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from playwright.async_api import expect
from pymongo import AsyncMongoClient

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Member, Visitors, some_title
from tests.support.polling import TIMEOUT, until
from tests.support.stack import Stack


async def onboards(seller: Member, choice: str) -> None:
    """Give the details on Stripe's page, and come back."""
    await seller.link("Continue at Stripe").click()
    await seller.page.get_by_role("radio", name=choice).check()
    await seller.button("Continue").click()
    await seller.page.wait_for_url("**/account/payouts*")


async def is_set_up(seller: Member) -> None:
    """Reload the page until Stripe has reported the details, which a busy machine may delay."""
    async with asyncio.timeout(TIMEOUT):
        while not await seller.main.get_by_text("You are set up.").is_visible():
            await seller.open("/account/payouts?back")


async def sold(visitors: Visitors, seller: Member) -> str:
    """Let somebody buy a ticket of the seller. Return the id of the order."""
    buyer = await visitors.person()
    ticket = await seller.person.lists_ticket(45, some_title(), startsAt="2036-06-05T18:30:00Z")
    order: str = (await buyer.reserves(ticket["id"]))["id"]
    await buyer.pays(order)
    await until(lambda: buyer.payment(order), lambda seen: seen["status"] == "captured")
    return order


async def let_the_event_be_past(stack: Stack, order: str) -> None:
    """Change the start of the event in the database, because no test can wait for days after an event."""
    past, order_id = datetime.now(UTC) - timedelta(days=30), ObjectId(order)
    async with AsyncMongoClient[dict[str, Any]](stack.settings.database) as client:
        payouts = client["payouts"]
        await payouts["orders"].update_one({"_id": order_id}, {"$set": {"starts_at": past}})
        times = {"starts_at": past, "due_at": past, "next_look_at": datetime.now(UTC)}
        await payouts["sales"].update_one({"_id": order_id}, {"$set": times})


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_seller_gives_details_at_stripe_and_sees_the_state(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    await seller.open("/account")
    await seller.main.get_by_role("link", name="Payouts").click()
    await seller.sees("Your sales are held for you until then.")
    await seller.button("Set up payouts").click()
    await expect(seller.main.get_by_role("alert")).to_be_visible()
    await seller.page.get_by_label("Where you live").select_option("US")
    await seller.button("Set up payouts").click()
    await onboards(seller, "Save for later")
    await seller.sees("Stripe still needs some of your details")
    await seller.button("Go on at Stripe").click()
    await onboards(seller, "The account can receive payouts")
    await is_set_up(seller)
    await expect(seller.button("Change your details")).to_be_visible()


async def test_a_sale_is_held_until_after_the_event_and_then_paid_without_a_reload(
    visitors: Visitors, stack: Stack
) -> None:
    seller = await visitors.member()
    order = await sold(visitors, seller)
    await seller.open("/account/payouts")
    sale = seller.page.locator(f"#payout-{order}")
    await expect(sale).to_contain_text("Held until Sun, Jun 8, 2036")
    await expect(sale).to_contain_text("$45.00")
    await seller.page.get_by_label("Where you live").select_option("US")
    await seller.button("Set up payouts").click()
    await onboards(seller, "The account can receive payouts")
    await is_set_up(seller)
    await seller.marks_the_page()

    await let_the_event_be_past(stack, order)
    await expect(sale).to_contain_text("Paid to your account at Stripe")
    assert await seller.has_not_reloaded()
    await seller.open("/listings")
    await seller.sees("Paid to your account at Stripe")
