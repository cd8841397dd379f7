"""A typed client of the services' APIs."""

import asyncio
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar, cast

import aiohttp
from pydantic import TypeAdapter, ValidationError
from yarl import URL

from contracts.api import (
    POSITION,
    VALID_UNTIL,
    Alert,
    AlertList,
    Facets,
    FileList,
    Highlights,
    MyAccount,
    OpenMatter,
    Order,
    PasskeyView,
    Payment,
    PaymentResult,
    Payout,
    PayoutAccount,
    PayoutAccountLink,
    PayoutList,
    PayoutSums,
    Profile,
    RecoveredUser,
    SalesSummary,
    Seller,
    SessionView,
    Show,
    ShowOffer,
    ShowPage,
    SoldOrder,
    Ticket,
    User,
)
from contracts.events import LinkKind
from contracts.internal import LinkTarget, MailChoice
from contracts.languages import DEFAULT, Language
from contracts.problems import Problem
from contracts.wire import now
from kit.client_address import CLIENT
from kit.secrets import internal_token
from kit.tracing import traceparent
from settings import ServiceName, Settings
from web import upstream
from web.rendering import service_texts

T = TypeVar("T")

_USER = TypeAdapter(User)
_PROFILE = TypeAdapter(Profile)
_ACCOUNT = TypeAdapter(MyAccount)
_SESSIONS = TypeAdapter(list[SessionView])
_RECOVERED = TypeAdapter(RecoveredUser)
_LINK_TARGET = TypeAdapter(LinkTarget)
_PASSKEYS = TypeAdapter(list[PasskeyView])
_MATTERS = TypeAdapter(list[OpenMatter])
_SELLER = TypeAdapter(Seller)
_SALES = TypeAdapter(SalesSummary)
_TICKET = TypeAdapter(Ticket)
_FILES = TypeAdapter(FileList)
_TICKETS = TypeAdapter(list[Ticket])
_FACETS = TypeAdapter(Facets)
_ALERT = TypeAdapter(Alert)
_ALERTS = TypeAdapter(AlertList)
_MAIL_CHOICE = TypeAdapter(MailChoice)
_IDS = TypeAdapter(list[str])
_SHOWS = TypeAdapter(list[Show])
_OFFERS = TypeAdapter(list[ShowOffer])
_HIGHLIGHTS = TypeAdapter(Highlights)
_SHOW_PAGE = TypeAdapter(ShowPage)
_ORDER = TypeAdapter(Order)
_ORDERS = TypeAdapter(list[Order])
_SOLD_ORDERS = TypeAdapter(list[SoldOrder])
MAX_SALES = 100
"""Maximum number of sales in one request. Orders accepts no more."""
_PAYMENT_RESULT = TypeAdapter(PaymentResult)
_PAYMENTS = TypeAdapter(list[Payment])
_PAYOUTS = TypeAdapter(PayoutList)
_PAYOUT_ACCOUNT = TypeAdapter(PayoutAccount)
_PAYOUT_LINK = TypeAdapter(PayoutAccountLink)

MAX_PAYOUT_ORDERS = 100
"""The most orders for which one request asks about payouts."""

_ID = re.compile(r"[0-9a-f]{24}", re.ASCII)
_FILE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CONFIRMED = {"confirmed": "true"}


class ServiceDown(Exception):
    """A service can't be reached, times out, or returns an invalid response."""

    def __init__(self, service: ServiceName, title: str | None = None) -> None:
        self.service = service
        self.title = title
        """The title of the problem in the service's response, if there was one."""
        super().__init__(f"{service} is down")


class Refused(Exception):
    """A service refused the request. `problem` is its response, with the reason in the reader's language."""

    def __init__(self, problem: Problem, retry_after: str | None = None) -> None:
        self.problem = service_texts.problem(problem)
        self.retry_after = retry_after
        super().__init__(problem.title)

    @property
    def status(self) -> int:
        return self.problem.status


@dataclass(frozen=True)
class Caller:
    """The browser on whose behalf the services are called."""

    session_cookie: str | None
    """The browser's session cookie, as a name and a value."""
    client: str
    """The browser's address, signed by web."""
    device: str | None = None
    """The cookie of a device with its name, as auth expects it."""
    user_agent: str | None = None
    """What the browser calls itself. Auth names the device of a session after it."""

    def headers(self, service: ServiceName) -> dict[str, str]:
        headers = {"traceparent": traceparent(), CLIENT: self.client}
        cookies = [self.session_cookie] if self.session_cookie else []
        if self.device and service == "auth":
            cookies.append(self.device)
        if self.user_agent and service == "auth":
            headers["User-Agent"] = self.user_agent
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        return headers


