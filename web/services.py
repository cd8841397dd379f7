"""Typed clients of the services, as one browser's request sees them."""

import io
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar, cast

import aiohttp
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from contracts.api import (
    CurrentUser,
    Facets,
    Order,
    Payment,
    PaymentResult,
    Profile,
    SalesSummary,
    Seller,
    Ticket,
    User,
)
from contracts.identity import SESSION_COOKIE
from contracts.problems import Problem
from settings import ServiceName, Settings

T = TypeVar("T")

TIMEOUT = 15.0
"""Seconds within which a service answers, or is taken to be down."""
SAFE = {"GET", "HEAD"}
"""What may be asked again."""
PAYMENT_TIMEOUT = 35.0
"""Stripe may be slow, and a payment that was given up on is still made."""

_USER = TypeAdapter(User)
_PROFILE = TypeAdapter(Profile)
_CURRENT_USER = TypeAdapter(CurrentUser)
_SELLER = TypeAdapter(Seller)
_SALES = TypeAdapter(SalesSummary)
_TICKET = TypeAdapter(Ticket)
_TICKETS = TypeAdapter(list[Ticket])
_FACETS = TypeAdapter(Facets)
_ORDER = TypeAdapter(Order)
_ORDERS = TypeAdapter(list[Order])
_PAYMENT_RESULT = TypeAdapter(PaymentResult)
_PAYMENTS = TypeAdapter(list[Payment])

_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"00-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class ServiceDown(Exception):
    """A service can't be reached, doesn't answer in time, or answers nonsense."""

    def __init__(self, service: ServiceName, words: str | None = None) -> None:
        self.service = service
        self.words = words
        """What it said of it itself, if it could."""
        super().__init__(f"{service} is down")


class Refused(Exception):
    """A service said no, and why."""

    def __init__(self, problem: Problem, retry_after: str | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after
        super().__init__(problem.title)

    @property
    def status(self) -> int:
        return self.problem.status


@dataclass(frozen=True)
class Caller:
    """For whom the services are called."""

    session: str | None
    trace: str
    """32 hexadecimal digits."""
    forwarded_for: str

    def headers(self) -> dict[str, str]:
        headers = {"traceparent": child_of(self.trace), "X-Forwarded-For": self.forwarded_for}
        if self.session:
            headers["Cookie"] = f"{SESSION_COOKIE}={self.session}"
        return headers


def trace_of(traceparent: str | None) -> str:
    """The trace that a browser began, or a new one."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match["trace"] if match else secrets.token_hex(16)


def child_of(trace: str) -> str:
    """The traceparent header that makes the next hop part of a trace."""
    return f"00-{trace}-{secrets.token_hex(8)}-01"


def checked(value: str) -> str:
    """An id from an address, fit to be part of another; anything else is the id of nothing.

    Raises:
        Refused: 404.
    """
    if _ID.fullmatch(value) is None:
        raise Refused(Problem.of(HTTPStatus.NOT_FOUND, "Not found", code="not-found"))
    return value


@dataclass(frozen=True)
class TicketPage:
    tickets: list[Ticket]
    after: str | None
    """Where the next page starts, if there is one."""
    total: int | None = None
    """How many there are on all pages, if it was said."""


@dataclass(frozen=True)
class _Answer:
    service: ServiceName
    body: bytes
    after: str | None
    total: int | None

    def parse(self, adapter: TypeAdapter[T]) -> T:
        try:
            return adapter.validate_json(self.body)
        except ValidationError as error:
            raise ServiceDown(self.service) from error


class BrokenOff(aiohttp.ClientError):
    """The connection ended before there was an answer: what was asked for may have been done."""


async def sent_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp sends a PUT or DELETE again when its connection breaks: an edit would be made twice, the second
    time perhaps over a later one, and a service that died over it would seem to have been away all along.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method in SAFE:
            raise
        raise BrokenOff(str(error)) from error


def open_session() -> aiohttp.ClientSession:
    """One for the process. It keeps no cookies: those of one user must not reach the next."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=400, limit_per_host=100),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[sent_once],
    )


