"""The trace of an order on real processes."""

from ops.trace import trace
from tests.support.people import signed_up
from tests.support.polling import until
from tests.support.stack import Stack


async def test_the_trace_of_a_purchase_and_of_an_expired_order_needs_no_search(stack: Stack) -> None:
    warnings: list[str] = []

    async def events_of(order_id: str) -> list[str]:
        """The subjects of the events, or nothing if a search was necessary."""
        warnings.clear()
        lines = [line async for line in trace(stack.settings, order_id, warnings.append)]
        return [] if warnings else [line.split()[2] for line in lines]

    async with signed_up(stack.web, 2) as (seller, buyer):
        bought, held = [await seller.lists_ticket() for _ in range(2)]
        expired = await buyer.reserves(held["id"], at=stack.short_window_orders)
        order = await buyer.reserves(bought["id"])
        assert (await buyer.pays(order["id"])).status_code == 201
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
        await until(lambda: buyer.order(expired["id"]), lambda seen: seen["status"] == "cancelled")
        # The relay adds the last sequence numbers half a second after it has published the events.
        found = await until(lambda: events_of(order["id"]), lambda seen: "payout.created" in seen)
        assert sorted(found) == [
            *("order.created", "order.updated", "payment.created", "payment.updated", "payment.updated"),
            *("payout.created", "ticket.updated", "ticket.updated"),
        ]
        found = await until(lambda: events_of(expired["id"]), len)
        assert sorted(found) == ["expiration.complete", "order.cancelled", "order.created", "ticket.updated"]
