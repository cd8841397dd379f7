"""A user who sends HTTP requests, through the API or the forms of pages, and records every answer."""

import asyncio
import json
import re
from base64 import urlsafe_b64decode
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.resilience.chaos.history import ON_STRIPE_PAGE, Request
from web.upstream import sent_once

ANSWER_SECONDS = 20.0
PAYMENT_SECONDS = 40.0
"""How long to wait for the answer to a payment. It is longer than the web tier waits."""

LISTING_KEY = "idempotency_key"
"""The hidden field with the idempotency key, in the form that lists a ticket."""
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


TOKEN_REFUSED = "/problems/token-refused"
"""The problem type with which payments refuses a card token if PAYMENT_PAGE is `checkout`."""
STRIPE_PAGE = "/c/pay/"

EVENT = {"startsAt": "2036-12-12T20:00", "venue": "Astra", "city": "Berlin"}
"""What the forms require about the event, apart from its title."""


@dataclass
class RequestLog:
    """The requests of all users, and their answers."""

    requests: list[Request] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    """The number of answers by status. Requests without an answer count as status 0."""
    failures: deque[str] = field(default_factory=lambda: deque(maxlen=100))
    """The last requests that weren't answered, or whose answer says that the server failed."""
    _shown: set[tuple[str, str, int | None, str]] = field(default_factory=set)

    def record_state(self, user: str, thing: Mapping[str, Any]) -> None:
        """Record that a user sees a state. Seeing the same state again is not recorded."""
        shown = (user, thing["id"], thing.get("version"), thing["status"])
        if shown not in self._shown:
            self._shown.add(shown)
            _, about, version, status = shown
            self.requests.append(Request("look", user, about, 200, version=version, state=status))


@dataclass(frozen=True)
class Answer:
    status: int = 0
    """The HTTP status, or 0 if there was no answer."""
    body: Any = None
    """The parsed JSON, or the text of a response that isn't JSON."""
    location: str = ""
    cookies: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether a retry is pointless. A 404 may only mean that an event hasn't been replicated yet."""
        return self.status not in (0, 404, 429) and self.status < 500

    @property
    def is_refused(self) -> bool:
        return self.is_final and self.status >= 400

    @property
    def payment_page(self) -> str:
        """The address of the Stripe page to which this answer sends the buyer, or an empty string."""
        address = self.location or self.value("pageUrl")
        return address if urlsplit(address).path.startswith(STRIPE_PAGE) else ""

    def value(self, name: str) -> str:
        """A field of a JSON object as text, or an empty string."""
        return str(self.body.get(name) or "") if isinstance(self.body, dict) else ""


