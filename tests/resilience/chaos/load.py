"""The load: buyers and sellers who use the marketplace at a steady rate, with and without faults."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Self

from kit.secrets import operator_token
from settings import Settings
from tests.resilience.chaos.client import Person, RequestLog, browser
from tests.resilience.chaos.history import Request
from tests.resilience.chaos.scenario_run import Scenario, ScenarioRun
from tests.resilience.chaos.scenarios import SCENARIOS
from tests.support.people import random_word

SELLERS = 4
BUYERS = 12

SETTLE_SECONDS = 120.0
"""How long the slowest scenario takes beyond the time to pay, if each of its requests times out."""
LOOK_SECONDS = 0.05
ACCOUNT_TRIES = 5
"""How often a seller tries to open an account at Stripe. Without one, the seller isn't paid."""
REFUSED_WITHIN_SECONDS = 20.0
"""The maximum time until a service receives a sign-out that it missed."""


def scenario_of(seed: int, number: int) -> tuple[Scenario, random.Random]:
    """The scenario with this number, and its random numbers."""
    rng = random.Random(f"{seed}-{number}")  # noqa: S311 - repeatable
    return rng.choices(list(SCENARIOS), list(SCENARIOS.values()))[0], rng


@dataclass(frozen=True)
class Addresses:
    """The addresses of a marketplace."""

    web: str
    stripe: str
    """The sandbox, with its Checkout page and the page of the bank."""
    payments: str
    """The payments service, to which operators send refunds."""
    operator_token: str

    @classmethod
    def of(cls, settings: Settings, payments: str | None = None) -> Self:
        """
        Args:
            payments: the address of payments, if operators don't use the usual one.
        """
        return cls(
            settings.site,
            f"http://127.0.0.1:{settings.stripe_sandbox_port}",
            payments or settings.url_of("payments"),
            operator_token(settings),
        )


class Load:
    """Buyers and sellers who send HTTP requests at a steady rate, and record each request and answer.

    The seed determines the scenarios, their users and their start times, but not which of two concurrent
    requests is handled first. Scenarios begin on schedule, whether or not earlier ones have ended.
    """

    def __init__(self, addresses: Addresses, seed: int, rate: float, window: float) -> None:
        """
        Args:
            addresses: where users send their requests.
            seed: decides the scenarios.
            rate: scenarios that begin per second. Each sends about seven requests.
            window: seconds to pay.
        """
        self.addresses = addresses
        self.seed = seed
        self.rate = rate
        self.window = window
        self.scenarios: Counter[str] = Counter()
        """How many times each scenario was started."""
        self._log = RequestLog()
        self._http = browser()
        self._run = random_word()
        self._operator = Person(self._http, addresses.payments, self._log, "operator")
        self._operator.token = addresses.operator_token
        self._sellers: list[Person] = []
        self._buyers: list[Person] = []
        self._ended: list[Person] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._number = 0
        self._stopped = asyncio.Event()

    @property
    def requests(self) -> list[Request]:
        """All requests in the order in which they were sent. A request has no status until it is answered."""
        return self._log.requests

    @property
    def answers(self) -> Counter[int]:
        """All requests, including reads, counted by the status of their answer; 0 means no answer."""
        return self._log.answers

    @property
    def failures(self) -> Sequence[str]:
        """The last requests that weren't answered, or whose answer says that the server failed."""
        return list(self._log.failures)

    async def open(self) -> None:
        """Sign up all sellers and buyers, and let most sellers open accounts, however long that takes."""
        limit = asyncio.Semaphore(4)  # hashing a password is slow

        async def signs_up() -> Person:
            async with limit:
                return await self._signed_up()

        people = await asyncio.gather(*(signs_up() for _ in range(SELLERS + BUYERS)))
        self._sellers, self._buyers = people[:SELLERS], people[SELLERS:]
        # The last seller has no account, and is never paid.
        await asyncio.gather(*map(self._opens_account, self._sellers[:-1]))

    async def run(self) -> None:
        """Begin one scenario after the other until stopped or cancelled. Scenarios under way go on.

        It may be called again afterwards.

        Raises:
            BaseExceptionGroup: a scenario has a bug. No answer of the marketplace makes a scenario fail.
        """
        clock = asyncio.get_running_loop()
        due = clock.time()
        self._stopped.clear()
        try:
            while not self._stopped.is_set() and not self._failures:
                self._begin()
                due += 1 / self.rate
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await self._stopped.wait()
        finally:
            self._stopped.set()
        self._raise_failures()

    def stop(self) -> None:
        """Begin no more scenarios."""
        self._stopped.set()

    def rush(self, scenarios: int) -> None:
        """Begin many scenarios at the same time."""
        for _ in range(scenarios):
            self._begin()

    async def settle(self) -> None:
        """Begin no more scenarios, and wait until those under way have ended; cancel those that don't end.

        Then check that the tokens of users who signed out are refused. All services have to be up.

        Raises:
            BaseExceptionGroup: a scenario has a bug.
        """
        self.stop()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=2 * self.window + SETTLE_SECONDS)
            await _cancelled(late)
        ended, self._ended = self._ended, []
        await asyncio.gather(*map(self._waits_for_refusal, ended))
        self._raise_failures()

    async def cancel_long_holds(self) -> None:
        """Cancel orders with a deadline that is too late, because a clock was wrong when they were made.

        Call it after `settle`, when the marketplace is at rest.
        """
        latest = datetime.now(UTC) + timedelta(seconds=self.window)
        await asyncio.gather(*(buyer.cancels_long_holds(latest) for buyer in self._buyers))

    async def somebody_owns_a_ticket(self) -> bool:
        """Wait until a buyer sees a complete order that was requested after this call.

        Return False if all scenarios end before that.
        """
        read, orders = len(self.requests), set[str]()
        while True:
            is_last_look = self._stopped.is_set() and not self._under_way
            asked = self.requests[read:]
            orders |= {request.made for request in asked if request.what == "reserve" and request.made}
            if any(request.state == "complete" and request.about in orders for request in asked):
                return True
            if is_last_look:
                return False
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        self.stop()
        await _cancelled(self._under_way)
        await self._http.close()

    def _begin(self) -> None:
        number, self._number = self._number, self._number + 1
        scenario, rng = scenario_of(self.seed, number)
        self.scenarios[getattr(scenario, "__name__", "")] += 1
        run = ScenarioRun(
            name=f"seat-{number}-{self._run}",
            rng=rng,
            sellers=self._sellers,
            buyers=self._buyers,
            newcomer=self._newcomer,
            stripe=self.addresses.stripe,
            window=self.window,
            operator=self._operator,
            ended=self._ended,
        )
        task = asyncio.ensure_future(scenario(run))
        self._under_way.add(task)
        task.add_done_callback(self._scenario_ended)

    def _scenario_ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (failure := task.exception()):
            self._failures.append(failure)

    def _raise_failures(self) -> None:
        if self._failures:
            raise BaseExceptionGroup("scenarios that failed", self._failures)

    def _newcomer(self) -> Person:
        return Person(self._http, self.addresses.web, self._log, f"{token_hex(8)}@example.com")

    async def _signed_up(self) -> Person:
        """Use another address for each try, because a request without an answer may have created the user."""
        while True:
            person = self._newcomer()
            if await person.signs_up():
                return person
            await asyncio.sleep(0.5)

    async def _opens_account(self, seller: Person) -> None:
        for _ in range(ACCOUNT_TRIES):
            if await seller.sets_up_payouts(self.addresses.stripe):
                return
            await asyncio.sleep(0.5)

    async def _waits_for_refusal(self, person: Person) -> None:
        """Use the token of a user who signed out until it is refused, or for a limited time."""
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
