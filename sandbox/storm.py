"""`python -m sandbox.storm 500` buys 500 tickets at once on a marketplace of its own, and looks at the books.

Stripe's sandbox fails at random meanwhile, and payments is killed again and again. When all has come to
rest, orders, payments and Stripe have to agree, and every ticket has to be sold at most once: exits with 1
if not. The seed repeats who does what, though not who is first.
"""

import argparse
import asyncio
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import nats

from sandbox.log import write
from sandbox.storm_buyers import STORIES, Person, Purchase, Story, Tally, name_of, sign_up
from sandbox.storm_market import Market, NotForStorms, market
from streams import books

FAULT_RATE = 0.1
"""Of the requests to Stripe, one in ten goes wrong."""
SLOW_SECONDS = 11.0
"""Longer than payments waits for Stripe."""
KINDS = "rate_limit,server_error,slow,lost"

SETTLE_SECONDS = 90.0
"""Beyond the time to pay."""

COUNTED = re.compile(r"^payments_(alerts|mended)_total\{([^}]*)\} (\d+)", re.MULTILINE)

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True)
class Plan:
    purchases: int
    seed: int
    kills: int
    window: float
    """Seconds to pay."""
    faults: str = KINDS
    """What goes wrong at Stripe; nothing if empty."""
    slow_seconds: float = SLOW_SECONDS

    @property
    def buyers(self) -> int:
        return max(5, min(60, self.purchases // 5))

    @property
    def sellers(self) -> int:
        return max(2, min(8, self.purchases // 25))


@dataclass
class Report:
    """What came of it."""

    stories: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    """Alerts and mended payments, as the metrics of payments have them."""
    kills: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[what] = time.perf_counter() - started


@dataclass
class Storm:
    """One storm over one marketplace."""

    plan: Plan
    market: Market
    http: aiohttp.ClientSession
    tally: Tally = field(default_factory=Tally)
    report: Report = field(default_factory=Report)

    async def run(self) -> Report:
        report = self.report
        with report.timed("signing up and listing"):
            people = await _some_at_once(
                lambda _: sign_up(self.http, self.market.web, self.tally),
                range(self.plan.buyers + self.plan.sellers),
            )
            buyers, sellers = people[: self.plan.buyers], people[self.plan.buyers :]
            tickets = await self._list_tickets(sellers)
        if self.plan.faults:
            await self._faults(
                {
                    "rate": str(FAULT_RATE),
                    "kinds": self.plan.faults,
                    "seed": str(self.plan.seed),
                    "slow_seconds": str(self.plan.slow_seconds),
                }
            )
        with report.timed("buying"):
            crashes = asyncio.create_task(self._crash())
            await asyncio.gather(
                *(self._buy(number, buyers, tickets) for number in range(self.plan.purchases))
            )
            self.tally.ends()
            await crashes
        if self.plan.faults:
            await self._faults(None)
        with report.timed("settling"):
            await self._settle(tickets)
        report.counted += await self._metrics()
        report.wrong += await self.market.ailing()
        report.wrong += self._lame()
        return report

    def _lame(self) -> Iterator[str]:
        """What made it no storm, or was an alarm."""
        if self.report.kills < self.plan.kills:
            yield f"payments was killed {self.report.kills} times and not {self.plan.kills}"
        if not any(what.endswith("payment captured") for what in self.report.orders):
            yield "nobody bought anything"
        for what, count in self.report.counted.items():
            if what.startswith("alerts"):
                yield f"{count}x {what}"

    async def _list_tickets(self, sellers: Sequence[Person]) -> list[str]:
        rng = random.Random(self.plan.seed)  # noqa: S311 - repeatable

        async def offer(number: int) -> str:
            body = {"title": f"Storm, seat {number}", "price": rng.randint(100, 20_000) / 100}
            status, ticket = await sellers[number % len(sellers)].ask("POST", "/api/tickets", body)
            if status != 201:
                raise RuntimeError(f"a ticket can't be listed: {status} {ticket}")
            return str(ticket["id"])

        return await _some_at_once(offer, range(self.plan.purchases))

    async def _buy(self, number: int, buyers: Sequence[Person], tickets: Sequence[str]) -> None:
        rng = random.Random(f"{self.plan.seed}:{number}")  # noqa: S311 - repeatable
        story = rng.choices(list(STORIES), list(STORIES.values()))[0]
        own = tickets[number]
        others = rng.sample(tickets, min(6, len(tickets)))
        # Most want a seat of their own; the others want one that somebody else wants too.
        wanted = [own, *others] if rng.random() < 0.7 else [*others[:1], own, *others[1:]]
        purchase = Purchase(rng.choice(buyers), self.market, rng, wanted)
        await self._tell(story, purchase)

    async def _tell(self, story: Story, purchase: Purchase) -> None:
        order = await purchase.reserve()
        if order is None:
            self.report.stories["finds nothing to buy"] += 1
            return
        self.report.stories[name_of(story)] += 1
        await story(purchase, order)

    async def _crash(self) -> None:
        """Kill payments while people pay: after so many answers, and again after so many more."""
        share = self.plan.purchases // (self.plan.kills + 2)
        for kill in range(self.plan.kills):
            if not await self.tally.until_paid(share * (kill + 1)):
                return
            self.report.counted += await self._metrics()
            await self.market.kill("payments")
            self.report.kills += 1

    async def _metrics(self) -> Counter[str]:
        """What payments counted since it was started."""
        try:
            async with self.http.get(f"{self.market.payments}/metrics") as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError):
            return Counter()
        return Counter({f"{what} {labels}": int(count) for what, labels, count in COUNTED.findall(text)})

    async def _faults(self, wanted: dict[str, str] | None) -> None:
        """Turn the faults of Stripe's sandbox on, or off."""
        method = "POST" if wanted else "DELETE"
        async with self.http.request(method, f"{self.market.stripe}/faults", data=wanted) as answer:
            answer.raise_for_status()

    async def _settle(self, tickets: Sequence[str]) -> None:
        """Wait until nothing is wrong or under way, or it took too long; then what is wrong stays so."""
        deadline = time.monotonic() + 2 * self.plan.window + SETTLE_SECONDS
        while True:
            findings = await books.compare(self.market.settings, settled=True)
            wrong = [books.line(finding) for finding in findings if finding.differences]
            wrong = wrong or await self._oversold(findings, tickets)
            if not wrong or time.monotonic() > deadline:
                break
            await asyncio.sleep(1)
        self.report.wrong += wrong
        self.report.wrong += [f"{dead} dead letters"] if (dead := await self._dead_letters()) else []
        for finding in findings:
            order, (payment, *_) = finding.account.order, (*finding.account.payments, None)
            paid = f"payment {payment.status}" if payment else "no payment"
            self.report.orders[f"{order.status if order else 'no order'}, {paid}"] += 1
        write(books.summary(findings))

    async def _oversold(self, findings: Sequence[books.Finding], tickets: Sequence[str]) -> list[str]:
        """Tickets that more than one buyer owns, or whose own state is another than their orders'."""
        orders = {order.order_id: order for finding in findings if (order := finding.account.order)}
        owners: dict[str, list[str]] = {ticket: [] for ticket in tickets}
        for order in orders.values():
            if order.status == "complete":
                owners.setdefault(order.ticket_id, []).append(order.order_id)
        wrong = [
            f"ticket {ticket} is sold {len(found)} times"
            for ticket, found in owners.items()
            if len(found) > 1
        ]
        looker = Person(self.http, self.market.web, "", Tally())
        seen = await _some_at_once(lambda ticket: looker.ask("GET", f"/api/tickets/{ticket}"), tickets)
        for ticket, (_, told) in zip(tickets, seen, strict=True):
            status, holder = (told or {}).get("status"), (told or {}).get("orderId")
            bought = (
                status == "sold" and holder in orders and orders[holder].status in ("complete", "refunded")
            )
            if not (status == "available" or bought) or owners[ticket] not in ([], [holder]):
                wrong.append(f"ticket {ticket} is {status} to {holder}, its owners are {owners[ticket]}")
        return wrong

    async def _dead_letters(self) -> int:
        connection = await nats.connect(self.market.settings.bus)
        try:
            return (await connection.jetstream().stream_info("DEAD")).state.messages
        finally:
            await connection.close()


async def storm(plan: Plan, folder: Path) -> Report:
    """A storm over a marketplace of its own, whose data and logs are in `folder`.

    Raises:
        NotForStorms
    """
    started = time.perf_counter()
    connector = aiohttp.TCPConnector(limit=400)
    timeout = aiohttp.ClientTimeout(total=60)
    async with (
        market(folder, window=plan.window) as struck,
        aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as http,
    ):
        raging = Storm(plan, struck, http)
        raging.report.seconds["starting"] = time.perf_counter() - started
        report = await raging.run()
        _show(plan, report, raging.tally, time.perf_counter() - started)
        return report


def _show(plan: Plan, report: Report, tally: Tally, seconds: float) -> None:
    write(f"{plan.purchases} purchases by {plan.buyers} buyers, seed {plan.seed}:")
    for title, counter in (("buyers", report.stories), ("orders", report.orders)):
        write(f"  {title}: " + ", ".join(f"{count} {what}" for what, count in counter.most_common()))
    answers = ", ".join(f"{count}x {status or 'none'}" for status, count in sorted(tally.answers.items()))
    write(f"  requests: {tally.answers.total()} ({answers})")
    write(f"  kills of payments: {report.kills}")
    write(
        "  counted: "
        + (", ".join(f"{what} {count}" for what, count in sorted(report.counted.items())) or "-")
    )
    parts = ", ".join(f"{what} {taken:.1f} s" for what, taken in report.seconds.items())
    write(f"  time: {seconds:.1f} s ({parts})")
    for words in report.wrong:
        write(f"WRONG {words}")
    write(
        f"{len(report.wrong)} things are wrong."
        if report.wrong
        else "The books agree. Every ticket is sold at most once."
    )


async def _some_at_once(do: Callable[[A], Awaitable[B]], things: Iterable[A], width: int = 16) -> list[B]:
    room = asyncio.Semaphore(width)

    async def one(thing: A) -> B:
        async with room:
            return await do(thing)

    return await asyncio.gather(*map(one, things))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="just storm", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    parser.add_argument("purchases", nargs="?", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=3, help="of payments, kill -9")
    parser.add_argument("--window", type=float, default=45.0, help="seconds to pay")
    parser.add_argument("--faults", default=KINDS, help="kinds of them; an empty text for none")
    parser.add_argument("--keep", type=Path, help="a folder for data and logs, which stay")
    given = parser.parse_args()
    plan = Plan(given.purchases, given.seed, given.kills, given.window, given.faults)
    with tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True) as temporary:
        try:
            report = asyncio.run(storm(plan, given.keep or Path(temporary)))
        except NotForStorms as reason:
            write(str(reason))
            return 2
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
