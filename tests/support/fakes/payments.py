"""A fake payments service with its HTTP contract."""

import asyncio

from aiohttp import web

from contracts.api import (
    Order,
    PaymentBody,
    PaymentResult,
)
from tests.support.fakes.http import answer, json_list, read
from tests.support.fakes.market import Market, refusal


class Payments:
    def __init__(self, market: Market) -> None:
        self.market = market
        self._settling: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/payments", self.pay), web.get("/api/payments", self.of_orders)]

    async def pay(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        body = await read(request, PaymentBody)
        order = self.market.orders[body.order_id]
        if order.status == "cancelled":
            raise refusal(409, "Cannot pay for a cancelled order")
        if self.market.page:
            return self._open(order, body.token)
        if body.token is None:
            raise refusal(400, "Token is required", code="token-invalid")
        if self.market.decline:
            self.market.payment(order, "failed", decline_message=self.market.decline)
            raise refusal(402, self.market.decline)
        payment = self.market.payment(order, "authorized")
        self.market.change_order(order.id, status="awaiting:payment")
        if self.market.settle_after is not None:
            task = asyncio.create_task(self._settle(order, self.market.settle_after))
            self._settling.add(task)
        return answer(PaymentResult(id=payment.id, status=payment.status), 201)

    def _open(self, order: Order, token: str | None) -> web.Response:
        if token is not None:
            raise refusal(400, "Cards aren't taken here: pay on Stripe's page")
        known = self.market.payments.get(order.id)
        if known is not None and known.status == "failed":
            raise refusal(409, "This payment was started on another page", code="begun-elsewhere")
        payment = self.market.payment(order, "pending", page_url=self.market.page)
        self.market.change_order(order.id, status="awaiting:payment")
        return answer(PaymentResult(id=payment.id, status="pending", page_url=payment.page_url), 201)

    async def of_orders(self, request: web.Request) -> web.Response:
        found = map(self.market.payments.get, request.query.getall("orderId"))
        return json_list([payment for payment in found if payment])

    async def _settle(self, order: Order, after: float) -> None:
        await asyncio.sleep(after)
        self.market.change_order(order.id, status="complete")
        self.market.payment(order, "captured")