class Services:
    """All methods raise ServiceDown, or Refused with what the service answered."""

    def __init__(self, http: aiohttp.ClientSession, settings: Settings, caller: Caller) -> None:
        self.caller = caller
        self.set_cookies: list[str] = []
        """Set-Cookie headers of the answers: the browser must get them as they are."""
        self._http = http
        self._settings = settings

    async def sign_up(self, email: str, password: str) -> User:
        body = {"email": email, "password": password}
        return (await self._call("auth", "POST", "/api/users/signup", body=body)).parse(_USER)

    async def sign_in(self, email: str, password: str) -> User:
        body = {"email": email, "password": password}
        return (await self._call("auth", "POST", "/api/users/signin", body=body)).parse(_USER)

    async def sign_out(self) -> None:
        await self._call("auth", "POST", "/api/users/signout", body={})

    async def sign_out_everywhere(self) -> None:
        await self._call("auth", "POST", "/api/users/signout-everywhere", body={})

    async def change_password(self, current: str, new: str) -> None:
        body = {"currentPassword": current, "newPassword": new}
        await self._call("auth", "POST", "/api/users/password", body=body)

    async def profile(self, user_id: str) -> Profile:
        return (await self._call("auth", "GET", f"/api/users/{checked(user_id)}")).parse(_PROFILE)

    async def current_user(self) -> User | None:
        """Nobody needs to be asked about a browser that brings no session."""
        if not self.caller.session:
            return None
        answer = await self._call("auth", "GET", "/api/users/currentuser")
        return answer.parse(_CURRENT_USER).current_user

    async def tickets(self, search: Mapping[str, str]) -> TicketPage:
        answer = await self._call("tickets", "GET", "/api/tickets", query=search)
        return TicketPage(answer.parse(_TICKETS), answer.after, answer.total)

    async def facets(self, search: Mapping[str, str]) -> Facets:
        return (await self._call("tickets", "GET", "/api/tickets/facets", query=search)).parse(_FACETS)

    async def my_tickets(self, search: Mapping[str, str]) -> TicketPage:
        answer = await self._call("tickets", "GET", "/api/tickets/mine", query=search)
        return TicketPage(answer.parse(_TICKETS), answer.after)

    async def my_sales(self) -> SalesSummary:
        return (await self._call("tickets", "GET", "/api/tickets/mine/summary")).parse(_SALES)

    async def ticket(self, ticket_id: str) -> Ticket:
        return (await self._call("tickets", "GET", f"/api/tickets/{checked(ticket_id)}")).parse(_TICKET)

    async def create_ticket(self, body: Mapping[str, str | int], offer: str) -> Ticket:
        """Once, however often it is asked for with the same `offer`."""
        key = {"Idempotency-Key": offer}
        return (await self._call("tickets", "POST", "/api/tickets", body=body, headers=key)).parse(_TICKET)

    async def edit_ticket(self, ticket_id: str, body: Mapping[str, str | int]) -> Ticket:
        return (await self._call("tickets", "PUT", f"/api/tickets/{checked(ticket_id)}", body=body)).parse(
            _TICKET
        )

    async def give_picture(self, ticket_id: str, upload: bytes) -> None:
        await self._call("tickets", "PUT", f"/api/tickets/{checked(ticket_id)}/picture", upload=upload)

    async def take_picture(self, ticket_id: str) -> None:
        await self._call("tickets", "DELETE", f"/api/tickets/{checked(ticket_id)}/picture")

    async def similar_tickets(self, ticket_id: str) -> list[Ticket]:
        path = f"/api/tickets/{checked(ticket_id)}/similar"
        return (await self._call("tickets", "GET", path)).parse(_TICKETS)

    async def seller(self, user_id: str) -> Seller:
        return (await self._call("tickets", "GET", f"/api/tickets/sellers/{checked(user_id)}")).parse(_SELLER)

    async def withdraw_ticket(self, ticket_id: str) -> None:
        await self._call("tickets", "DELETE", f"/api/tickets/{checked(ticket_id)}")

    async def orders(self) -> list[Order]:
        return (await self._call("orders", "GET", "/api/orders")).parse(_ORDERS)

    async def order(self, order_id: str) -> Order:
        return (await self._call("orders", "GET", f"/api/orders/{checked(order_id)}")).parse(_ORDER)

    async def reserve(self, ticket_id: str) -> Order:
        return (await self._call("orders", "POST", "/api/orders", body={"ticketId": ticket_id})).parse(_ORDER)

    async def extend_order(self, order_id: str) -> Order:
        path = f"/api/orders/{checked(order_id)}/extend"
        return (await self._call("orders", "POST", path, body={})).parse(_ORDER)

    async def cancel_order(self, order_id: str) -> None:
        await self._call("orders", "DELETE", f"/api/orders/{checked(order_id)}")

    async def pay(self, order_id: str, token: str | None) -> PaymentResult:
        """Without a token, with whatever payments takes then: the usual test card, or Stripe's page."""
        body = {"orderId": order_id, **({"token": token} if token else {})}
        return (await self._call("payments", "POST", "/api/payments", body=body)).parse(_PAYMENT_RESULT)

    async def payment_of(self, order_id: str) -> Payment | None:
        answer = await self._call("payments", "GET", "/api/payments", query={"orderId": order_id})
        payments = answer.parse(_PAYMENTS)
        return payments[-1] if payments else None

    async def _call(
        self,
        service: ServiceName,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        upload: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        waits = PAYMENT_TIMEOUT if service == "payments" and method == "POST" else TIMEOUT
        try:
            async with self._http.request(
                method,
                URL(self._settings.url_of(service) + path).with_query(query),
                json=body,
                data=None if upload is None else io.BytesIO(upload),
                headers={**self.caller.headers(), **(headers or {})},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=waits, connect=3),
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServiceDown(service) from error
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _failure(service, answer, content)
        self.set_cookies += answer.headers.getall("Set-Cookie", [])
        return _Answer(service, content, _next_key(answer), _total(answer))


def _failure(service: ServiceName, answer: aiohttp.ClientResponse, content: bytes) -> Exception:
    try:
        problem = Problem.model_validate_json(content)
    except ValidationError:
        problem = None
    if answer.status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        return ServiceDown(service, problem.title if problem else None)
    if problem is None:
        return ServiceDown(service)
    return Refused(problem, answer.headers.get("Retry-After"))


def _next_key(answer: aiohttp.ClientResponse) -> str | None:
    """The `after` of the address of the next page (RFC 8288)."""
    link = cast("Mapping[str, Any]", answer.links.get("next", {}))
    url = link.get("url")
    return url.query.get("after") if isinstance(url, URL) else None


def _total(answer: aiohttp.ClientResponse) -> int | None:
    said = answer.headers.get("X-Total-Count", "")
    return int(said) if said.isascii() and said.isdecimal() else None
