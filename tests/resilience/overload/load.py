"""The load: users who browse, search, sign in, sell and buy at a fixed rate, regardless of the answers."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp

from tests.resilience.chaos.client import Answer, Person, RequestLog
from tests.resilience.overload.meter import Meter

PEOPLE = 40
TICKETS = 80
WORDS = "cave low roar moon rain tiger harbour".split()


@dataclass
class Crowd:
    """All users, and the tickets and orders that they know."""

    people: list[Person]
    rng: random.Random
    tickets: list[str] = field(default_factory=list)
    reserved: list[tuple[Person, str]] = field(default_factory=list)
    """Unpaid orders and their buyers."""
    _under_way: set[asyncio.Task[object]] = field(default_factory=set)

    async def send_requests(self, rate: float, seconds: float) -> None:
        """Begin requests at this rate, whether or not earlier ones were answered."""
        began = time.monotonic()
        for number in range(round(rate * seconds)):
            await asyncio.sleep(began + number / rate - time.monotonic())
            task = asyncio.create_task(self._does_something())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def wait_for_answers(self) -> None:
        """Wait for all requests under way."""
        await asyncio.gather(*self._under_way)

    async def list_tickets(self, how_many: int) -> None:
        """List tickets one after the other, before the measurement."""
        while len(self.tickets) < how_many:
            await self._lists_ticket()

    async def _does_something(self) -> object:
        act: Act = self.rng.choices(list(ACTS), list(ACTS.values()))[0]
        return await act(self)

    def _somebody(self) -> Person:
        return self.rng.choice(self.people)

    async def browses(self) -> object:
        return await self._somebody().opens("/")

    async def _searches(self) -> object:
        way = self.rng.choice(("/?q=", "/api/tickets?q="))
        return await self._somebody().opens(way + self.rng.choice(WORDS))

    async def _reads_a_ticket(self) -> object:
        return await self._somebody().opens(f"/tickets/{self.rng.choice(self.tickets)}")

    async def _signs_in(self) -> object:
        return await self._somebody().signs_in()

    async def _lists_ticket(self) -> Answer:
        answer = await self._somebody().lists_ticket(" ".join(self.rng.sample(WORDS, 3)), "19.99")
        if answer.status == 201:
            self.tickets.append(answer.value("id"))
        return answer

    async def _reserves(self) -> object:
        buyer = self._somebody()
        answer = await buyer.reserves(self.rng.choice(self.tickets[-TICKETS:]))
        if answer.status == 201:
            self.reserved.append((buyer, answer.value("id")))
        return answer

    async def _pays(self) -> object:
        if not self.reserved:
            return await self._reserves()
        buyer, order = self.reserved.pop(self.rng.randrange(len(self.reserved)))
        return await buyer.pays(order)


Act = Callable[[Crowd], Awaitable[object]]

ACTS: dict[Act, int] = {
    Crowd.browses: 25,
    Crowd._searches: 20,
    Crowd._reads_a_ticket: 20,
    Crowd._signs_in: 5,
    Crowd._lists_ticket: 8,
    Crowd._reserves: 12,
    Crowd._pays: 10,
}
"""Each action with its weight, which determines how often it is drawn in relation to the others."""


def measured(meter: Meter) -> aiohttp.ClientSession:
    """A client session that measures its requests and never waits for a connection."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[meter.trace()],
    )


async def crowd(http: aiohttp.ClientSession, web: str, log: RequestLog, seed: int) -> Crowd:
    """Users who have signed up, and some tickets."""
    rng = random.Random(seed)  # noqa: S311 - repeatable
    people = [Person(http, web, log, f"person{number}@example.com") for number in range(PEOPLE)]
    for person in people:
        if not await person.signs_up():
            raise RuntimeError(f"{person.email} can't sign up")
    users = Crowd(people, rng)
    await users.list_tickets(TICKETS)
    return users
