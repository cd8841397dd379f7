"""A withdrawal or an edit that the seller was told has succeeded, while orders can't know of it yet."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack
from tests.system.test_outages import outage_of

Change = Callable[[Person, dict[str, Any]], Awaitable[None]]


async def withdraws(seller: Person, ticket: dict[str, Any]) -> None:
    assert (await seller.client.delete(f"/api/tickets/{ticket['id']}")).status_code == 204


async def raises_the_price(seller: Person, ticket: dict[str, Any]) -> None:
    body = {"title": ticket["title"], "price": 900}
    assert (await seller.client.put(f"/api/tickets/{ticket['id']}", json=body)).status_code == 200


@pytest.mark.parametrize(("change", "status"), [(withdraws, "withdrawn"), (raises_the_price, "available")])
async def test_a_ticket_is_not_sold_as_it_was_before_a_change_that_orders_did_not_know(
    stack: Stack, change: Change, status: str
) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket(100)
        first = await buyer.reserves(ticket["id"])  # orders and payments know the ticket and the buyer
        await buyer.cancels(first["id"])
        await until(
            lambda: seller.ticket(ticket["id"]),
            lambda seen: seen["version"] > 0 and seen["status"] == "available",
        )
        async with outage_of(stack, "nats"):
            await change(seller, ticket)
            order = await buyer.reserves(ticket["id"])
            assert order["ticket"]["price"] == 100
            assert (await buyer.pays(order["id"])).json()["status"] == "authorized"
            assert (await buyer.order(order["id"]))["status"] == "created"
        ended = await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "cancelled")
        assert (ended["cancelReason"], ended["holdRefused"]) == (None, True)
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "voided")
        assert (await seller.ticket(ticket["id"]))["status"] == status
        assert "changed or withdrew this ticket" in (await buyer.client.get(f"/orders/{order['id']}")).text


async def test_an_order_that_is_paid_while_tickets_is_down_completes_when_it_is_back(stack: Stack) -> None:
    async with signed_up(stack.web, 3) as (seller, buyer, earlier):
        ticket = await seller.lists_ticket()
        # Afterwards orders knows the ticket, so it needn't ask tickets.
        await earlier.cancels((await earlier.reserves(ticket["id"]))["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["version"] == 2)
        async with stack.paused("tickets"):
            order = await buyer.reserves(ticket["id"])
            assert (await buyer.pays(order["id"])).json()["status"] == "authorized"
            payment = f"/orders/{order['id']}"
            assert "confirming that the ticket is yours" in (await buyer.client.get(payment)).text
        await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "complete")
