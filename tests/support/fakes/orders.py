"""A fake orders service with its HTTP contract."""

from datetime import timedelta

from aiohttp import web

from contracts.api import Order
from contracts.events import LIVE_STATUSES
from tests.support.fakes.http import answer, json_list
from tests.support.fakes.market import Market, refusal


class Orders:
    def __init__(self, market: Market) -> None:
        self.market = market

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/orders", self.mine),
            web.get("/api/orders/{id}", self.show),
            web.post("/api/orders", self.reserve),
            web.post("/api/orders/{id}/extend", self.extend),
            web.delete("/api/orders/{id}", self.cancel),
        ]

    async def mine(self, request: web.Request) -> web.Response:
        user, after = self.market.signed_in(request), request.query.get("after", "~")
        if after == "nowhere":
            raise refusal(400, "After must be a cursor of this list", code="bad-cursor")
        newest_first = reversed(self.market.orders.values())
        found = [order for order in newest_first if order.user_id == user.id and order.id < after]
        limit = int(request.query.get("limit", 1000))
        result = json_list(found[:limit])
        if found[limit:]:
            following = request.rel_url.update_query(after=found[limit - 1].id)
            result.headers["Link"] = f'<{following}>; rel="next"'
        return result

    async def show(self, request: web.Request) -> web.Response:
        return answer(self._own(request, request.match_info["id"]))

    async def reserve(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        ticket = self.market.tickets.get((await request.json())["ticketId"])
        if ticket is None:
            raise refusal(404, "Not found")
        if ticket.user_id == user.id:
            raise refusal(403, "You can't buy your own ticket")
        for order in self.market.orders.values():
            if order.ticket.id == ticket.id and order.user_id == user.id and order.status in LIVE_STATUSES:
                return answer(order)
        if ticket.status != "available":
            raise refusal(409, "Ticket is already reserved")
        return answer(self.market.order(user, ticket), 201)

    async def extend(self, request: web.Request) -> web.Response:
        order = self._own(request, request.match_info["id"])
        if not order.can_extend:
            raise refusal(409, "The time to pay can no longer be extended")
        later = order.expires_at + timedelta(minutes=10)
        self.market.change_order(order.id, can_extend=False, expires_at=later)
        return answer(self.market.orders[order.id])

    async def cancel(self, request: web.Request) -> web.Response:
        order = self._own(request, request.match_info["id"])
        if order.status == "complete":
            raise refusal(409, "A completed order can't be cancelled")
        self.market.change_order(order.id, status="cancelled", cancel_reason="buyer")
        self.market.change_ticket(order.ticket.id, status="available", order_id=None)
        return web.Response(status=204)

    def _own(self, request: web.Request, order_id: str) -> Order:
        user, order = self.market.signed_in(request), self.market.orders.get(order_id)
        if order is None:
            raise refusal(404, "Not found")
        if order.user_id != user.id:
            raise refusal(403, "That isn't yours")
        return order
