"""Ordinary visitors, who sign in, buy tickets and upload pictures, each from a network of their own."""

import asyncio
import io
import random
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from PIL import Image

from tests.support.people import PASSWORD, random_word

Kind = str
RATES: dict[Kind, float] = {"sign-in": 1.0, "purchase": 0.5, "upload": 0.5}
"""Visits per second."""

PEOPLE = 12


class Refused(Exception):
    """A request of a visitor wasn't answered as expected."""


def address() -> str:
    """A global IPv4 address, most likely in a network that nobody else uses."""
    return f"9.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"  # noqa: S311


@dataclass
class Visitor:
    http: aiohttp.ClientSession
    web: str
    email: str = field(default_factory=lambda: f"{secrets.token_hex(8)}@example.com")
    address: str = field(default_factory=address)
    session: str = ""
    device: str = ""
    """The cookie of a browser in which the visitor has signed in before."""

    async def asks(self, method: str, path: str, *expected: int, **request: Any) -> Any:
        """Send a request as a browser at this visitor's address does.

        Raises:
            Refused: the answer hasn't one of the expected statuses.
        """
        headers = {"X-Forwarded-For": self.address, **request.pop("headers", {})}
        if self.session:
            headers["Authorization"] = f"Bearer {self.session}"
        if self.device:
            headers["Cookie"] = f"device={self.device}"
        async with self.http.request(method, self.web + path, headers=headers, **request) as answer:
            if answer.status not in expected:
                raise Refused(f"{method} {path}: {answer.status} {(await answer.text())[:200]}")
            for name in ("session", "device"):
                if name in answer.cookies:
                    setattr(self, name, answer.cookies[name].value)
            is_json = answer.content_type == "application/json"
            return await answer.json() if is_json else await answer.read()

    async def signs_up(self) -> None:
        account = {"email": self.email, "password": PASSWORD}
        await self.asks("POST", "/api/users/signup", 201, json=account)

    async def signs_in(self) -> None:
        account = {"email": self.email, "password": PASSWORD}
        await self.asks("POST", "/api/users/signin", 200, json=account)

    async def lists_ticket(self) -> str:
        ticket = {"title": f"Low Roar {random_word()}", "price": 19.99}
        listed: str = (await self.asks("POST", "/api/tickets", 201, json=ticket))["id"]
        return listed

    async def buys(self, ticket: str) -> None:
        order = (await self.asks("POST", "/api/orders", 201, json={"ticketId": ticket}))["id"]
        await self.asks("POST", "/api/payments", 201, json={"orderId": order, "token": "tok_visa"})

    async def uploads(self, ticket: str, picture: bytes) -> None:
        path = f"/api/tickets/{ticket}/picture"
        await self.asks("PUT", path, 200, data=picture, headers={"Content-Type": "image/jpeg"})


@dataclass
class Crowd:
    """The visitors, and how long each visit took."""

    sellers: list[Visitor]
    buyers: list[Visitor]
    picture: bytes
    seconds: dict[Kind, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[Kind, list[str]] = field(default_factory=lambda: defaultdict(list))

    async def visit(self, duration: float) -> None:
        """Begin visits at the usual rates without waiting for earlier ones, and then wait for all."""
        self.seconds.clear()
        self.failures.clear()
        acts: dict[Kind, Callable[[], Awaitable[None]]] = {
            "sign-in": self._signs_in,
            "purchase": self._buys,
            "upload": self._uploads,
        }
        async with asyncio.TaskGroup() as visits:
            for kind, act in acts.items():
                visits.create_task(self._repeat(kind, act, duration, visits))

    async def _repeat(
        self, kind: Kind, act: Callable[[], Awaitable[None]], duration: float, visits: asyncio.TaskGroup
    ) -> None:
        began = time.monotonic()
        for number in range(round(RATES[kind] * duration)):
            await asyncio.sleep(began + number / RATES[kind] - time.monotonic())
            visits.create_task(self._measure(kind, act))

    async def _measure(self, kind: Kind, act: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        try:
            await act()
        except (Refused, aiohttp.ClientError, TimeoutError) as error:
            self.failures[kind].append(repr(error))
        else:
            self.seconds[kind].append(time.monotonic() - began)

    async def _signs_in(self) -> None:
        await random.choice(self.buyers).signs_in()  # noqa: S311

    async def _buys(self) -> None:
        ticket = await random.choice(self.sellers).lists_ticket()  # noqa: S311
        await random.choice(self.buyers).buys(ticket)  # noqa: S311

    async def _uploads(self) -> None:
        # One after the other, because a seller uploads one picture at a time.
        seller = self.sellers.pop(0)
        self.sellers.append(seller)
        await seller.uploads(await seller.lists_ticket(), self.picture)


async def crowd(http: aiohttp.ClientSession, web: str) -> Crowd:
    """Visitors who have signed up."""
    people = [Visitor(http, web) for _ in range(PEOPLE)]
    for person in people:
        await person.signs_up()  # one after the other, because hashing takes time
    return Crowd(people[: PEOPLE // 2], people[PEOPLE // 2 :], await asyncio.to_thread(_photo))


def _photo() -> bytes:
    """A photograph as a phone takes it, but smaller."""
    noise = Image.effect_noise((1600, 1200), 40).convert("RGB")
    encoded = io.BytesIO()
    noise.save(encoded, "JPEG", quality=80)
    return encoded.getvalue()
