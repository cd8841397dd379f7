"""One run of a scenario: its users, its random numbers, and how users retry, wait and give up."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.resilience.chaos.client import Answer, Person
from tests.resilience.chaos.history import DECLINED
from tests.support.ticket_files import wallet_pass

TRIES = 4
"""How often users send a request before they give up."""

OUTCOME_SECONDS = 20.0
"""How long users wait for an outcome."""

UNPAID = ("created", "awaiting:payment")

CHECKED = "tok_threeDSecure2Required"
"""A card whose bank asks the buyer for confirmation."""
BANK_PAGE = "/3d_secure/"

T = TypeVar("T")


@dataclass(frozen=True)
class ScenarioRun:
    """The users, random numbers and settings of one run of a scenario."""

    name: str
    """A unique name. It begins the titles of the run's tickets, and is the idempotency key of its listing."""
    rng: random.Random
    sellers: Sequence[Person]
    buyers: list[Person]
    newcomer: Callable[[], Person]
    stripe: str
    """The address of the Stripe sandbox."""
    window: float
    """Seconds to pay."""
    operator: Person
    """The operator, who makes refunds."""
    ended: list[Person] = field(default_factory=list)
    """Users who signed out, with the tokens that they had."""

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

    async def pauses(self, most: float = 1.5) -> None:
        """Wait for a random time, as a person does before the next click."""
        await asyncio.sleep(self.rng.uniform(0, min(most, self.window / 4)))

    async def retries_until_final(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Send a request until the answer is final, at most TRIES times. Each try is recorded separately."""
        answer = await ask()
        for _ in range(TRIES - 1):
            if answer.is_final:
                break
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))
            answer = await ask()
        return answer

    async def polls(self, look: Callable[[], Awaitable[T]]) -> T:
        """Call `look` until its result is true or OUTCOME_SECONDS are over. Return the last result."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + OUTCOME_SECONDS
        while not (seen := await look()):
            if clock.time() > deadline:
                break
            await asyncio.sleep(self.rng.uniform(0.2, 0.8))
        return seen

    async def succeeds(self, do: Callable[[], Awaitable[bool]]) -> bool:
        """Call `do` a few times until it succeeds. Return whether it succeeded."""
        for _ in range(TRIES):
            if await do():
                return True
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))
        return False

    async def joins(self) -> Person | None:
        """Sign up a new user. Each try uses another address. Return None if all tries fail."""
        people: list[Person] = []

        async def tries() -> bool:
            people.append(self.newcomer())
            return await people[-1].signs_up()

        return people[-1] if await self.succeeds(tries) else None

    def replaces_oldest_buyer(self, newcomer: Person) -> None:
        """Let a new user replace the oldest buyer, so that no buyer's list of orders grows without end."""
        self.buyers.append(newcomer)
        del self.buyers[0]

    async def promises_ticket(self, seller: Person) -> str:
        """List a ticket whose seller promises the files. Return its id; an empty string if that fails."""
        price = self.price()
        return (
            await self.retries_until_final(
                lambda: seller.lists_ticket(self.name, price, self.name, promised=True)
            )
        ).value("id")

    async def uploads(self, seller: Person, ticket: str) -> bool:
        """Upload the only file of a ticket: a small pass with a barcode that no other has."""
        content = wallet_pass(f"{self.name} for {ticket}")
        return (await self.retries_until_final(lambda: seller.uploads(ticket, content))).status == 201

    async def lists_ticket(self, seller: Person) -> str:
        """List a ticket and return its id; an empty string if that fails. Retries use one idempotency key."""
        if self.by_form:
            (answer,) = await seller.lists_ticket_by_form(self.name, self.price())
            return ticket_at(answer)
        price = self.price()
        return (
            await self.retries_until_final(lambda: seller.lists_ticket(self.name, price, self.name))
        ).value("id")

    async def reserves(self, buyer: Person, ticket: str) -> str:
        """Reserve a ticket and return the order's id; an empty string if the ticket is not available."""
        by_form, in_doubt = self.by_form, False
        for _ in range(TRIES):
            answer = await (buyer.reserves_by_form(ticket) if by_form else buyer.reserves(ticket))
            if answer.status == 201:
                return answer.value("id")
            if answer.location.startswith("/orders/"):
                return answer.location.split("/")[2]
            in_doubt = in_doubt or not answer.is_final
            if in_doubt and (order := await buyer.order_of(ticket)):
                return order
            if answer.is_final:
                break
            await asyncio.sleep(self.rng.uniform(0.3, 1.5))
        return ""

    async def asks_to_pay(self, buyer: Person, order: str, card: str = "tok_visa") -> Answer:
        """Pay with a card token, or get the address of Stripe's page, depending on PAYMENT_PAGE."""
        pay = buyer.pays_by_form if self.by_form else buyer.pays
        return await self.retries_until_final(lambda: pay(order, card))

    async def pays(self, buyer: Person, order: str, card: str = "tok_visa") -> Answer:
        """Pay with a card token or on Stripe's page, and return the last answer."""
        answer = await self.asks_to_pay(buyer, order, card)
        return await self.pays_on_page(buyer, order, answer, card) if answer.payment_page else answer

    async def pays_on_page(
        self, buyer: Person, order: str, answer: Answer, card: str = "tok_visa", *, comes_back: bool = True
    ) -> Answer:
        """Pay on Stripe's page, whose address is in `answer`."""
        address = f"{self.stripe}{urlsplit(answer.payment_page).path}"
        used = card_on_page(card)
        await self.pauses()
        paid = await self.retries_until_final(lambda: buyer.submits_page(address, order, used))
        if comes_back and (query := urlsplit(paid.location).query):
            await buyer.comes_back(order, query)
        return paid

    async def reserves_new_ticket(self) -> tuple[Person, str]:
        """A buyer who has reserved a new ticket; the order is empty if reserving fails for too long."""
        buyer = self.buyer
        ticket = await self.lists_ticket(self.seller)
        if not ticket:
            return buyer, ""
        order = await self.reserves(buyer, ticket)
        await self.pauses()
        return buyer, order

    async def pays_and_waits(self, buyer: Person, order: str, card: str = "tok_visa") -> None:
        """Pay, and poll the order until it is complete or cancelled, unless the payment was refused."""
        if not (await self.pays(buyer, order, card)).is_refused:
            await self.waits_for_final_status(buyer, order)

    async def waits_for_final_status(self, buyer: Person, order: str) -> None:
        """Poll the order until it is complete, cancelled or refunded."""

        async def over() -> bool:
            return (await buyer.order(order)).value("status") not in ("", *UNPAID)

        await self.polls(over)

    async def answers_bank(self, buyer: Person, order: str, answer: str, paid: Answer) -> None:
        """Answer on the bank's page. Its address is in the response `paid`, or the payment shows it later."""

        async def page() -> str:
            if BANK_PAGE in paid.location:
                return paid.location
            known = await buyer.payment(order)
            return known.get("actionUrl") or (known.get("status", "pending") != "pending" and "over") or ""

        if (asked := await self.polls(page)) not in ("", "over"):
            await buyer.answers_bank(f"{self.stripe}{urlsplit(asked).path}", answer)
            await buyer.comes_back(order, "payment_intent=back")


Scenario = Callable[[ScenarioRun], Awaitable[None]]
Payment = Callable[[ScenarioRun, Person, str], Awaitable[None]]


def with_an_order(scenario: Payment) -> Scenario:
    """A scenario that begins with a reservation, and ends at once if reserving fails."""

    async def starts(run: ScenarioRun) -> None:
        buyer, order = await run.reserves_new_ticket()
        if order:
            await scenario(run, buyer, order)

    starts.__name__ = getattr(scenario, "__name__", "")
    return starts


def card_on_page(card: str) -> str:
    """The test card on Stripe's page with the same outcome. The page offers only a few cards."""
    if card in DECLINED:
        return DECLINED[0]
    return card if card == CHECKED else "tok_visa"


def ticket_at(answer: Answer) -> str:
    """The id of the ticket to which a form redirects."""
    return answer.location.split("/")[2] if answer.location.startswith("/tickets/") else ""


async def gather(doings: Iterable[Awaitable[T]]) -> list[T]:
    """Run all concurrently and wait until all have ended, even if one fails."""
    outcomes: list[Any] = await asyncio.gather(*doings, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes
