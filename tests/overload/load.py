"""The load: so many requests a second, come what may, of people who look, search, sign in, sell and buy."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

from tests.chaos.client import Answer, Notes, Person
from tests.overload.meter import Meter

PEOPLE = 40
TICKETS = 80
WORDS = "cave low roar moon rain tiger harbour".split()


@dataclass
class Crowd:
    """Everybody who uses the marketplace, and what they know of it."""

    people: list[Person]
    rng: random.Random
    tickets: list[str] = field(default_factory=list)
    reserved: list[tuple[Person, str]] = field(default_factory=list)
    """Orders that may be paid for."""
    _under_way: set[asyncio.Task[object]] = field(default_factory=set)

    async def come(self, rate: float, seconds: float) -> None:
        """Begin so many requests a second, whether or not those before have been answered."""
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(began + number / rate - time.monotonic())
            task = asyncio.create_task(self._does_something())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def are_answered(self) -> None:
        await asyncio.gather(*self._under_way)

    async def offer(self, how_many: int) -> None:
        """Before anything is measured: one after another."""
        while len(self.tickets) < how_many:
            await self._offers()

    async def _does_something(self) -> object:
        act: Act = self.rng.choices(list(ACTS), list(ACTS.values()))[0]
        return await act(self)

    def _somebody(self) -> Person:
        return self.rng.choice(self.people)

    async def looks(self) -> object:
        return await self._somebody().opens("/")

    async def _searches(self) -> object:
        way = self.rng.choice(("/?q=", "/api/tickets?q="))
        return await self._somebody().opens(way + self.rng.choice(WORDS))

    async def _reads_a_ticket(self) -> object:
        return await self._somebody().opens(f"/tickets/{self.rng.choice(self.tickets)}")

    async def _signs_in(self) -> object:
        return await self._somebody().signs_in()

    async def _offers(self) -> Answer:
        answer = await self._somebody().offers(" ".join(self.rng.sample(WORDS, 3)), "19.99")
        if answer.status == 201:
            self.tickets.append(answer.said("id"))
        return answer

    async def _reserves(self) -> object:
        buyer = self._somebody()
        answer = await buyer.reserves(self.rng.choice(self.tickets[-TICKETS:]))
        if answer.status == 201:
            self.reserved.append((buyer, answer.said("id")))
        return answer

    async def _pays(self) -> object:
        if not self.reserved:
            return await self._reserves()
        buyer, order = self.reserved.pop(self.rng.randrange(len(self.reserved)))
        return await buyer.pays(order)


Act = Callable[[Crowd], Awaitable[object]]

ACTS: dict[Act, int] = {
    Crowd.looks: 25,
    Crowd._searches: 20,
    Crowd._reads_a_ticket: 20,
    Crowd._signs_in: 5,
    Crowd._offers: 8,
    Crowd._reserves: 12,
    Crowd._pays: 10,
}
"""With how often each is done, in relation to the others."""


def measured(meter: Meter) -> aiohttp.ClientSession:
    """A client whose requests are measured, and which never waits for a connection."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[meter.trace()],
    )


async def crowd(http: aiohttp.ClientSession, web: str, notes: Notes, seed: int) -> Crowd:
    """People who have signed up, and tickets to begin with."""
    rng = random.Random(seed)  # noqa: S311 - the same people again
    people = [Person(http, web, notes, f"person{number}@example.com") for number in range(PEOPLE)]
    for person in people:
        if not await person.signs_up():
            raise RuntimeError(f"{person.email} can't sign up")
    come = Crowd(people, rng)
    await come.offer(TICKETS)
    return come
