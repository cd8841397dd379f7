"""Somebody with a browser: asks over HTTP, by the API or the forms of pages, and notes every answer."""

import asyncio
import json
import re
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from tests.chaos.history import Request
from web.services import sent_once

ANSWER_SECONDS = 20.0
PAYMENT_SECONDS = 40.0
"""Longer than the web tier waits for an answer."""

OFFER_KEY = "offer"
"""The hidden field of a form that makes an offer once, however often the form is sent."""
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@dataclass
class Notes:
    """What all of them asked and were told."""

    requests: list[Request] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    """By status, 0 for none."""
    _shown: set[tuple[str, str, int | None, str]] = field(default_factory=set)

    def show(self, user: str, thing: Mapping[str, Any]) -> None:
        """Somebody sees a state of something. To see it again says nothing new."""
        shown = (user, thing["id"], thing.get("version"), thing["status"])
        if shown not in self._shown:
            self._shown.add(shown)
            _, about, version, told = shown
            self.requests.append(Request("look", user, about, 200, version=version, told=told))


@dataclass(frozen=True)
class Answer:
    status: int = 0
    """0: there was none."""
    body: Any = None
    """Of JSON, what it says; else the text."""
    location: str = ""
    cookies: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether asking again makes no sense. 404 may mean that a service hasn't heard of something yet."""
        return self.status not in (0, 404, 429) and self.status < 500

    @property
    def is_refused(self) -> bool:
        return self.is_final and self.status >= 400

    def said(self, name: str) -> str:
        return str(self.body.get(name) or "") if isinstance(self.body, dict) else ""


