"""What buyers and sellers do on a marketplace, each story about a ticket of its own."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.chaos.client import Answer, Person
from tests.chaos.history import DECLINED

TRIES = 4
"""How often people ask before they give up."""

PATIENCE_SECONDS = 20.0
"""For an outcome to show."""

CHECKED = "tok_threeDSecure2Required"
"""Its bank asks whether it is the buyer who pays."""
TROUBLED = ("tok_fault_rate_limit", "tok_fault_server_error", "tok_fault_slow", "tok_fault_lost")

UNPAID = ("created", "awaiting:payment")

T = TypeVar("T")


@dataclass(frozen=True)
class Scene:
    """Where one story is told."""

    name: str
    """No other story has it. Begins the titles of its tickets, and is the key of its offer."""
    rng: random.Random
    sellers: Sequence[Person]
    buyers: Sequence[Person]
    newcomer: Callable[[], Person]
    stripe: str
    window: float
    """Seconds to pay."""
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

    async def lists(self, seller: Person) -> str:
        """A ticket of the seller's; empty if that couldn't be done. Trying again is safe under one key."""
        if self.by_form:
            answer = await seller.offers_by_form(self.name, self.price())
            return answer.location.split("/")[2] if answer.location.startswith("/tickets/") else ""
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


Story = Callable[[Scene], Awaitable[None]]
Paying = Callable[[Scene, Person, str], Awaitable[None]]


def with_an_order(story: Paying) -> Story:
    """A story that begins with an order, and ends if there is none."""

    async def told(scene: Scene) -> None:
        buyer, order = await scene.has_an_order()
        if order:
            await story(scene, buyer, order)

    told.__name__ = getattr(story, "__name__", "")
    return told


@with_an_order
async def buys(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays_for_good(buyer, order)
    await buyer.opens("/api/orders")


async def presses_twice(scene: Scene) -> None:
    """Two to four times at once, to list, to reserve and to pay."""
    buyer, seller, times, price = scene.buyer, scene.seller, scene.rng.randint(2, 4), scene.price()
    offers = await gather(seller.offers(scene.name, price, scene.name) for _ in range(times))
    ticket = next((said for offer in offers if (said := offer.said("id"))), "")
    if not ticket:
        return
    reserve = buyer.reserves_by_form if scene.by_form else buyer.reserves
    await gather(reserve(ticket) for _ in range(times))
    if order := await buyer.order_of(ticket):
        pay = buyer.pays_by_form if scene.by_form else buyer.pays
        await gather(pay(order) for _ in range(times))
        await scene.waits_for_the_end(buyer, order)


@with_an_order
async def is_declined_first(scene: Scene, buyer: Person, order: str) -> None:
    for card in scene.rng.sample(DECLINED, scene.rng.randint(1, 2)):
        await scene.pays(buyer, order, card)
    await scene.pays_for_good(buyer, order)


@with_an_order
async def gives_up_after_a_decline(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays(buyer, order, scene.rng.choice(DECLINED))


@with_an_order
async def approves_at_the_bank(scene: Scene, buyer: Person, order: str) -> None:
    if not (await scene.pays(buyer, order, CHECKED)).is_refused:
        await scene.answers_bank(buyer, order, "approve")
        await scene.waits_for_the_end(buyer, order)


@with_an_order
async def refuses_at_the_bank(scene: Scene, buyer: Person, order: str) -> None:
    if not (await scene.pays(buyer, order, CHECKED)).is_refused:
        await scene.answers_bank(buyer, order, "refuse")
        if scene.rng.random() < 0.5:
            await scene.pays(buyer, order)


@with_an_order
async def leaves_the_bank_waiting(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays(buyer, order, CHECKED)


@with_an_order
async def has_a_card_with_which_something_goes_wrong(scene: Scene, buyer: Person, order: str) -> None:
    await scene.pays_for_good(buyer, order, scene.rng.choice(TROUBLED))


@with_an_order
async def cancels(scene: Scene, buyer: Person, order: str) -> None:
    cancel = buyer.cancels_by_form if scene.by_form else buyer.cancels
    await scene.insists(lambda: cancel(order))
    await buyer.order(order)


@with_an_order
async def cancels_while_paying(scene: Scene, buyer: Person, order: str) -> None:
    card = scene.rng.choice(("tok_visa", "tok_visa", CHECKED, DECLINED[0]))
    moment = scene.rng.expovariate(4)

    async def cancel() -> Answer:
        await asyncio.sleep(moment)
        return await scene.insists(lambda: buyer.cancels(order))

    paid, _ = await gather([scene.pays(buyer, order, card), cancel()])
    if card == CHECKED and not paid.is_refused:
        await scene.answers_bank(buyer, order, "approve")
    await buyer.order(order)


@with_an_order
async def walks_away(_: Scene, __: Person, ___: str) -> None:
    """The reservation expires."""


@with_an_order
async def comes_too_late(scene: Scene, buyer: Person, order: str) -> None:
    """To pay, about when the time to pay ends."""
    await asyncio.sleep(scene.window * scene.rng.uniform(0.9, 1.1))
    await scene.pays(buyer, order)
    await buyer.order(order)


@with_an_order
async def needs_more_time(scene: Scene, buyer: Person, order: str) -> None:
    await asyncio.sleep(scene.window * 0.75)
    await scene.insists(lambda: buyer.asks_for_more_time(order))
    await asyncio.sleep(scene.window * scene.rng.uniform(0.3, 0.5))
    await scene.pays(buyer, order)
    await buyer.order(order)


async def race_for_one_ticket(scene: Scene) -> None:
    """Who loses waits for the ticket to come back, for a while."""
    rivals = scene.rng.sample(scene.buyers, min(len(scene.buyers), scene.rng.randint(3, 5)))
    ticket = await scene.lists(scene.seller)

    async def tries(rival: Person) -> None:
        for _ in range(3):
            if order := await scene.reserves(rival, ticket):
                if scene.rng.random() < 0.5:
                    await scene.pays(rival, order)
                else:
                    await rival.cancels(order)
                return
            await asyncio.sleep(scene.rng.uniform(0.2, 1.0))

    if ticket:
        await gather(map(tries, rivals))


async def edits_and_withdraws_while_others_buy(scene: Scene) -> None:
    seller = scene.seller
    ticket = await scene.lists(seller)
    if not ticket:
        return
    edit = seller.edits_by_form if scene.by_form else seller.edits
    withdraw = seller.withdraws_by_form if scene.by_form else seller.withdraws
    withdraws = scene.rng.random() < 0.6
    buyers = scene.rng.sample(scene.buyers, min(len(scene.buyers), 2))

    async def sells() -> None:
        for number in range(1, 1 + scene.rng.randint(1, 4)):
            await edit(ticket, f"{scene.name}, edit {number}", scene.price())
        if withdraws:
            await withdraw(ticket)

    async def buys_it(buyer: Person) -> None:
        await scene.thinks(0.5)
        if order := await scene.reserves(buyer, ticket):
            await (scene.pays(buyer, order) if scene.rng.random() < 0.5 else buyer.cancels(order))

    await gather([sells(), *map(buys_it, buyers)])
    await seller.opens(f"/api/tickets/{ticket}")


async def edits_on_two_screens(scene: Scene) -> None:
    """At once, and then takes it off sale, pressing twice."""
    seller = scene.seller
    ticket = await scene.lists(seller)
    if ticket:
        await gather(
            seller.edits(ticket, f"{scene.name}, edit {number}", scene.price()) for number in range(3)
        )
        await seller.opens(f"/api/tickets/{ticket}")
        await gather(seller.withdraws(ticket) for _ in range(2))


async def looks_around(scene: Scene) -> None:
    """A guest, then a buyer, who takes one of what is shown."""
    buyer = scene.buyer
    for path in ("/", f"/?q=seat&maxPrice={scene.rng.randint(20, 200)}", "/api/tickets/facets"):
        await buyer.opens(path)
    found = (await buyer.opens("/api/tickets?limit=50")).body
    if not isinstance(found, list) or not found:
        return
    ticket = scene.rng.choice(found)["id"]
    await buyer.opens(f"/tickets/{ticket}")
    await buyer.opens(f"/api/tickets/{ticket}")
    if order := await scene.reserves(buyer, ticket):
        await buyer.opens(f"/orders/{order}")
        await (scene.pays(buyer, order) if scene.rng.random() < 0.7 else buyer.cancels(order))


async def signs_out(scene: Scene) -> None:
    """A newcomer lists something, signs out, and somebody finds the token."""
    person = scene.newcomer()
    if not await person.signs_up():
        return
    await scene.lists(person)
    if (await scene.insists(person.signs_out)).status == 200:
        scene.ended.append(person)
        await scene.thinks()
        await person.offers(f"{scene.name}, by nobody", scene.price())


async def comes_back(scene: Scene) -> None:
    """A newcomer signs up, out and in again, and buys."""
    person = scene.newcomer()
    if not await person.signs_up():
        return
    await person.signs_out()
    ticket = await scene.lists(scene.seller)
    if ticket and await person.signs_in() and (order := await scene.reserves(person, ticket)):
        await scene.pays_for_good(person, order)


async def does_what_is_refused(scene: Scene) -> None:
    seller, buyer = scene.seller, scene.buyer
    stranger = next(person for person in scene.sellers if person is not seller)
    nothing = f"{scene.rng.getrandbits(80):024x}"  # of the year 1970: nobody waits for its event
    await seller.offers(f"{scene.name}, for nothing", "0")
    ticket = await scene.lists(seller)
    if not ticket:
        return
    await seller.reserves(ticket)
    await stranger.edits(ticket, f"{scene.name}, now mine", "1")
    await stranger.withdraws(ticket)
    await buyer.reserves(nothing)
    await buyer.pays(nothing)
    if order := await scene.reserves(buyer, ticket):
        await stranger.cancels(order)
        await stranger.pays(order)
        await seller.edits(ticket, f"{scene.name}, too late", "1")
        await seller.withdraws(ticket)
        await scene.pays_for_good(buyer, order)
        await buyer.cancels(order)


async def gather(doings: Iterable[Awaitable[T]]) -> list[T]:
    """At once; all of them end, also where one fails."""
    outcomes: list[Any] = await asyncio.gather(*doings, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes


STORIES: Mapping[Story, int] = {
    buys: 14,
    presses_twice: 10,
    is_declined_first: 8,
    gives_up_after_a_decline: 3,
    approves_at_the_bank: 7,
    refuses_at_the_bank: 4,
    leaves_the_bank_waiting: 3,
    has_a_card_with_which_something_goes_wrong: 4,
    cancels: 5,
    cancels_while_paying: 8,
    walks_away: 4,
    comes_too_late: 4,
    needs_more_time: 3,
    race_for_one_ticket: 8,
    edits_and_withdraws_while_others_buy: 10,
    edits_on_two_screens: 4,
    looks_around: 6,
    signs_out: 3,
    comes_back: 2,
    does_what_is_refused: 4,
}
"""With how often each is told, in relation to the others."""
