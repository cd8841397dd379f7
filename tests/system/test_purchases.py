"""Purchases on real processes, in the cases in which the Node version makes mistakes (docs/from-node.md)."""

import asyncio
from collections import Counter
from functools import partial

import nats

from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack


async def becomes(person: Person, order_id: str, status: str) -> None:
    await until(lambda: person.order(order_id), lambda order: order["status"] == status)


async def test_twenty_reservations_of_one_ticket_create_one_order(stack: Stack) -> None:
    async with signed_up(stack.web, 21) as (seller, *buyers):
        ticket = await seller.lists_ticket()
        answers = await asyncio.gather(*(buyer.tries_to_reserve(ticket["id"]) for buyer in buyers))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 19}


async def test_a_purchase_ends_with_a_complete_order_a_captured_payment_and_a_sold_ticket(
    stack: Stack,
) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket(19.99)
        order = await buyer.reserves(ticket["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
        assert (await buyer.pays(order["id"])).status_code == 201
        await becomes(buyer, order["id"], "complete")
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "sold")
        payment = await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
    assert payment["amount"] == 1999


async def test_a_paid_order_cannot_be_cancelled(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"])
        await buyer.pays(order["id"])
        await becomes(buyer, order["id"], "complete")
        answer = await buyer.cancels(order["id"])
        assert answer.status_code == 409
        assert answer.json()["title"] == "A completed order can't be cancelled"
        assert (await buyer.order(order["id"]))["status"] == "complete"
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["orderId"] == order["id"])


async def test_a_declined_card_is_explained_and_keeps_the_reservation(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        order = await buyer.reserves((await seller.lists_ticket())["id"])
        answer = await buyer.pays(order["id"], "tok_chargeDeclined")
        assert (answer.status_code, answer.json()["title"]) == (402, "Your card was declined.")
        assert (await buyer.order(order["id"]))["status"] in ("created", "awaiting:payment")
        assert (await buyer.pays(order["id"])).status_code == 201
        await becomes(buyer, order["id"], "complete")


async def test_an_unpaid_reservation_expires_and_the_ticket_is_on_sale_again(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket()
        async with stack.paused("expiration"):  # otherwise the order could expire before the test sees it
            order = await buyer.reserves(ticket["id"], at=stack.short_window_orders)
            await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
        await becomes(buyer, order["id"], "cancelled")
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "available")
        answer = await buyer.pays(order["id"])
        assert answer.status_code == 409


async def test_an_unpaid_reservation_expires_even_if_its_timer_never_fires(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer), stack.paused("expiration"):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"], at=stack.short_window_orders)
        await becomes(buyer, order["id"], "cancelled")
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "available")


async def test_the_timer_of_an_earlier_buyer_does_not_cancel_a_later_order(stack: Stack) -> None:
    """The first buyer reserves with a short time to pay and cancels. The second buyer reserves the ticket
    before the timer of the first order fires."""
    async with signed_up(stack.web, 3) as (seller, first, second):
        ticket = await seller.lists_ticket()
        async with stack.paused("expiration"):
            early = await first.reserves(ticket["id"], at=stack.short_window_orders)
            assert (await first.cancels(early["id"])).status_code == 204
            late = await second.reserves(ticket["id"])
        # A later order with the same short window: when it has expired, the first timer has fired too.
        witness = await first.reserves((await seller.lists_ticket())["id"], at=stack.short_window_orders)
        await becomes(first, witness["id"], "cancelled")
        assert (await second.order(late["id"]))["status"] == "created"
        held = await until(lambda: second.ticket(ticket["id"]), lambda seen: seen["orderId"] == late["id"])
        assert held["status"] == "reserved"


async def test_a_payment_that_is_authorized_while_the_order_expires_is_captured_or_voided(
    stack: Stack,
) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        for _ in range(4):
            ticket = await seller.lists_ticket()
            order = await buyer.reserves(ticket["id"], at=stack.short_window_orders)
            await until(partial(buyer.ticket, ticket["id"]), lambda seen: seen["version"] > 0)
            # Both instances of orders are paused while the card is authorized and the order expires.
            async with stack.paused("orders"), stack.paused("short-window-orders"):
                answer = await buyer.pays(order["id"])
                await until(
                    partial(_timers_of, stack, order["id"]), lambda timers: timers == 0
                )  # the timer has fired
            if answer.status_code != 409:  # 409: on a slow machine, the order had expired already
                break
        assert answer.json()["status"] == "authorized"
        final = await until(
            lambda: buyer.order(order["id"]), lambda seen: seen["status"] in ("complete", "cancelled")
        )
        wanted = {"complete": ("captured", "sold"), "cancelled": ("voided", "available")}[final["status"]]
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == wanted[0])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == wanted[1])


async def _timers_of(stack: Stack, order_id: str) -> int:
    connection = await nats.connect(stack.bus)
    try:
        info = await connection.jetstream().stream_info("TIMERS", subjects_filter=f"timers.set.{order_id}.*")
        return len(info.state.subjects or {})
    finally:
        await connection.close()