def browser() -> aiohttp.ClientSession:
    """One HTTP client for all users, who keep their own cookies. It never repeats a request by itself."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[sent_once],
    )


class Person:
    """A user who is signed in or about to sign in."""

    def __init__(self, http: aiohttp.ClientSession, web: str, log: RequestLog, email: str) -> None:
        self.email = email
        self.password = f"the password of {email}"
        self.id = ""
        self.token = ""
        self._http = http
        self._web = web
        self.log = log

    @property
    def session(self) -> str:
        """The id of the session, from its token."""
        claims = self.token.split(".")[1]
        return str(json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sid"])

    async def signs_up(self) -> bool:
        return await self._starts_session("sign up", "/api/users/signup")

    async def signs_in(self) -> bool:
        return await self._starts_session("sign in", "/api/users/signin")

    async def _starts_session(self, what: Any, path: str) -> bool:
        account = {"email": self.email, "password": self.password}
        record = Request(what, self.email)
        answer = await self._ask("POST", path, account, record)
        if token := answer.cookies.get("session"):
            self.id, self.token = answer.value("id"), token
            record.session = self.session
        return bool(token)

    async def signs_out(self) -> Answer:
        return await self._ask("POST", "/api/users/signout", {}, Request("sign out", self.id, self.session))

    async def uses_an_ended_session(self) -> Answer:
        record = Request("use an ended session", self.id, self.session)
        return await self._ask("GET", "/api/orders", record=record)

    async def lists_ticket(self, title: str, price: str, key: str = "", *, promised: bool = False) -> Answer:
        """List a ticket. Its seller may promise to upload the files."""
        record = Request("list", self.id, asked={"title": title, "price": price}, key=key)
        headers = {"Idempotency-Key": key} if key else {}
        body = {"title": title, "price": price, **({"promised": True} if promised else {})}
        return await self._ask("POST", "/api/tickets", body, record, headers)

    async def uploads(self, ticket: str, content: bytes) -> Answer:
        """Upload a file of a ticket."""
        headers = {"Authorization": f"Bearer {self.token}"}
        address = f"{self._web}/api/tickets/{ticket}/files"
        return await self._send(
            "POST", address, Request("upload", self.id, ticket), data=content, headers=headers
        )

    async def hands_over(self, order: str) -> Answer:
        """Say that the ticket of a sold order was handed over."""
        return await self._ask("POST", f"/api/orders/{order}/handover", {})

    async def sets_up_payouts(self, stripe: str) -> bool:
        """Give Stripe the details of an account for payouts, on its page."""
        link = (await self._ask("POST", "/api/payouts/account", {"country": "US"})).value("url")
        if not link:
            return False
        return (
            await self._send("POST", f"{stripe}{urlsplit(link).path}", data={"choice": "complete"})
        ).status == 303

    async def lists_ticket_by_form(self, title: str, price: str, presses: int = 1) -> list[Answer]:
        """Submit one form several times. The listings have one idempotency key, so they create one ticket."""
        records = [
            Request("list", self.id, asked={"title": title, "price": price}, form=True)
            for _ in range(presses)
        ]
        fields = {"title": title, "price": price, "quantity": "1", **EVENT}
        return await self._presses("/sell", "/sell", fields, records)

    async def edits(self, ticket: str, title: str, price: str) -> Answer:
        record = Request("edit", self.id, ticket, asked={"title": title, "price": price})
        return await self._ask("PUT", f"/api/tickets/{ticket}", {"title": title, "price": price}, record)

    async def edits_by_form(self, ticket: str, title: str, price: str) -> Answer:
        record = Request("edit", self.id, ticket, asked={"title": title, "price": price}, form=True)
        form = f"/tickets/{ticket}/edit"
        fields = {"title": title, "price": price, "quantity": "1", **EVENT}
        return await self._submits(form, form, fields, record)

    async def withdraws(self, ticket: str) -> Answer:
        return await self._ask(
            "DELETE", f"/api/tickets/{ticket}", record=Request("withdraw", self.id, ticket)
        )

    async def withdraws_by_form(self, ticket: str) -> Answer:
        form = f"/tickets/{ticket}/withdraw"
        return await self._submits(form, form, {}, Request("withdraw", self.id, ticket, form=True))

    async def reserves(self, ticket: str) -> Answer:
        record = Request("reserve", self.id, ticket)
        return await self._ask("POST", "/api/orders", {"ticketId": ticket}, record)

    async def reserves_by_form(self, ticket: str) -> Answer:
        record = Request("reserve", self.id, ticket, form=True)
        return await self._submits(f"/tickets/{ticket}", f"/tickets/{ticket}/buy", {}, record)

    async def asks_for_more_time(self, order: str) -> Answer:
        return await self._ask("POST", f"/api/orders/{order}/extend", {}, Request("extend", self.id, order))

    async def cancels(self, order: str) -> Answer:
        return await self._ask("DELETE", f"/api/orders/{order}", record=Request("cancel", self.id, order))

    async def cancels_by_form(self, order: str) -> Answer:
        record = Request("cancel", self.id, order, form=True)
        return await self._submits(f"/orders/{order}", f"/orders/{order}/cancel", {}, record)

    async def pays(self, order: str, card: str = "tok_visa") -> Answer:
        """Pay with a card token; if tokens are refused, ask for the address of Stripe's page instead."""
        record = Request("pay", self.id, order, asked={"card": card})
        answer = await self._ask("POST", "/api/payments", {"orderId": order, "token": card}, record)
        if answer.value("type") != TOKEN_REFUSED:
            return answer
        record = Request("pay", self.id, order, asked={"card": ON_STRIPE_PAGE})
        return await self._ask("POST", "/api/payments", {"orderId": order}, record)

    async def pays_by_form(self, order: str, card: str = "tok_visa") -> Answer:
        record = Request("pay", self.id, order, asked={"card": card}, form=True)
        form = f"/orders/{order}?step=pay"
        return await self._submits(form, f"/orders/{order}/pay", {"token": card}, record)

    async def submits_page(self, address: str, order: str, card: str) -> Answer:
        """Pay on Stripe's page. The answer redirects to the order or the bank, or shows why paying failed."""
        record = Request("pay on page", self.id, order, asked={"card": card})
        return await self._send("POST", address, record, data={"card": card})

    async def refunds(self, order: str, *, relist: bool) -> Answer:
        """Refund an order as an operator, who sends the request to payments directly."""
        record = Request("refund", self.id, order, asked={"relist": relist})
        return await self._ask("POST", "/api/payments/refunds", {"orderId": order, "relist": relist}, record)

    async def opens(self, path: str) -> Answer:
        """Open a page, or read a resource of the API and record the states that it shows."""
        answer = await self._ask("GET", path)
        shown = answer.body if isinstance(answer.body, list) else [answer.body]
        for thing in shown if answer.status == 200 else []:
            if isinstance(thing, dict) and {"id", "status"} <= thing.keys():
                self.log.record_state(self.id, thing)
        return answer

    async def order(self, order: str) -> Answer:
        return await self.opens(f"/api/orders/{order}")

    async def order_of(self, ticket: str) -> str:
        """The id of the user's unpaid order of a ticket, if any. Use it when a reservation had no answer."""
        orders = (await self.opens("/api/orders")).body
        for order in orders if isinstance(orders, list) else []:
            if order["ticket"]["id"] == ticket and order["status"] in ("created", "awaiting:payment"):
                return str(order["id"])
        return ""

    async def cancels_long_holds(self, latest: datetime) -> None:
        """Cancel the user's unpaid orders that expire after `latest`."""
        orders = (await self.opens("/api/orders")).body
        for order in orders if isinstance(orders, list) else []:
            unpaid = order["status"] in ("created", "awaiting:payment")
            if unpaid and datetime.fromisoformat(order["expiresAt"]) > latest:
                await self.cancels(str(order["id"]))

    async def payment(self, order: str) -> dict[str, Any]:
        found = (await self.opens(f"/api/payments?orderId={order}")).body
        return dict(found[0]) if isinstance(found, list) and found else {}

    async def comes_back(self, order: str, query: str) -> None:
        """Open the order's page at the address to which Stripe or the bank sends the buyer."""
        await self._send("GET", f"{self._web}/orders/{order}?{query}", headers=self._headers())

    async def answers_bank(self, page: str, answer: str) -> None:
        await self._send("POST", page, data={"answer": answer})

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        record: Request | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self._send(
            method, f"{self._web}{path}", record, json=body, headers={**token, **(headers or {})}
        )

    async def _submits(self, page: str, action: str, fields: Mapping[str, str], record: Request) -> Answer:
        (answer,) = await self._presses(page, action, fields, [record])
        return answer

    async def _presses(
        self, page: str, action: str, fields: Mapping[str, str], records: Sequence[Request]
    ) -> list[Answer]:
        """Open a page and send its form once for each record, or not at all if the page has no form.

        Hidden fields are sent too. Fields that the form doesn't have are left out: a page without test cards
        has no card field.
        """
        shown = await self._send("GET", f"{self._web}{page}", headers=self._headers())
        hidden = dict(HIDDEN.findall(shown.body)) if isinstance(shown.body, str) else {}
        if shown.status != 200 or f'action="{action}' not in str(shown.body):
            return [shown]
        sent = {name: value for name, value in fields.items() if f'name="{name}"' in shown.body}

        async def press(record: Request) -> Answer:
            record.key = hidden.get(LISTING_KEY, "")
            if "token" in fields.keys() - sent.keys():
                record.asked = {"card": ON_STRIPE_PAGE}
            form = aiohttp.FormData({**hidden, **sent}, default_to_multipart=page == "/sell")
            answer = await self._send(
                "POST", f"{self._web}{action}", record, data=form, headers=self._headers()
            )
            _read_redirect(record, answer)
            return answer

        return await asyncio.gather(*map(press, records))

    def _headers(self) -> dict[str, str]:
        """The headers of a browser on this site."""
        headers = {"Sec-Fetch-Site": "same-origin"}
        return {**headers, "Cookie": f"session={self.token}"} if self.token else headers

    async def _send(self, method: str, url: str, record: Request | None = None, **request: Any) -> Answer:
        waits = PAYMENT_SECONDS if record and record.what == "pay" else ANSWER_SECONDS
        if record is not None:
            self.log.requests.append(record)
        answer = Answer()
        try:
            async with self._http.request(
                method, url, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=waits), **request
            ) as got:
                text = await got.text(errors="replace")
                body = json.loads(text) if "json" in got.content_type else text
                cookies = {name: cookie.value for name, cookie in got.cookies.items()}
                answer = Answer(got.status, body, got.headers.get("Location", ""), cookies)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            pass  # a partial answer is treated as no answer
        self.log.answers[answer.status] += 1
        if answer.status == 0 or answer.status >= 500:
            path = urlsplit(url).path
            self.log.failures.append(f"{method} {path}: {answer.status} {answer.value('title')}".rstrip())
        if record is not None and answer.status:
            record.status = answer.status
            if record.is_done:
                _read(record, answer)
        return answer


def _read(record: Request, answer: Answer) -> None:
    if record.what in ("list", "reserve", "pay", "sign up", "sign in"):
        record.made = answer.value("id")
    record.state = answer.value("status")
    if isinstance(answer.body, dict):
        record.version = answer.body.get("version")


def _read_redirect(record: Request, answer: Answer) -> None:
    """Read the outcome from the address to which a form redirects. After a payment, that isn't possible."""
    if answer.status != 303 or record.what == "pay":
        return
    path = answer.location.partition("?")[0]
    if path.startswith("/signin"):
        record.status = 401
        return
    record.status = 201
    if record.what in ("list", "reserve"):
        record.made = path.split("/")[2]
