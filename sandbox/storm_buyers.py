"""Who buys in a storm, and how: patiently, twice at once, with bad cards, or not in the end."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from sandbox.storm_market import Market
from streams import refund

AWAY = (0, 404, 429, 502, 503)
"""Answers after which one tries again; 0 is none at all, 404 that a service hasn't heard of something yet."""

PATIENCE_SECONDS = 30.0
"""For news to arrive while everything is being killed."""
POLL_SECONDS = 0.8
THINKING_SECONDS = 4.0
"""At most, between reserving and paying."""


@dataclass
class Tally:
    """What was counted."""

    answers: Counter[int] = field(default_factory=Counter)
    """Requests by the status of their answer."""
    payments: int = 0
    """Requests to pay that were answered, for good or bad."""
    over: bool = False
    """Nobody buys any more."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def pays(self) -> None:
        self.payments += 1
        self._changed.set()

    def ends(self) -> None:
        self.over = True
        self._changed.set()

    async def until_paid(self, times: int) -> bool:
        """Wait for so many answers to requests to pay; False if buying ends before that."""
        while self.payments < times and not self.over:
            self._changed.clear()
            await self._changed.wait()
        return not self.over


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    http: aiohttp.ClientSession
    web: str
    token: str
    tally: Tally

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Status and body of the answer; 0 and None if there was none."""
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            async with self.http.request(method, f"{self.web}{path}", json=body, headers=headers) as answer:
                status, told = answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            status, told = 0, None
        self.tally.answers[status] += 1
        return status, told

    async def insists(
        self, rng: random.Random, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, Any]:
        """Ask again while a service is away, as people do."""
        clock = asyncio.get_running_loop()
        deadline, pause = clock.time() + PATIENCE_SECONDS, 0.5
        while True:
            status, told = await self.ask(method, path, body)
            if status not in AWAY or clock.time() > deadline:
                return status, told
            await asyncio.sleep(pause * rng.uniform(0.5, 1.5))
            pause = min(2 * pause, 4.0)


async def sign_up(http: aiohttp.ClientSession, web: str, tally: Tally) -> Person:
    account = {"email": f"{token_hex(8)}@example.com", "password": token_hex(12)}
    async with http.post(f"{web}/api/users/signup", json=account) as answer:
        answer.raise_for_status()
        return Person(http, web, answer.cookies["session"].value, tally)


