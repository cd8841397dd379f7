"""Orders and tickets decide together: an order completes only after tickets has confirmed its hold.

Both services run here without a bus. The test delivers the events of one to the other.
"""

from typing import Any

import pytest

from contracts.events import ALL_EVENTS, OrderEvent, TicketEvent
from services.orders import actions as orders_actions
from services.orders import rules
from services.tickets import actions as tickets_actions
from tests.support.events import WINDOW, payment_of
from tests.support.service import Served, new_id

SELLER, BUYER = new_id(), new_id()
KINDS = {event.subject: event for event in ALL_EVENTS}


class Market:
    def __init__(self, tickets: Served, orders: Served) -> None:
        self.tickets = tickets
        self.orders = orders

    async def reserve_an_outdated_ticket(self, change: str) -> dict[str, Any]:
        """The order of a ticket at 100, which its seller has withdrawn or edited to 900 just before."""
        body = {"title": "Hamlet", "price": 100}
        ticket = (await self.tickets.ask("POST", "/api/tickets", by=SELLER, json=body)).json()
        await self.inform_orders(ticket["id"])
        path = f"/api/tickets/{ticket['id']}"
        if change == "withdrawn":
            assert (await self.tickets.ask("DELETE", path, by=SELLER)).status_code == 204
        else:
            edited = {**body, "price": 900}
            assert (await self.tickets.ask("PUT", path, by=SELLER, json=edited)).status_code == 200
        answer = await self.orders.ask("POST", "/api/orders", by=BUYER, json={"ticketId": ticket["id"]})
        assert answer.status_code == 201
        order: dict[str, Any] = answer.json()
        return order

    async def inform_orders(self, ticket: str) -> None:
        """Deliver all events of the ticket to orders."""
        for subject, body in await self.tickets.outbox("tickets", ticket):
            event = KINDS[subject].model_validate(body)
            assert isinstance(event, TicketEvent)
            await orders_actions.follow_ticket(event)

    async def inform_tickets(self, order: dict[str, Any]) -> None:
        """Deliver all events of the order to tickets."""
        for subject, body in await self.orders.outbox("orders", order["id"]):
            event = KINDS[subject].model_validate(body)
            assert isinstance(event, OrderEvent)
            await tickets_actions.follow_order(event)

    async def authorize(self, order: dict[str, Any]) -> None:
        await orders_actions.follow_payment(payment_of(order, "authorized"), WINDOW)

    async def ends(self, order: dict[str, Any]) -> tuple[str, str, float]:
        """Deliver what is left. Return the order's status, and the ticket's status and price."""
        for _ in range(2):
            await self.inform_tickets(order)
            await self.inform_orders(order["ticket"]["id"])
        shown = (await self.orders.ask("GET", f"/api/orders/{order['id']}", by=BUYER)).json()
        ticket = (await self.tickets.ask("GET", f"/api/tickets/{order['ticket']['id']}")).json()
        return shown["status"], ticket["status"], ticket["price"]


@pytest.fixture
def market(tickets: Served, orders: Served) -> Market:
    return Market(tickets, orders)


ENDS = {"withdrawn": ("cancelled", "withdrawn", 100.0), "available": ("cancelled", "available", 900.0)}


@pytest.mark.parametrize("change", ENDS)
@pytest.mark.parametrize("paid_first", [True, False])
async def test_nobody_buys_a_ticket_as_it_was_before_a_withdrawal_or_an_edit(
    market: Market, change: str, paid_first: bool
) -> None:
    order = await market.reserve_an_outdated_ticket(change)
    if paid_first:
        await market.authorize(order)
        await market.inform_tickets(order)
        await market.inform_orders(order["ticket"]["id"])
    else:
        await market.inform_tickets(order)
        await market.inform_orders(order["ticket"]["id"])
        await market.authorize(order)
    assert await market.ends(order) == ENDS[change]


@pytest.mark.parametrize("change", ENDS)
async def test_without_the_confirmation_a_ticket_would_be_sold_at_the_outdated_price(
    market: Market, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    careful = rules.follow_payment

    def careless(order: Any, *given: Any) -> Any:
        return careful(order.model_copy(update={"held": None}), *given)

    monkeypatch.setattr(rules, "follow_payment", careless)
    order = await market.reserve_an_outdated_ticket(change)
    await market.authorize(order)
    assert await market.ends(order) == ("complete", "sold", 100.0)
