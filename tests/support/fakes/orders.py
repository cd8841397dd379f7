"""A fake orders service with its HTTP contract."""

from datetime import timedelta
from secrets import token_hex

from aiohttp import web

from contracts.api import (
    MAX_PHOTOS,
    Order,
    PhotoSide,
    ProblemAnswerBody,
    ProblemBody,
    ReportedProblem,
    ReportPhoto,
    SoldOrder,
)
from contracts.events import LIVE_STATUSES
from contracts.wire import now
from tests.support.fakes.http import answer, json_list, read
from tests.support.fakes.market import Market, refusal

ANSWER_TIME = timedelta(hours=48)


class Orders:
    def __init__(self, market: Market) -> None:
        self.market = market

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/orders", self.mine),
            web.get("/api/orders/sales", self.sales),
            web.get("/api/orders/{id}", self.show),
            web.post("/api/orders", self.reserve),
            web.post("/api/orders/{id}/extend", self.extend),
            web.post("/api/orders/{id}/handover", self.hand_over),
            web.post("/api/orders/{id}/confirmation", self.confirm_delivery),
            web.post("/api/orders/{id}/problem", self.report_problem),
            web.post("/api/orders/{id}/problem/answer", self.answer_problem),
            web.post("/api/orders/{id}/problem/photos", self.add_photo),
            web.get("/api/orders/{id}/problem/photos/{photo}", self.read_photo),
            web.delete("/api/orders/{id}/problem/photos/{photo}", self.remove_photo),
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

    async def sales(self, request: web.Request) -> web.Response:
        user, wanted = self.market.signed_in(request), request.query.getall("orderId")
        found = [order for order in self.market.orders.values() if order.id in wanted]
        return json_list([self._sale(order) for order in found if self._seller_of(order) == user.id])

    async def hand_over(self, request: web.Request) -> web.Response:
        user, order = self.market.signed_in(request), self.market.orders.get(request.match_info["id"])
        if order is None:
            raise refusal(404, "Not found")
        if self._seller_of(order) != user.id:
            raise refusal(403, "That sale isn't yours")
        if order.delivery == "due" and order.ticket.delivery != "seller":
            raise refusal(409, "You promised to upload this ticket")
        if order.delivery not in ("due", "delivered"):
            raise refusal(409, "This order isn't waiting for a handover")
        self.market.change_order(order.id, delivery="delivered", delivered_at=now())
        return web.Response(status=204)

    async def confirm_delivery(self, request: web.Request) -> web.Response:
        order = self._own(request, request.match_info["id"])
        is_handed_over = order.delivery == "due" and order.ticket.delivery == "seller"
        if order.delivery != "delivered" and not is_handed_over:
            raise refusal(409, "The ticket hasn't been delivered yet")
        delivered_at = order.delivered_at or now()
        self.market.change_order(
            order.id,
            delivery="confirmed",
            delivered_at=delivered_at,
            confirmed_at=now(),
            confirmed_by_buyer=True,
        )
        return answer(self.market.orders[order.id])

    async def report_problem(self, request: web.Request) -> web.Response:
        order = self._own(request, request.match_info["id"])
        if not order.can_report:
            raise refusal(409, "The time to report a problem is over")
        body = await read(request, ProblemBody)
        moment = now()
        problem = ReportedProblem(
            kind=body.kind, text=body.text, reported_at=moment, state="open", answer_by=moment + ANSWER_TIME
        )
        self.market.change_order(order.id, problem=problem, can_report=False)
        return answer(self.market.orders[order.id])

    async def answer_problem(self, request: web.Request) -> web.Response:
        user, order = self.market.signed_in(request), self.market.orders.get(request.match_info["id"])
        if order is None:
            raise refusal(404, "Not found")
        if self._seller_of(order) != user.id:
            raise refusal(403, "That sale isn't yours")
        if order.problem is None or order.problem.state != "open":
            raise refusal(409, "Nothing is waiting for your answer")
        body = await read(request, ProblemAnswerBody)
        changes = {"state": "answered", "answer": body.text, "answered_at": now()}
        self.market.change_order(order.id, problem=order.problem.model_copy(update=changes))
        return answer(self._sale(self.market.orders[order.id]))

    async def add_photo(self, request: web.Request) -> web.Response:
        user, order = self.market.signed_in(request), self.market.orders[request.match_info["id"]]
        side: PhotoSide = "buyer" if order.user_id == user.id else "seller"
        content = await request.read()
        if not content.startswith(b"\xff\xd8\xff"):
            raise refusal(415, "The picture must be a JPEG, PNG or WebP")
        if sum(photo.by == side for photo in order.photos) >= MAX_PHOTOS:
            raise refusal(409, "You can send at most 3 photos")
        photo = ReportPhoto(id=token_hex(16), by=side, size=len(content), uploaded_at=now())
        self.market.change_order(order.id, photos=[*order.photos, photo])
        return answer(photo, 201)

    async def read_photo(self, request: web.Request) -> web.Response:
        order = self._own(request, request.match_info["id"])
        photo = next((each for each in order.photos if each.id == request.match_info["photo"]), None)
        if photo is None:
            raise refusal(404, "Not found")
        return web.Response(body=b"\xff\xd8\xff a photo", content_type="image/jpeg")

    async def remove_photo(self, request: web.Request) -> web.Response:
        order = self.market.orders[request.match_info["id"]]
        left = [photo for photo in order.photos if photo.id != request.match_info["photo"]]
        self.market.change_order(order.id, photos=left)
        return web.Response(status=204)

    def _seller_of(self, order: Order) -> str | None:
        ticket = self.market.tickets.get(order.ticket.id)
        return ticket.user_id if ticket else None

    def _sale(self, order: Order) -> SoldOrder:
        shared = SoldOrder.model_fields.keys() & Order.model_fields.keys()
        can_answer = order.problem is not None and order.problem.state == "open"
        values = {name: getattr(order, name) for name in shared}
        return SoldOrder(ticket_id=order.ticket.id, can_answer=can_answer, **values)

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