@dataclass(frozen=True)
class Purchase:
    """One attempt of a buyer to get a ticket."""

    buyer: Person
    market: Market
    rng: random.Random
    tickets: Sequence[str]
    """By preference."""

    async def reserve(self) -> str | None:
        """The id of the order of the first ticket that can be had, after looking for one's purse."""
        for ticket in self.tickets:
            status, order = await self.buyer.insists(self.rng, "POST", "/api/orders", {"ticketId": ticket})
            if status == 201:
                await asyncio.sleep(self.rng.uniform(0, THINKING_SECONDS))
                return str(order["id"])
        return None

    async def pay(self, order: str, token: str = "tok_visa") -> int:  # noqa: S107 - a public test token
        status, _ = await self.buyer.insists(
            self.rng, "POST", "/api/payments", {"orderId": order, "token": token}
        )
        if status in (201, 402):
            self.buyer.tally.pays()
        return status

    async def cancel(self, order: str) -> None:
        await asyncio.sleep(self.rng.expovariate(1.0))
        await self.buyer.insists(self.rng, "DELETE", f"/api/orders/{order}")

    async def payment(self, order: str) -> dict[str, Any]:
        _, found = await self.buyer.ask("GET", f"/api/payments?orderId={order}")
        return dict(found[0]) if isinstance(found, list) and found else {}

    async def until(self, look: Callable[[], Awaitable[Any]]) -> Any:
        """What is looked for, or None if it doesn't come about."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + PATIENCE_SECONDS
        while True:
            seen = await look()
            if seen or clock.time() > deadline:
                return seen
            await asyncio.sleep(POLL_SECONDS * self.rng.uniform(0.5, 1.5))

    async def answer_bank(self, order: str, answer: str) -> None:
        """On the page of the bank, once payments knows where that is."""

        async def asked() -> str | None:
            known = await self.payment(order)
            return known.get("actionUrl") or (known.get("status") not in (None, "pending") and "over") or None

        page = await self.until(asked)
        if page and page != "over":
            address = self.market.stripe + urlsplit(page).path
            try:
                async with self.buyer.http.post(
                    address, data={"answer": answer}, allow_redirects=False
                ) as told:
                    self.buyer.tally.answers[told.status] += 1
            except (aiohttp.ClientError, TimeoutError):
                self.buyer.tally.answers[0] += 1
            await self.payment(order)  # as the page that the buyer comes back to does

    async def give_back(self, order: str) -> None:
        """An operator does, once payments has the money."""

        async def captured() -> bool:
            return (await self.payment(order)).get("status") not in (None, "pending", "authorized")

        await self.until(captured)
        relist = self.rng.random() < 0.5
        for _ in range(5):
            try:
                await refund.ask(self.buyer.http, self.market.settings, order, relist=relist)
            except refund.NotRefunded:
                await asyncio.sleep(self.rng.uniform(0.3, 1.0))
            else:
                return


async def pays(purchase: Purchase, order: str) -> None:
    await purchase.pay(order)


async def pays_more_than_once(purchase: Purchase, order: str) -> None:
    await asyncio.gather(*(purchase.pay(order) for _ in range(purchase.rng.randint(2, 4))))


async def is_declined_first(purchase: Purchase, order: str) -> None:
    bad = ("tok_chargeDeclined", "tok_chargeDeclinedInsufficientFunds", "tok_visa_chargeDeclinedExpiredCard")
    for token in purchase.rng.sample(bad, purchase.rng.randint(1, 2)):
        await purchase.pay(order, token)
    await purchase.pay(order)


async def gives_up_after_a_decline(purchase: Purchase, order: str) -> None:
    await purchase.pay(order, "tok_chargeDeclined")


async def approves_at_the_bank(purchase: Purchase, order: str) -> None:
    await purchase.pay(order, "tok_threeDSecure2Required")
    await purchase.answer_bank(order, "approve")


async def refuses_at_the_bank(purchase: Purchase, order: str) -> None:
    await purchase.pay(order, "tok_threeDSecure2Required")
    await purchase.answer_bank(order, "refuse")
    if purchase.rng.random() < 0.5:
        await purchase.pay(order)


async def leaves_the_bank_waiting(purchase: Purchase, order: str) -> None:
    await purchase.pay(order, "tok_threeDSecure2Required")


async def cancels_while_paying(purchase: Purchase, order: str) -> None:
    token = purchase.rng.choice(("tok_visa", "tok_visa", "tok_threeDSecure2Required", "tok_chargeDeclined"))
    await asyncio.gather(purchase.pay(order, token), purchase.cancel(order))


async def cancels_at_the_bank(purchase: Purchase, order: str) -> None:
    await purchase.pay(order, "tok_threeDSecure2Required")
    await asyncio.gather(purchase.answer_bank(order, "approve"), purchase.cancel(order))


async def cancels(purchase: Purchase, order: str) -> None:
    await purchase.cancel(order)


async def walks_away(_: Purchase, __: str) -> None:
    """The reservation expires."""


async def is_refunded(purchase: Purchase, order: str) -> None:
    await purchase.pay(order)
    await asyncio.gather(*(purchase.give_back(order) for _ in range(purchase.rng.randint(1, 3))))


async def has_a_card_with_which_something_goes_wrong(purchase: Purchase, order: str) -> None:
    kind = purchase.rng.choice(("rate_limit", "server_error", "slow", "lost"))
    await purchase.pay(order, f"tok_fault_{kind}")


Story = Callable[[Purchase, str], Awaitable[None]]

STORIES: dict[Story, int] = {
    pays: 24,
    pays_more_than_once: 14,
    is_declined_first: 10,
    gives_up_after_a_decline: 3,
    approves_at_the_bank: 9,
    refuses_at_the_bank: 5,
    leaves_the_bank_waiting: 4,
    has_a_card_with_which_something_goes_wrong: 8,
    cancels_while_paying: 12,
    cancels_at_the_bank: 4,
    cancels: 2,
    walks_away: 4,
    is_refunded: 9,
}
"""With how often each is told, in relation to the others."""


def name_of(story: Story) -> str:
    return getattr(story, "__name__", "").replace("_", " ")
