"""The four services that pages need, speaking their HTTP contract over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar, cast, get_args

from aiohttp import web
from pydantic import BaseModel, ValidationError

from contracts.api import (
    Order,
    PasswordBody,
    PaymentBody,
    PaymentResult,
    Profile,
    SalesSummary,
    Seller,
    SignIn,
    SignUp,
    Sum,
    Ticket,
    TicketBody,
    User,
)
from contracts.identity import SESSION_COOKIE
from contracts.problems import PROBLEM_JSON, Problem, ProblemItem
from contracts.tickets import CATEGORIES, Category
from contracts.wire import Wire, now
from sandbox.testing import free_port
from services.tickets.paging import Sort
from services.tickets.search import Entry, Query, When, entry_of, facets, find
from settings import ServiceName, Settings
from tests.web.market import Market, Refusal, no

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Body = TypeVar("Body", bound=BaseModel)


class Auth:
    def __init__(self, market: Market) -> None:
        self.market = market

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/users/signup", self.sign_up),
            web.post("/api/users/signin", self.sign_in),
            web.post("/api/users/signout", self.sign_out),
            web.post("/api/users/signout-everywhere", self.sign_out),
            web.post("/api/users/password", self.change_password),
            web.get("/api/users/currentuser", self.current_user),
            web.get("/api/users/{id}", self.profile),
        ]

    async def sign_up(self, request: web.Request) -> web.Response:
        body = await read(request, SignUp)
        if any(user.email == body.email for user, _ in self.market.users.values()):
            raise no(409, "Email in use")
        user, token = self.market.user(body.email, body.password)
        return signed_in(user, token, 201)

    async def sign_in(self, request: web.Request) -> web.Response:
        body = await read(request, SignIn)
        for token, (user, password) in self.market.users.items():
            if (user.email, password) == (body.email, body.password):
                return signed_in(user, token, 200)
        raise no(401, "Invalid credentials")

    async def sign_out(self, request: web.Request) -> web.Response:
        answer = web.json_response({})
        answer.del_cookie(SESSION_COOKIE, path="/", httponly=True)
        return answer

    async def change_password(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        body = await read(request, PasswordBody)
        token, (_, password) = next(item for item in self.market.users.items() if item[1][0] == user)
        if body.current_password != password:
            raise no(403, "That isn't your present password")
        self.market.users[token] = (user, body.new_password)
        return signed_in(user, token, 200)

    async def profile(self, request: web.Request) -> web.Response:
        return answer(Profile(id=request.match_info["id"], since=datetime(2025, 12, 24, tzinfo=UTC)))

    async def current_user(self, request: web.Request) -> web.Response:
        user = self.market.caller(request)
        return web.json_response({"currentUser": json.loads(user.to_json()) if user else None})


class Tickets:
    def __init__(self, market: Market) -> None:
        self.market = market

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/tickets", self.search),
            web.get("/api/tickets/facets", self.facets),
            web.get("/api/tickets/mine", self.mine),
            web.get("/api/tickets/mine/summary", self.my_sales),
            web.get("/api/tickets/{id}", self.show),
            web.post("/api/tickets", self.create),
            web.put("/api/tickets/{id}", self.edit),
            web.delete("/api/tickets/{id}", self.withdraw),
            web.put("/api/tickets/{id}/picture", self.give_picture),
            web.delete("/api/tickets/{id}/picture", self.take_picture),
            web.get("/api/tickets/{id}/similar", self.similar),
            web.get("/api/tickets/sellers/{id}", self.seller),
        ]

    async def search(self, request: web.Request) -> web.Response:
        found = find(self._on_sale(), _query(request), now())
        if (after := request.query.get("after", "~")) == "nowhere":
            raise no(400, "After isn't a page of this list", code="bad-cursor")
        found = [entry for entry in found if entry.id < after]
        limit = int(request.query.get("limit", self.market.page_size))
        page, rest = found[:limit], found[limit:]
        result = many([entry.ticket for entry in page])
        result.headers["X-Total-Count"] = str(len(find(self._on_sale(), _query(request), now())))
        if rest:
            following = request.rel_url.update_query(after=page[-1].id)
            result.headers["Link"] = f'<{following}>; rel="next"'
        return result

    async def facets(self, request: web.Request) -> web.Response:
        if not self.market.has_facets:
            raise no(500, "Something went wrong")
        return answer(facets(self._on_sale(), _query(request), now()))

    def _on_sale(self) -> list[Entry]:
        """The newest first."""
        tickets = reversed(self.market.tickets.values())
        return [entry_of(ticket) for ticket in tickets if ticket.status == "available"]

    async def mine(self, request: web.Request) -> web.Response:
        status, after = request.query.get("status"), request.query.get("after", "~")
        if after == "nowhere":
            raise no(400, "After isn't a page of this list", code="bad-cursor")
        found = [t for t in self._mine(request) if t.id < after and (status is None or t.status == status)]
        limit = int(request.query.get("limit", 1000))
        result = many(found[:limit])
        if found[limit:]:
            following = request.rel_url.update_query(after=found[limit - 1].id)
            result.headers["Link"] = f'<{following}>; rel="next"'
        return result

    async def my_sales(self, request: web.Request) -> web.Response:
        mine = self._mine(request)
        sums = {
            name: _sum([t for t in mine if t.status == name])
            for name in ("available", "reserved", "sold", "withdrawn")
        }
        return answer(SalesSummary(**sums, refunded=_sum([t for t in mine if t.refunded])))

    def _mine(self, request: web.Request) -> list[Ticket]:
        """The newest first."""
        user = self.market.signed_in(request)
        return [t for t in reversed(self.market.tickets.values()) if t.user_id == user.id]

    async def show(self, request: web.Request) -> web.Response:
        return answer(self._ticket(request))

    async def create(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        body = await read(request, TicketBody)
        offer = (user.id, request.headers["Idempotency-Key"])
        if offer not in self.market.offers:
            self.market.offers[offer] = (body.model_dump_json(), self.market.ticket(user, **dict(body)))
        said, ticket = self.market.offers[offer]
        if said != body.model_dump_json():
            raise no(409, "Another ticket was offered with it", code="idempotency-key-reused")
        return answer(self.market.tickets[ticket.id], 201)

    async def edit(self, request: web.Request) -> web.Response:
        ticket = self._own(request)
        body = await read(request, TicketBody)
        if ticket.status != "available":
            raise no(409, "Cannot edit a reserved ticket")
        self.market.change_ticket(ticket.id, **dict(body))
        return answer(self._ticket(request))

    async def withdraw(self, request: web.Request) -> web.Response:
        ticket = self._own(request)
        if ticket.status != "available":
            raise no(409, "Cannot withdraw a reserved ticket")
        self.market.change_ticket(ticket.id, status="withdrawn")
        return web.Response(status=204)

    async def give_picture(self, request: web.Request) -> web.Response:
        ticket, upload = self._own(request), await request.read()
        if len(upload) > 5 * 1024 * 1024:
            raise no(413, "Request Entity Too Large")
        if not upload.startswith(b"\xff\xd8\xff"):
            raise no(415, "The picture must be a JPEG, PNG or WebP")
        if ticket.status != "available":
            raise no(409, "Cannot edit a reserved ticket")
        name = f"{len(self.market.pictures):064x}"
        self.market.pictures[name] = upload
        self.market.change_ticket(ticket.id, picture=name)
        return answer(self._ticket(request))

    async def take_picture(self, request: web.Request) -> web.Response:
        self.market.change_ticket(self._own(request).id, picture=None)
        return web.Response(status=204)

    async def similar(self, request: web.Request) -> web.Response:
        others = [t for t in self.market.tickets.values() if t.status == "available"]
        return many([t for t in others if t.id != self._ticket(request).id][:4])

    async def seller(self, request: web.Request) -> web.Response:
        user_id = request.match_info["id"]
        sold = [t for t in self.market.tickets.values() if (t.user_id, t.status) == (user_id, "sold")]
        return answer(Seller(id=user_id, sold=len(sold)))

    def _ticket(self, request: web.Request) -> Ticket:
        ticket = self.market.tickets.get(request.match_info["id"])
        if ticket is None:
            raise no(404, "Not found")
        return ticket

    def _own(self, request: web.Request) -> Ticket:
        user, ticket = self.market.signed_in(request), self._ticket(request)
        if ticket.user_id != user.id:
            raise no(403, "That isn't yours")
        return ticket


def _sum(tickets: list[Ticket]) -> Sum:
    return Sum(count=len(tickets), amount=int(sum(ticket.price for ticket in tickets) * 100))


def _query(request: web.Request) -> Query:
    given = request.query
    prices = {}
    for name in {"minPrice", "maxPrice"} & given.keys():
        try:
            prices[name] = float(given[name])
        except ValueError:
            raise _wrong(name) from None
    for name, values in (("category", CATEGORIES), ("when", get_args(When)), ("sort", get_args(Sort))):
        if name in given and given[name] not in values:
            raise _wrong(name)
    days = {name: date.fromisoformat(given[name]) for name in ("from", "to") if name in given}
    return Query(
        text=given.get("q", ""),
        city=given.get("city", ""),
        category=cast("Category | None", given.get("category")),
        when=cast("When | None", given.get("when")),
        starts_from=days.get("from"),
        starts_to=days.get("to"),
        min_price=prices.get("minPrice"),
        max_price=prices.get("maxPrice"),
    )


def _wrong(name: str) -> Refusal:
    item = ProblemItem(message=f"{name.capitalize()} isn't valid", field=name)
    return Refusal(Problem(type="about:blank", title=item.message, status=400, errors=[item]))


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
        user = self.market.signed_in(request)
        return many([order for order in reversed(self.market.orders.values()) if order.user_id == user.id])

    async def show(self, request: web.Request) -> web.Response:
        return answer(self._own(request, request.match_info["id"]))

    async def reserve(self, request: web.Request) -> web.Response:
        user = self.market.signed_in(request)
        ticket = self.market.tickets.get((await request.json())["ticketId"])
        if ticket is None:
            raise no(404, "Not found")
        if ticket.user_id == user.id:
            raise no(403, "You can't buy your own ticket")
        if ticket.status != "available":
            raise no(409, "Ticket is already reserved")
        return answer(self.market.order(user, ticket), 201)

    async def extend(self, request: web.Request) -> web.Response:
        order = self._own(request, request.match_info["id"])
        if not order.can_extend:
            raise no(409, "There is no more time to be had for this order")
        later = order.expires_at + timedelta(minutes=10)
        self.market.change_order(order.id, can_extend=False, expires_at=later)
        return answer(self.market.orders[order.id])

    async def cancel(self, request: web.Request) -> web.Response:
        order = self._own(request, request.match_info["id"])
        if order.status == "complete":
            raise no(409, "A completed order can't be cancelled")
        self.market.change_order(order.id, status="cancelled", cancel_reason="buyer")
        self.market.change_ticket(order.ticket.id, status="available", order_id=None)
        return web.Response(status=204)

    def _own(self, request: web.Request, order_id: str) -> Order:
        user, order = self.market.signed_in(request), self.market.orders.get(order_id)
        if order is None:
            raise no(404, "Not found")
        if order.user_id != user.id:
            raise no(403, "That isn't yours")
        return order


class Payments:
    def __init__(self, market: Market) -> None:
        self.market = market
        self._settling: set[asyncio.Task[None]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/api/payments", self.pay), web.get("/api/payments", self.of_order)]

    async def pay(self, request: web.Request) -> web.Response:
        self.market.signed_in(request)
        body = await read(request, PaymentBody)
        order = self.market.orders[body.order_id]
        if order.status == "cancelled":
            raise no(409, "Cannot pay for a cancelled order")
        if self.market.page:
            return self._open(order, body.token)
        if self.market.decline:
            self.market.payment(order, "failed", decline_message=self.market.decline)
            raise no(402, self.market.decline)
        payment = self.market.payment(order, "authorized")
        self.market.change_order(order.id, status="awaiting:payment")
        if self.market.settle_after is not None:
            task = asyncio.create_task(self._settle(order, self.market.settle_after))
            self._settling.add(task)
        return answer(PaymentResult(id=payment.id, status=payment.status), 201)

    def _open(self, order: Order, token: str | None) -> web.Response:
        if token is not None:
            raise no(400, "Cards aren't taken here: pay on Stripe's page")
        known = self.market.payments.get(order.id)
        if known is not None and known.status == "failed":
            raise no(409, "This payment was begun on another page", code="begun-elsewhere")
        payment = self.market.payment(order, "pending", page_url=self.market.page)
        self.market.change_order(order.id, status="awaiting:payment")
        return answer(PaymentResult(id=payment.id, status="pending", page_url=payment.page_url), 201)

    async def of_order(self, request: web.Request) -> web.Response:
        payment = self.market.payments.get(request.query["orderId"])
        return many([payment] if payment else [])

    async def _settle(self, order: Order, after: float) -> None:
        await asyncio.sleep(after)
        self.market.change_order(order.id, status="complete")
        self.market.payment(order, "captured")


class Services:
    """Each service on a port of its own, to be stopped and started by name."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.ports = {name: free_port() for name in _SERVICES}
        self._runners: dict[ServiceName, web.AppRunner] = {}

    def settings(self, **others: Any) -> Settings:
        urls = {f"{name}_url": f"http://localhost:{port}" for name, port in self.ports.items()}
        return Settings.model_validate({**urls, **others})

    async def start(self, name: ServiceName, routes: list[web.RouteDef] | None = None) -> None:
        """With `routes`, the service does just that."""
        app = web.Application(middlewares=[self._problems], client_max_size=20_000_000)
        app.add_routes(routes or _SERVICES[name](self.market).routes())
        runner = self._runners[name] = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.ports[name]).start()

    async def stop(self, name: ServiceName) -> None:
        await self._runners.pop(name).cleanup()

    async def replace(self, name: ServiceName, routes: list[web.RouteDef]) -> None:
        await self.stop(name)
        await self.start(name, routes)

    async def stop_all(self) -> None:
        for name in list(self._runners):
            await self.stop(name)

    @web.middleware
    async def _problems(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.market.seen.append(request)
        try:
            return await handler(request)
        except Refusal as refusal:
            refused = answer(refusal.problem, refusal.problem.status)
            if refusal.retry_after is not None:
                refused.headers["Retry-After"] = str(refusal.retry_after)
            return refused


_SERVICES: dict[ServiceName, type[Auth] | type[Tickets] | type[Orders] | type[Payments]] = {
    "auth": Auth,
    "tickets": Tickets,
    "orders": Orders,
    "payments": Payments,
}


@asynccontextmanager
async def services_running(market: Market) -> AsyncIterator[Services]:
    services = Services(market)
    for name in _SERVICES:
        await services.start(name)
    try:
        yield services
    finally:
        await services.stop_all()


async def read(request: web.Request, model: type[Body]) -> Body:
    """The body, or a 400 that names each field that is wrong."""
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        items = [
            ProblemItem(message=detail["msg"], field=str(detail["loc"][0]))
            for detail in error.errors(include_url=False)
        ]
        title = items[0].message if len(items) == 1 else "Some fields are wrong"
        raise Refusal(Problem(type="/problems/validation", title=title, status=400, errors=items)) from error


def answer(body: Wire, status: int = 200) -> web.Response:
    content_type = PROBLEM_JSON if isinstance(body, Problem) else "application/json"
    return web.Response(body=body.to_json().encode(), status=status, headers={"Content-Type": content_type})


def many(items: list[Any]) -> web.Response:
    text = "[" + ",".join(item.to_json() for item in items) + "]"
    return web.Response(text=text, content_type="application/json")


def signed_in(user: User, token: str, status: int) -> web.Response:
    result = answer(user, status)
    result.set_cookie(SESSION_COOKIE, token, path="/", httponly=True, samesite="Lax")
    return result