def browser() -> aiohttp.ClientSession:
    """For all of them: they keep their cookies themselves. One note never stands for two requests."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[sent_once],
    )


class Person:
    """Somebody who is signed in, or about to."""

    def __init__(self, http: aiohttp.ClientSession, web: str, notes: Notes, email: str) -> None:
        self.email = email
        self.password = f"the password of {email}"
        self.id = ""
        self.token = ""
        self._csrf = ""
        self._http = http
        self._web = web
        self.notes = notes

    @property
    def session(self) -> str:
        """The id of the session, which its token names."""
        claims = self.token.split(".")[1]
        return str(json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sid"])

    async def signs_up(self) -> bool:
        return await self._begins("sign up", "/api/users/signup")

    async def signs_in(self) -> bool:
        return await self._begins("sign in", "/api/users/signin")

    async def _begins(self, what: Any, path: str) -> bool:
        account = {"email": self.email, "password": self.password}
        note = Request(what, self.email)
        answer = await self._ask("POST", path, account, note)
        if token := answer.cookies.get("session"):
            self.id, self.token = answer.said("id"), token
            note.session = self.session
        return bool(token)

    async def signs_out(self) -> Answer:
        return await self._ask("POST", "/api/users/signout", {}, Request("sign out", self.id, self.session))

    async def uses_an_ended_session(self) -> Answer:
        note = Request("use an ended session", self.id, self.session)
        return await self._ask("GET", "/api/orders", note=note)

    async def offers(self, title: str, price: str, key: str = "") -> Answer:
        note = Request("offer", self.id, asked={"title": title, "price": price}, key=key)
        headers = {"Idempotency-Key": key} if key else {}
        return await self._ask("POST", "/api/tickets", {"title": title, "price": price}, note, headers)

    async def offers_by_form(self, title: str, price: str, presses: int = 1) -> list[Answer]:
        """Pressing the button several times at once is one offer: the form has a key of its own."""
        notes = [
            Request("offer", self.id, asked={"title": title, "price": price}, form=True)
            for _ in range(presses)
        ]
        fields = {"title": title, "price": price, "quantity": "1"}
        return await self._presses("/sell", "/sell", fields, notes)

    async def edits(self, ticket: str, title: str, price: str) -> Answer:
        note = Request("edit", self.id, ticket, asked={"title": title, "price": price})
        return await self._ask("PUT", f"/api/tickets/{ticket}", {"title": title, "price": price}, note)

    async def edits_by_form(self, ticket: str, title: str, price: str) -> Answer:
        note = Request("edit", self.id, ticket, asked={"title": title, "price": price}, form=True)
        form = f"/tickets/{ticket}/edit"
        return await self._submits(form, form, {"title": title, "price": price, "quantity": "1"}, note)

    async def withdraws(self, ticket: str) -> Answer:
        return await self._ask("DELETE", f"/api/tickets/{ticket}", note=Request("withdraw", self.id, ticket))

    async def withdraws_by_form(self, ticket: str) -> Answer:
        form = f"/tickets/{ticket}/withdraw"
        return await self._submits(form, form, {}, Request("withdraw", self.id, ticket, form=True))

    async def reserves(self, ticket: str) -> Answer:
        note = Request("reserve", self.id, ticket)
        return await self._ask("POST", "/api/orders", {"ticketId": ticket}, note)

    async def reserves_by_form(self, ticket: str) -> Answer:
        note = Request("reserve", self.id, ticket, form=True)
        return await self._submits(f"/tickets/{ticket}", f"/tickets/{ticket}/buy", {}, note)

    async def asks_for_more_time(self, order: str) -> Answer:
        return await self._ask("POST", f"/api/orders/{order}/extend", {}, Request("extend", self.id, order))

    async def cancels(self, order: str) -> Answer:
        return await self._ask("DELETE", f"/api/orders/{order}", note=Request("cancel", self.id, order))

    async def cancels_by_form(self, order: str) -> Answer:
        note = Request("cancel", self.id, order, form=True)
        return await self._submits(f"/orders/{order}", f"/orders/{order}/cancel", {}, note)

    async def pays(self, order: str, card: str = "tok_visa") -> Answer:
        note = Request("pay", self.id, order, asked={"card": card})
        return await self._ask("POST", "/api/payments", {"orderId": order, "token": card}, note)

    async def pays_by_form(self, order: str, card: str = "tok_visa") -> Answer:
        note = Request("pay", self.id, order, asked={"card": card}, form=True)
        form = f"/orders/{order}?step=pay"
        return await self._submits(form, f"/orders/{order}/pay", {"token": card}, note)

    async def refunds(self, order: str, *, relist: bool) -> Answer:
        """As an operator, who asks payments itself."""
        note = Request("refund", self.id, order, asked={"relist": relist})
        return await self._ask("POST", "/api/payments/refunds", {"orderId": order, "relist": relist}, note)

    async def opens(self, path: str) -> Answer:
        """A page, or what the API tells of something. States that it shows are noted."""
        answer = await self._ask("GET", path)
        shown = answer.body if isinstance(answer.body, list) else [answer.body]
        for thing in shown if answer.status == 200 else []:
            if isinstance(thing, dict) and {"id", "status"} <= thing.keys():
                self.notes.show(self.id, thing)
        return answer

    async def order(self, order: str) -> Answer:
        return await self.opens(f"/api/orders/{order}")

    async def order_of(self, ticket: str) -> str:
        """An unpaid order of theirs, if they have one: for who doesn't know whether reserving worked."""
        orders = (await self.opens("/api/orders")).body
        for order in orders if isinstance(orders, list) else []:
            if order["ticket"]["id"] == ticket and order["status"] in ("created", "awaiting:payment"):
                return str(order["id"])
        return ""

    async def lets_go(self, latest: datetime) -> None:
        """Cancel each unpaid order of theirs that would be held for longer than that."""
        orders = (await self.opens("/api/orders")).body
        for order in orders if isinstance(orders, list) else []:
            unpaid = order["status"] in ("created", "awaiting:payment")
            if unpaid and datetime.fromisoformat(order["expiresAt"]) > latest:
                await self.cancels(str(order["id"]))

    async def payment(self, order: str) -> dict[str, Any]:
        found = (await self.opens(f"/api/payments?orderId={order}")).body
        return dict(found[0]) if isinstance(found, list) and found else {}

    async def answers_bank(self, page: str, answer: str) -> None:
        await self._send("POST", page, data={"answer": answer})

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        note: Request | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return await self._send(
            method, f"{self._web}{path}", note, json=body, headers={**token, **(headers or {})}
        )

    async def _submits(self, page: str, action: str, fields: Mapping[str, str], note: Request) -> Answer:
        (answer,) = await self._presses(page, action, fields, [note])
        return answer

    async def _presses(
        self, page: str, action: str, fields: Mapping[str, str], notes: Sequence[Request]
    ) -> list[Answer]:
        """Open a page and send its form with what is hidden in it. If there is none, nothing is sent."""
        shown = await self._send("GET", f"{self._web}{page}", headers=self._cookies())
        self._csrf = shown.cookies.get("csrf", self._csrf)
        hidden = dict(HIDDEN.findall(shown.body)) if isinstance(shown.body, str) else {}
        if shown.status != 200 or "_csrf_token" not in hidden:
            return [shown]

        async def press(note: Request) -> Answer:
            note.key = hidden.get(OFFER_KEY, "")
            form = aiohttp.FormData({**hidden, **fields}, default_to_multipart=page == "/sell")
            answer = await self._send(
                "POST", f"{self._web}{action}", note, data=form, headers=self._cookies()
            )
            _read_redirect(note, answer)
            return answer

        return await asyncio.gather(*map(press, notes))

    def _cookies(self) -> dict[str, str]:
        kept = {"session": self.token, "csrf": self._csrf}
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in kept.items() if value)}

    async def _send(self, method: str, url: str, note: Request | None = None, **request: Any) -> Answer:
        waits = PAYMENT_SECONDS if note and note.what == "pay" else ANSWER_SECONDS
        if note is not None:
            self.notes.requests.append(note)
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
            pass  # half an answer is none
        self.notes.answers[answer.status] += 1
        if note is not None and answer.status:
            note.status = answer.status
            if note.is_done:
                _read(note, answer)
        return answer


def _read(note: Request, answer: Answer) -> None:
    if note.what in ("offer", "reserve", "pay", "sign up", "sign in"):
        note.made = answer.said("id")
    note.told = answer.said("status")
    if isinstance(answer.body, dict):
        note.version = answer.body.get("version")


def _read_redirect(note: Request, answer: Answer) -> None:
    """Forms answer with the address of what came of it. Only of a payment it isn't known by that."""
    if answer.status != 303 or note.what == "pay":
        return
    path = answer.location.partition("?")[0]
    if path.startswith("/signin"):
        note.status = 401
        return
    note.status = 201
    if note.what in ("offer", "reserve"):
        note.made = path.split("/")[2]