def validated_id(value: str) -> str:
    """Check that a value from the address of a page has the form of an id, and return the value.

    Raises:
        Refused: with status 404 if the value can't be an id.
    """
    if _ID.fullmatch(value) is None:
        raise Refused(Problem.of(HTTPStatus.NOT_FOUND, "Not found", code="not-found"))
    return value


def validated_file_id(value: str) -> str:
    """Like `validated_id`, for the id of a file."""
    if _FILE_ID.fullmatch(value) is None:
        raise Refused(Problem.of(HTTPStatus.NOT_FOUND, "Not found", code="not-found"))
    return value


@dataclass(frozen=True)
class TicketPage:
    tickets: list[Ticket]
    after: str | None
    """The cursor of the next page, if any."""
    total: int | None = None
    """The number of tickets on all pages, if the service returned it."""


@dataclass(frozen=True)
class OrderPage:
    orders: list[Order]
    after: str | None
    """The cursor of the next page, if any."""


@dataclass
class Freshness:
    """How current the responses of the tickets service were that a page was rendered from."""

    position: int | None = None
    """The sequence number up to which the responses reflect all events of the stream. None if unknown."""
    valid_until: datetime | None = None
    """The time at which the content of the responses changes even without an event. None if there is none."""
    _is_unknown: bool = False

    def seconds(self, most: float) -> float:
        """How long the content stays the same without an event, at most `most` seconds."""
        return most if self.valid_until is None else min(most, (self.valid_until - now()).total_seconds())

    def add(self, headers: Mapping[str, str]) -> None:
        position, valid_until = headers.get(POSITION), headers.get(VALID_UNTIL)
        if position is None or not position.isdecimal() or self._is_unknown:
            self._is_unknown, self.position = True, None
            return
        self.position = int(position) if self.position is None else min(self.position, int(position))
        if valid_until is not None:
            end = datetime.fromisoformat(valid_until)
            self.valid_until = end if self.valid_until is None else min(self.valid_until, end)


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


