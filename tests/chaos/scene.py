"""Where a story is told, and how people go about things: they try again, look what became of it, give up."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.chaos.client import Answer, Person

TRIES = 4
"""How often people ask before they give up."""

PATIENCE_SECONDS = 20.0
"""For an outcome to show."""

UNPAID = ("created", "awaiting:payment")

T = TypeVar("T")


@dataclass(frozen=True)
class Scene:
    """Where one story is told."""

    name: str
    """No other story has it. Begins the titles of its tickets, and is the key of its offer."""
    rng: random.Random
    sellers: Sequence[Person]
    buyers: list[Person]
    newcomer: Callable[[], Person]
    stripe: str
    window: float
    """Seconds to pay."""
    operator: Person
    """Who may give people their money back."""
    ended: list[Person] = field(default_factory=list)
    """Who signed out, with the tokens that they had."""

    @property
    def buyer(self) -> Person:
        return self.rng.choice(self.buyers)

    @property
    def seller(self) -> Person:
        return self.rng.choice(self.sellers)

    @property
    def by_form(self) -> bool:
        return self.rng.random() < 0.3

    def price(self) -> str:
        return f"{self.rng.randint(100, 20_000) / 100:.2f}"

    async def thinks(self, most: float = 1.5) -> None:
        await asyncio.sleep(self.rng.uniform(0, min(most, self.window / 4)))

    async def insists(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask again while nothing answers, or what answers is away; each time is a request of its own."""
        answer = await ask()
        for _ in range(TRIES - 1):
            if answer.is_final:
                break
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))
            answer = await ask()
        return answer

    async def until(self, look: Callable[[], Awaitable[T]]) -> T:
        """What is looked for, or what was seen last."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + PATIENCE_SECONDS
        while not (seen := await look()):
            if clock.time() > deadline:
                break
            await asyncio.sleep(self.rng.uniform(0.2, 0.8))
        return seen

    async def succeeds(self, do: Callable[[], Awaitable[bool]]) -> bool:
        """Whether it did, for who tries again."""
        for _ in range(TRIES):
            if await do():
                return True
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))
        return False

    async def joins(self) -> Person | None:
        """Somebody new, unless signing up fails for too long. Each try is another's."""
        people: list[Person] = []

        async def tries() -> bool:
            people.append(self.newcomer())
            return await people[-1].signs_up()

        return people[-1] if await self.succeeds(tries) else None

    def stays(self, newcomer: Person) -> None:
        """Among the buyers, in the place of who was there longest: no list of orders grows without end."""
        self.buyers.append(newcomer)
        del self.buyers[0]

    async def lists(self, seller: Person) -> str:
        """A ticket of the seller's; empty if that couldn't be done. Trying again is safe under one key."""
        if self.by_form:
            (answer,) = await seller.offers_by_form(self.name, self.price())
            return ticket_at(answer)
        price = self.price()
        return (await self.insists(lambda: seller.offers(self.name, price, self.name))).said("id")

    async def reserves(self, buyer: Person, ticket: str) -> str:
        """An order of the buyer's; empty if the ticket isn't to be had."""
        by_form, in_doubt = self.by_form, False
        for _ in range(TRIES):
            answer = await (buyer.reserves_by_form(ticket) if by_form else buyer.reserves(ticket))
            if answer.status == 201:
                return answer.said("id")
            if answer.location.startswith("/orders/"):
                return answer.location.split("/")[2]
            in_doubt = in_doubt or not answer.is_final
            if in_doubt and (order := await buyer.order_of(ticket)):
                return order
            if answer.is_final:
                break
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))
        return ""

    async def pays(self, buyer: Person, order: str, card: str = "tok_visa") -> Answer:
        pay = buyer.pays_by_form if self.by_form else buyer.pays
        return await self.insists(lambda: pay(order, card))

    async def has_an_order(self) -> tuple[Person, str]:
        """A buyer with an order of a new ticket; the order is empty if something is away for too long."""
        buyer = self.buyer
        ticket = await self.lists(self.seller)
        if not ticket:
            return buyer, ""
        order = await self.reserves(buyer, ticket)
        await self.thinks()
        return buyer, order

    async def pays_for_good(self, buyer: Person, order: str, card: str = "tok_visa") -> None:
        """And looks at the order until it is owned or over, unless paying was refused."""
        if not (await self.pays(buyer, order, card)).is_refused:
            await self.waits_for_the_end(buyer, order)

    async def waits_for_the_end(self, buyer: Person, order: str) -> None:

        async def over() -> bool:
            return (await buyer.order(order)).said("status") not in ("", *UNPAID)

        await self.until(over)

    async def answers_bank(self, buyer: Person, order: str, answer: str) -> None:
        """On the page of the bank, once payments knows where that is."""

        async def page() -> str:
            known = await buyer.payment(order)
            return known.get("actionUrl") or (known.get("status", "pending") != "pending" and "over") or ""

        if (asked := await self.until(page)) not in ("", "over"):
            await buyer.answers_bank(f"{self.stripe}{urlsplit(asked).path}", answer)
            await buyer.opens(f"/orders/{order}?payment_intent=back")


def ticket_at(answer: Answer) -> str:
    """The ticket that a form leads to."""
    return answer.location.split("/")[2] if answer.location.startswith("/tickets/") else ""


async def gather(doings: Iterable[Awaitable[T]]) -> list[T]:
    """At once; all of them end, also where one fails."""
    outcomes: list[Any] = await asyncio.gather(*doings, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
