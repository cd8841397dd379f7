"""The load: buyers and sellers who use the marketplace, as steadily while it is being broken as before."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Self

from settings import Settings
from tests.chaos.client import Notes, Person, browser
from tests.chaos.history import Request
from tests.chaos.scene import Scene
from tests.chaos.stories import STORIES, Story

SELLERS = 4
BUYERS = 12

SETTLE_SECONDS = 120.0
"""Beyond the time to pay: for the slowest story to end, each of its requests answered or given up."""
LOOK_SECONDS = 0.05
REFUSED_WITHIN_SECONDS = 20.0
"""For a service that was away to hear again who signed out."""


def story_of(seed: int, number: int) -> tuple[Story, random.Random]:
    """What the story of this number is, with its dice."""
    rng = random.Random(f"{seed}-{number}")  # noqa: S311 - repeatable
    return rng.choices(list(STORIES), list(STORIES.values()))[0], rng


@dataclass(frozen=True)
class Places:
    """Where the marketplace is."""

    web: str
    stripe: str
    """The sandbox, which has the page of the bank too."""
    payments: str
    """Where operators ask for refunds."""
    operator_token: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(
            settings.site,
            f"http://127.0.0.1:{settings.stripe_sandbox_port}",
            settings.url_of("payments"),
            settings.operator_secret,
        )


class Load:
    """Buyers and sellers who use the marketplace over HTTP at a steady rate, and note what they asked and
    were told.

    The seed says who does what and when it begins, not who is first. Stories begin at their time whether or
    not those before have ended.
    """

    def __init__(self, places: Places, seed: int, rate: float, window: float) -> None:
        """
        Args:
            places: where they go.
            rate: stories begun a second. Each is about seven requests.
            window: seconds to pay.
        """
        self.places = places
        self.seed = seed
        self.rate = rate
        self.window = window
        self.stories: Counter[str] = Counter()
        """How many of each were begun."""
        self._notes = Notes()
        self._http = browser()
        self._run = token_hex(4)
        self._operator = Person(self._http, places.payments, self._notes, "operator")
        self._operator.token = places.operator_token
        self._sellers: list[Person] = []
        self._buyers: list[Person] = []
        self._ended: list[Person] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._number = 0
        self._stopped = asyncio.Event()

    @property
    def requests(self) -> list[Request]:
        """What was asked, in order; one that is under way has no status yet."""
        return self._notes.requests

    @property
    def answers(self) -> Counter[int]:
        """All requests, those that change nothing too, by the status of their answer; 0 for none."""
        return self._notes.answers

    async def open(self) -> None:
        """Sign up the cast, however long that takes."""
        room = asyncio.Semaphore(4)  # to hash a password takes a while

        async def comes() -> Person:
            async with room:
                return await self._signed_up()

        cast = await asyncio.gather(*(comes() for _ in range(SELLERS + BUYERS)))
        self._sellers, self._buyers = cast[:SELLERS], cast[SELLERS:]

    async def run(self) -> None:
        """Begin one story after the other until stopped or cancelled; those under way go on. Runs again too.

        Raises:
            BaseExceptionGroup: a story did what it shouldn't, whatever the marketplace answered.
        """
        clock = asyncio.get_running_loop()
        due = clock.time()
        self._stopped.clear()
        try:
            while not self._stopped.is_set() and not self._failures:
                self._begin(self._number)
                self._number += 1
                due += 1 / self.rate
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._stopped.wait()
        finally:
            self._stopped.set()
        self._raise_failures()

    def stop(self) -> None:
        """Begin nothing new."""
        self._stopped.set()

    async def settle(self) -> None:
        """Begin nothing new, and wait until the stories under way have ended; those that don't are given up.

        Then it is tried whether the tokens of who signed out are refused: all services have to be up.

        Raises:
            BaseExceptionGroup: a story did what it shouldn't, whatever the marketplace answered.
        """
        self.stop()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=2 * self.window + SETTLE_SECONDS)
            await _cancelled(late)
        ended, self._ended = self._ended, []
        await asyncio.gather(*map(self._is_refused, ended))
        self._raise_failures()

    async def let_go(self) -> None:
        """Give back what would be held for long after its time: a clock that had jumped decided so.

        In a marketplace at rest, before `settle` is over nobody knows what that is.
        """
        latest = datetime.now(UTC) + timedelta(seconds=self.window)
        await asyncio.gather(*(buyer.lets_go(latest) for buyer in self._buyers))

    async def somebody_owns_a_ticket(self) -> bool:
        """Wait until somebody sees an order complete that was asked for from now on.

        False: nobody did before all stories had ended, and no others were begun.
        """
        read, orders = len(self.requests), set[str]()
        while True:
            is_last_look = self._stopped.is_set() and not self._under_way
            asked = self.requests[read:]
            orders |= {request.made for request in asked if request.what == "reserve" and request.made}
            if any(request.told == "complete" and request.about in orders for request in asked):
                return True
            if is_last_look:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        self.stop()
        await _cancelled(self._under_way)
        await self._http.close()

    def _begin(self, number: int) -> None:
        story, rng = story_of(self.seed, number)
        self.stories[getattr(story, "__name__", "")] += 1
        scene = Scene(
            name=f"seat-{number}-{self._run}",
            rng=rng,
            sellers=self._sellers,
            buyers=self._buyers,
            newcomer=self._newcomer,
            stripe=self.places.stripe,
            window=self.window,
            operator=self._operator,
            ended=self._ended,
        )
        task = asyncio.ensure_future(story(scene))
        self._under_way.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            self._failures.append(failure)

    def _raise_failures(self) -> None:
        if self._failures:
            raise BaseExceptionGroup("stories that failed", self._failures)

    def _newcomer(self) -> Person:
        return Person(self._http, self.places.web, self._notes, f"{token_hex(8)}@example.com")

    async def _signed_up(self) -> Person:
        """Each try with another address: one that wasn't answered may have taken the first."""
        while True:
            person = self._newcomer()
            if await person.signs_up():
                return person
            await asyncio.sleep(0.5)

    async def _is_refused(self, person: Person) -> None:
        clock = asyncio.get_running_loop()
        deadline = clock.time() + REFUSED_WITHIN_SECONDS
        while (await person.uses_an_ended_session()).status != 401:
            if clock.time() > deadline:
                return
            await asyncio.sleep(0.5)


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