class ApiClient:
    """Calls the services for one request of a browser.

    All methods raise ServiceDown or Refused if the call fails.
    """

    def __init__(self, http: upstream.Upstream, settings: Settings, caller: Caller) -> None:
        self.caller = caller
        self.set_cookies: list[str] = []
        """Set-Cookie headers of the responses, which the browser gets unchanged."""
        self.freshness = Freshness()
        self._http = http
        self._settings = settings

    async def sign_up(self, email: str, password: str, language: str) -> User:
        body = {"email": email, "password": password}
        if language != DEFAULT:  # an earlier version of auth knows no language
            body["language"] = language
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

    async def account(self) -> MyAccount:
        return (await self._call("auth", "GET", "/api/users/me")).parse(_ACCOUNT)

    async def rename(self, name: str | None) -> None:
        await self._call("auth", "PATCH", "/api/users/me", body={"name": name})

    async def state_trader(self, trader: bool, details: Mapping[str, str | None] | None) -> None:
        body = {"trader": trader, **({"traderDetails": details} if details is not None else {})}
        await self._call("auth", "PATCH", "/api/users/me", body=body)

    async def choose_language(self, language: Language) -> None:
        await self._call("auth", "PATCH", "/api/users/me", body={"language": language})

    async def sessions(self) -> list[SessionView]:
        return (await self._call("auth", "GET", "/api/users/sessions")).parse(_SESSIONS)

    async def end_session(self, session_id: str) -> None:
        await self._call("auth", "DELETE", f"/api/users/sessions/{validated_id(session_id)}")

    async def passkeys(self) -> list[PasskeyView]:
        return (await self._call("auth", "GET", "/api/users/passkeys")).parse(_PASSKEYS)

    async def rename_passkey(self, passkey_id: str, name: str) -> None:
        path = f"/api/users/passkeys/{validated_id(passkey_id)}"
        await self._call("auth", "PATCH", path, body={"name": name})

    async def remove_passkey(self, passkey_id: str, password: str) -> None:
        path = f"/api/users/passkeys/{validated_id(passkey_id)}/remove"
        await self._call("auth", "POST", path, body={"currentPassword": password})

    async def renew_session(self) -> bool:
        """Whether auth has replaced the token, which says something that isn't true any more."""
        await self._call("auth", "GET", "/api/users/currentuser")
        return bool(self.set_cookies)

    async def request_password_reset(self, email: str) -> None:
        await self._call("auth", "POST", "/api/users/password-reset", body={"email": email})

    async def reset_password(self, link: str, new: str) -> RecoveredUser:
        body = {"link": link, "newPassword": new}
        return (await self._call("auth", "POST", "/api/users/password-reset/complete", body=body)).parse(
            _RECOVERED
        )

    async def request_confirmation(self) -> None:
        await self._call("auth", "POST", "/api/users/confirmation", body={})

    async def confirm_address(self, link: str) -> None:
        await self._call("auth", "POST", "/api/users/confirmation/complete", body={"link": link})

    async def request_email_change(self, email: str, password: str) -> None:
        body = {"email": email, "currentPassword": password}
        await self._call("auth", "POST", "/api/users/email-change", body=body)

    async def address_of_link(self, link: str, kind: LinkKind) -> str | None:
        """The address that got a link of this kind. None if the link doesn't work, or auth doesn't say."""
        try:
            answer = await self._call(
                "auth", "POST", "/internal/link-targets", body={"link": link}, headers=self._as_service()
            )
        except (Refused, ServiceDown):  # the page works without it, and says the rest when the link is used
            return None
        target = answer.parse(_LINK_TARGET)
        return target.email if target.kind == kind else None

    async def change_email(self, link: str) -> None:
        await self._call("auth", "POST", "/api/users/email-change/complete", body={"link": link})

    async def undo_email_change(self, link: str, new: str) -> User:
        body = {"link": link, "newPassword": new}
        return (await self._call("auth", "POST", "/api/users/email-change/undo", body=body)).parse(_USER)

    async def open_matters(self) -> list[OpenMatter]:
        return (await self._call("auth", "GET", "/api/users/me/open-matters")).parse(_MATTERS)

    async def delete_account(self, password: str) -> None:
        await self._call("auth", "POST", "/api/users/me/deletion", body={"currentPassword": password})

    async def export(self) -> bytes:
        """The archive with the user's personal data, as JSON."""
        return (await self._call("auth", "GET", "/api/users/me/export")).body

    async def profile(self, user_id: str) -> Profile:
        return (await self._call("auth", "GET", f"/api/users/{validated_id(user_id)}")).parse(_PROFILE)

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
        return (await self._call("tickets", "GET", f"/api/tickets/{validated_id(ticket_id)}")).parse(_TICKET)

    async def create_ticket(self, body: Mapping[str, Any], key: str, *, confirmed: bool = False) -> Ticket:
        """List a ticket. Repeated requests with the same idempotency key list only one ticket.

        Args:
            confirmed: whether the seller has confirmed that another listing of the seat is of another one.
        """
        answer = await self._call(
            *("tickets", "POST", "/api/tickets"),
            body=body,
            query=_CONFIRMED if confirmed else None,
            headers={"Idempotency-Key": key},
        )
        return answer.parse(_TICKET)

    async def edit_ticket(
        self, ticket_id: str, body: Mapping[str, Any], *, confirmed: bool = False
    ) -> Ticket:
        path, query = f"/api/tickets/{validated_id(ticket_id)}", _CONFIRMED if confirmed else None
        return (await self._call("tickets", "PUT", path, body=body, query=query)).parse(_TICKET)

    async def files_of(self, ticket_id: str) -> FileList:
        path = f"/api/tickets/{validated_id(ticket_id)}/files"
        return (await self._call("tickets", "GET", path)).parse(_FILES)

    async def add_file(self, ticket_id: str, upload: bytes) -> None:
        await self._call("tickets", "POST", f"/api/tickets/{validated_id(ticket_id)}/files", upload=upload)

    async def remove_file(self, ticket_id: str, file_id: str) -> None:
        path = f"/api/tickets/{validated_id(ticket_id)}/files/{validated_file_id(file_id)}"
        await self._call("tickets", "DELETE", path)

    async def set_private_note(self, ticket_id: str, note: str | None) -> None:
        path = f"/api/tickets/{validated_id(ticket_id)}/private-note"
        await self._call("tickets", "PUT", path, body={"privateNote": note})

    async def save_picture(self, ticket_id: str, upload: bytes) -> None:
        await self._call("tickets", "PUT", f"/api/tickets/{validated_id(ticket_id)}/picture", upload=upload)

    async def remove_picture(self, ticket_id: str) -> None:
        await self._call("tickets", "DELETE", f"/api/tickets/{validated_id(ticket_id)}/picture")

    async def similar_tickets(self, ticket_id: str) -> list[Ticket]:
        path = f"/api/tickets/{validated_id(ticket_id)}/similar"
        return (await self._call("tickets", "GET", path)).parse(_TICKETS)

    async def shows(self, search: str) -> list[Show]:
        """Suggestions of events."""
        return (await self._call("tickets", "GET", "/api/shows", query={"search": search})).parse(_SHOWS)

    async def offered_shows(self, search: Mapping[str, str]) -> list[ShowOffer]:
        """Events of the matching tickets. Takes the filters of `facets`."""
        return (await self._call("tickets", "GET", "/api/shows/search", query=search)).parse(_OFFERS)

    async def highlights(self, city: str) -> Highlights:
        """Events for the home page of a city, or of all cities if it is empty."""
        query = {"city": city} if city else None
        return (await self._call("tickets", "GET", "/api/shows/highlights", query=query)).parse(_HIGHLIGHTS)

    async def show(self, show_id: str) -> ShowPage:
        """An event with its tickets, or the event into which it was merged."""
        path = f"/api/shows/{validated_id(show_id)}"
        return (await self._call("tickets", "GET", path, follows_redirects=True)).parse(_SHOW_PAGE)

    async def report_listing(self, ticket_id: str, body: Mapping[str, str]) -> None:
        await self._call("tickets", "POST", f"/api/tickets/{validated_id(ticket_id)}/reports", body=body)

    async def picture(self, name: str) -> bytes:
        """The WebP data of a picture."""
        return (await self._call("tickets", "GET", f"/api/tickets/pictures/{name}/large")).body

    async def upcoming_shows(self) -> list[str]:
        """The ids of the events that a sitemap lists."""
        headers = self._as_service()
        return (await self._call("tickets", "GET", "/internal/upcoming-shows", headers=headers)).parse(_IDS)

    async def alerts(self) -> AlertList:
        return (await self._call("tickets", "GET", "/api/alerts")).parse(_ALERTS)

    async def add_alert(self, body: Mapping[str, Any]) -> Alert:
        return (await self._call("tickets", "POST", "/api/alerts", body=body)).parse(_ALERT)

    async def remove_alert(self, alert_id: str) -> None:
        await self._call("tickets", "DELETE", f"/api/alerts/{validated_id(alert_id)}")

    async def seller(self, user_id: str) -> Seller:
        return (await self._call("tickets", "GET", f"/api/tickets/sellers/{validated_id(user_id)}")).parse(
            _SELLER
        )

    async def withdraw_ticket(self, ticket_id: str) -> None:
        await self._call("tickets", "DELETE", f"/api/tickets/{validated_id(ticket_id)}")

    async def orders(self, search: Mapping[str, str]) -> OrderPage:
        answer = await self._call("orders", "GET", "/api/orders", query=search)
        return OrderPage(answer.parse(_ORDERS), answer.after)

    async def order(self, order_id: str) -> Order:
        return (await self._call("orders", "GET", f"/api/orders/{validated_id(order_id)}")).parse(_ORDER)

    async def reserve(self, ticket_id: str) -> Order:
        return (await self._call("orders", "POST", "/api/orders", body={"ticketId": ticket_id})).parse(_ORDER)

    async def extend_order(self, order_id: str) -> Order:
        path = f"/api/orders/{validated_id(order_id)}/extend"
        return (await self._call("orders", "POST", path, body={})).parse(_ORDER)

    async def cancel_order(self, order_id: str) -> None:
        await self._call("orders", "DELETE", f"/api/orders/{validated_id(order_id)}")

    async def confirm_delivery(self, order_id: str) -> Order:
        path = f"/api/orders/{validated_id(order_id)}/confirmation"
        return (await self._call("orders", "POST", path, body={})).parse(_ORDER)

    async def report_problem(self, order_id: str, body: Mapping[str, str]) -> None:
        await self._call("orders", "POST", f"/api/orders/{validated_id(order_id)}/problem", body=body)

    async def add_photo(self, order_id: str, upload: bytes) -> None:
        """Add a photo to a report or an answer that isn't sent yet."""
        path = f"/api/orders/{validated_id(order_id)}/problem/photos"
        await self._call("orders", "POST", path, upload=upload)

    async def remove_photo(self, order_id: str, photo_id: str) -> None:
        path = f"/api/orders/{validated_id(order_id)}/problem/photos/{validated_file_id(photo_id)}"
        await self._call("orders", "DELETE", path)

    async def answer_problem(self, order_id: str, body: Mapping[str, str]) -> None:
        await self._call("orders", "POST", f"/api/orders/{validated_id(order_id)}/problem/answer", body=body)

    async def hand_over(self, order_id: str) -> None:
        await self._call("orders", "POST", f"/api/orders/{validated_id(order_id)}/handover", body={})

    async def sales_of(self, order_ids: Sequence[str]) -> list[SoldOrder]:
        """How far the delivery of these sales of the caller is."""
        parts = [order_ids[start : start + MAX_SALES] for start in range(0, len(order_ids), MAX_SALES)]
        answers = await asyncio.gather(
            *(self._call("orders", "GET", "/api/orders/sales", query={"orderId": part}) for part in parts)
        )
        return [sale for answer in answers for sale in answer.parse(_SOLD_ORDERS)]

    async def pay(self, order_id: str, token: str | None) -> PaymentResult:
        """Pay with a card token, or on Stripe's page without one."""
        body = {"orderId": order_id, **({"token": token} if token else {})}
        return (await self._call("payments", "POST", "/api/payments", body=body)).parse(_PAYMENT_RESULT)

    async def payment_of(self, order_id: str) -> Payment | None:
        payments = await self.payments_of([order_id])
        return payments[-1] if payments else None

    async def document(self, service: ServiceName, kind: str) -> bytes:
        """The API document of a service: `kind` is asyncapi or openapi."""
        return (await self._call(service, "GET", f"/docs/{kind}.json")).body

    async def payments_of(self, order_ids: Sequence[str]) -> list[Payment]:
        """The payments for these orders, which may be fewer than the orders."""
        answer = await self._call("payments", "GET", "/api/payments", query={"orderId": order_ids})
        return answer.parse(_PAYMENTS)

    async def payouts(self, search: Mapping[str, str | Sequence[str]]) -> PayoutList:
        return (await self._call("payouts", "GET", "/api/payouts", query=search)).parse(_PAYOUTS)

    async def payouts_of(self, order_ids: Sequence[str]) -> tuple[list[PayoutSums], list[Payout]]:
        """The sums of all sales of the caller, and those of these orders."""
        sums: Sequence[PayoutSums] = ()
        found: list[Payout] = []
        for begin in range(0, max(len(order_ids), 1), MAX_PAYOUT_ORDERS):
            some = order_ids[begin : begin + MAX_PAYOUT_ORDERS]
            part = await self.payouts({"orderId": some} if some else {"limit": "1"})
            sums = part.sums
            found += part.payouts
        return list(sums), found

    async def payout_account(self) -> PayoutAccount:
        return (await self._call("payouts", "GET", "/api/payouts/account")).parse(_PAYOUT_ACCOUNT)

    async def begin_payouts(self, country: str) -> str:
        """The address of Stripe's page on which the caller gives details."""
        answer = await self._call("payouts", "POST", "/api/payouts/account", body={"country": country})
        return answer.parse(_PAYOUT_LINK).url

    async def choose_mail(self, token: str, *, is_wanted: bool) -> None:
        """Stop or resume the emails that the token is for."""
        body = {"token": token, "wanted": is_wanted}
        await self._call("mail", "POST", "/internal/choices", body=body, headers=self._as_service())

    async def wants_mail(self, user_id: str, kind: str) -> bool:
        """Whether the user gets optional emails of this kind."""
        path = f"/internal/choices/{validated_id(user_id)}/{kind}"
        answer = await self._call("mail", "GET", path, headers=self._as_service())
        return answer.parse(_MAIL_CHOICE).wanted

    async def resume_mail(self, user_id: str, kind: str) -> None:
        """Send optional emails of this kind to the user again. Repeating it changes nothing."""
        path = f"/internal/choices/{validated_id(user_id)}/{kind}"
        await self._call("mail", "DELETE", path, headers=self._as_service())

    def _as_service(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {internal_token(self._settings)}"}

    async def _call(
        self,
        service: ServiceName,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | Sequence[str]] | None = None,
        body: Mapping[str, Any] | None = None,
        upload: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        follows_redirects: bool = False,
    ) -> _Answer:
        try:
            async with self._http.request(
                method,
                URL(self._settings.url_of(service) + path).with_query(query),
                json=body,
                data=None if upload is None else io.BytesIO(upload),
                headers={**self.caller.headers(service), **(headers or {})},
                allow_redirects=follows_redirects,
                timeout=upstream.timeout(service, method),
            ) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ServiceDown(service) from error
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _failure(service, answer, content)
        if service == "tickets" and method == "GET":
            self.freshness.add(answer.headers)
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
    """The cursor of the next page, from the Link header (RFC 8288)."""
    link = cast("Mapping[str, Any]", answer.links.get("next", {}))
    url = link.get("url")
    return url.query.get("after") if isinstance(url, URL) else None


def _total(answer: aiohttp.ClientResponse) -> int | None:
    count = answer.headers.get("X-Total-Count", "")
    return int(count) if count.isascii() and count.isdecimal() else None
