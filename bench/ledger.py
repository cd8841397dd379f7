"""`just ledger` makes purchases through all services, with everything that may happen to their money.

Sellers get paid, buyers get money back before and after that, banks decide on disputes, and promised files
come too late. Only the days until a payout are simulated: the sales become due at once. Then the audit
compares orders, payments, payouts, its ledger and Stripe, and has to find no difference.
"""

import argparse
import asyncio
import secrets
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from contracts.wire import now
from kit.mongo import connect
from ops.audit import compare
from ops.audit.report import Totals, line
from ops.interventions import decide_problem
from ops.operator_api import client, request
from ops.refund import refund
from sandbox.log import write
from tests.support.people import Person, random_word, signed_up
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor
from tests.support.ticket_files import pdf

SELLERS, BUYERS = 6, 8
AT_ONCE = 4
"""Purchases at the same time."""
DELIVERY_HOURS = "0.005"
"""The hours in which promised files are due: 18 seconds."""
SETTLE_SECONDS = 300.0


class Shop:
    """One purchase after the other. Each kind is a method with what happens to its money."""

    def __init__(
        self, stack: Stack, sellers: Sequence[Person], unlucky: Sequence[Person], buyers: Sequence[Person]
    ) -> None:
        self.stack = stack
        self.sellers, self.buyers = sellers, buyers
        self._unlucky = iter(unlucky)
        """A seller for each sale that fails: after two of them, a seller can't sell without files."""
        self.after_payout: list[Callable[[], Awaitable[object]]] = []
        """What happens to the money once the sellers have it."""
        self.kinds: Counter[str] = Counter()

    async def buy(self, number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        seller = next(self._unlucky) if kind in FAILED else self.sellers[number % SELLERS]
        deal = Deal(self, seller, self.buyers[number % BUYERS])
        await kind(deal)
        self.kinds[kind.__name__.replace("_", " ")] += 1


@dataclass
class Deal:
    """A ticket of a seller, and the order of a buyer."""

    shop: Shop
    seller: Person
    buyer: Person
    order: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    async def bought(self, card: str = "tok_visa", *, files: bool = False, **listed: Any) -> None:
        """List a ticket and buy it.

        Args:
            files: whether the seller uploads the files before the sale.
        """
        starts_at = (datetime.now(UTC) + timedelta(days=30)).isoformat()
        place = {"startsAt": starts_at, "timeZone": "Europe/Berlin", "venue": "Konzerthaus", "city": "Berlin"}
        title = f"Concert {random_word()}"
        self.details = await self.seller.lists_ticket(title=title, **{**place, **listed})
        if files:
            await self.uploads()
        ticket = self.details["id"]
        answer = await until(
            lambda: self.buyer.tries_to_reserve(ticket), lambda it: it.status_code == 201, 60
        )
        self.order = answer.json()["id"]
        await until(lambda: self.buyer.pays(self.order, card), lambda it: it.status_code == 201, 60)
        await until(lambda: self.buyer.payment(self.order), lambda seen: seen["status"] != "authorized", 60)
        await until(lambda: self.buyer.order(self.order), lambda seen: seen["status"] == "complete", 60)

    async def uploads(self) -> None:
        content = pdf([secrets.token_hex(8)])
        path = f"/api/tickets/{self.details['id']}/files"
        answer = await until(
            lambda: self.seller.client.post(path, content=content), lambda it: it.status_code != 503, 60
        )
        assert answer.status_code == 201, answer.text

    async def delivered(self, state: str = "delivered") -> None:
        await until(lambda: self.buyer.order(self.order), lambda seen: seen["delivery"] == state, 120)

    async def handed_over(self) -> None:
        answer = await self.seller.client.post(f"/api/orders/{self.order}/handover")
        assert answer.is_success, answer.text

    async def refunded(self) -> None:
        await refund(self.shop.stack.settings, self.order, relist=False)

    async def decided(self, decision: str, amount: str = "") -> None:
        """Report a problem, answer, and decide."""
        path = f"/api/orders/{self.order}/problem"
        report = {"kind": "not-as-described", "text": "Another row"}
        for by, address, body in (
            (self.buyer, path, report),
            (self.seller, f"{path}/answer", {"text": "It is next to it"}),
        ):
            answer = await by.client.post(address, json=body)
            assert answer.status_code == 200, answer.text
        settings = self.shop.stack.settings
        await decide_problem(settings, self.order, decision, "both are right", amount=amount)

    async def judged(self, evidence: str) -> None:
        """Let the bank decide on the dispute, as Stripe's test mode does by this evidence."""
        await until(lambda: self.buyer.payment(self.order), lambda seen: seen["dispute"] == "open", 120)
        body, failure = {"orderId": self.order, "text": evidence}, f"no evidence about {self.order}"
        async with client() as http:
            await request(
                http,
                self.shop.stack.settings,
                *("payments", "/api/payments/evidence", body),
                failure=failure,
                unknown="payments has no such order",
            )

    def later(self, work: Callable[[], Awaitable[object]]) -> None:
        self.shop.after_payout.append(work)


async def paid_out(deal: Deal) -> None:
    await deal.bought()


async def refunded_before_the_payout(deal: Deal) -> None:
    await deal.bought()
    await deal.refunded()


async def partly_refunded_before_the_payout(deal: Deal) -> None:
    await deal.bought()
    await deal.decided("partial-refund", "5.00")


async def refunded_after_the_payout(deal: Deal) -> None:
    await deal.bought()
    deal.later(deal.refunded)


async def partly_refunded_after_the_payout(deal: Deal) -> None:
    await deal.bought()
    deal.later(lambda: deal.decided("partial-refund", "7.50"))


async def report_rejected(deal: Deal) -> None:
    await deal.bought()
    await deal.decided("reject")


async def dispute_won(deal: Deal) -> None:
    await deal.bought("tok_createDispute")
    await deal.judged("winning_evidence")


async def dispute_lost(deal: Deal) -> None:
    await deal.bought("tok_createDispute")
    await deal.judged("losing_evidence")


async def sealed_files(deal: Deal) -> None:
    await deal.bought(files=True, promised=True, quantity=1)
    await deal.delivered()


async def promised_files_in_time(deal: Deal) -> None:
    await deal.bought(promised=True, quantity=1)
    await deal.uploads()
    await deal.delivered()


async def promised_files_too_late(deal: Deal) -> None:
    await deal.bought(promised=True, quantity=1)
    await deal.delivered("failed")


async def undated_and_handed_over(deal: Deal) -> None:
    await deal.bought(startsAt=None)
    await deal.handed_over()


async def undated_and_never_delivered(deal: Deal) -> None:
    await deal.bought(startsAt=None)


KINDS: Sequence[Callable[[Deal], Awaitable[None]]] = (
    paid_out,
    refunded_before_the_payout,
    paid_out,
    partly_refunded_before_the_payout,
    paid_out,
    refunded_after_the_payout,
    dispute_won,
    partly_refunded_after_the_payout,
    dispute_lost,
    sealed_files,
    report_rejected,
    promised_files_in_time,
    promised_files_too_late,
    undated_and_handed_over,
    undated_and_never_delivered,
)
"""What happens to the purchases, in turns."""

FAILED = {
    partly_refunded_before_the_payout,
    partly_refunded_after_the_payout,
    promised_files_too_late,
}
"""Purchases whose buyers get money back because of the seller."""


async def open_accounts(sellers: Sequence[Person]) -> None:
    """Let all sellers but the last, who never does, give Stripe their details."""
    async with httpx.AsyncClient(timeout=60) as browser:
        for seller in sellers[:-1]:
            link = await seller.client.post("/api/payouts/account", json={"country": "US"})
            assert link.status_code == 201, link.text
            answer = await browser.post(link.json()["url"], data={"choice": "complete"})
            assert answer.status_code == 303, answer.text


async def pass_days(sales: Any) -> None:
    """Let the time come at which all delivered sales are due."""
    held = {"state": "held", "due_at": {"$ne": None}}
    moment = now() - timedelta(seconds=1)
    await sales.update_many(held, {"$set": {"due_at": moment, "next_look_at": moment}})


async def at_rest(sales: Any, payments: Any) -> None:
    """Wait until nothing is under way: no refund, no open transfer, and no reversal."""

    async def busy() -> Mapping[str, int]:
        due = {"state": "due", "needs_account": False}
        overdue = {"state": "held", "due_at": {"$lte": now()}}
        return {
            "refunds": await payments.count_documents({"status": {"$in": ["authorized", "refunding"]}}),
            "due sales": await sales.count_documents(due),
            "overdue sales": await sales.count_documents(overdue),
            "planned transfers": await sales.count_documents({"planned": {"$ne": None}}),
            "unbooked entries": await sales.count_documents({"unbooked": {"$ne": []}}),
            "frozen sales": await sales.count_documents({"state": "frozen"}),
        }

    await until(busy, lambda found: not any(found.values()), SETTLE_SECONDS)


async def make_purchases(shop: Shop, purchases: int) -> None:
    few = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with few:
            await shop.buy(number)

    await asyncio.gather(*(one(number) for number in range(purchases)))


async def run(folder: Path, purchases: int) -> int:
    """Make the purchases, audit them, and return the number of orders with differences."""
    failures = sum(KINDS[number % len(KINDS)] in FAILED for number in range(purchases))
    write("Starting a marketplace ...")
    async with (
        stagedoor(
            folder, variants=False, DELIVERY_HOURS=DELIVERY_HOURS, FEE_PERCENT="5", LOG_LEVEL="WARNING"
        ) as stack,
        signed_up(stack.web, SELLERS + BUYERS + failures) as people,
        connect(stack.settings.database) as mongo,
    ):
        sales, payments = mongo["payouts"]["sales"], mongo["payments"]["payments"]
        sellers, others = people[:SELLERS], people[SELLERS:]
        buyers, unlucky = others[:BUYERS], others[BUYERS:]
        shop, began = Shop(stack, sellers, unlucky, buyers), time.monotonic()
        await open_accounts([*unlucky, *sellers])
        await make_purchases(shop, purchases)
        for kind, count in shop.kinds.items():
            write(f"{count:6} {kind}")
        await at_rest(sales, payments)
        await pass_days(sales)
        await at_rest(sales, payments)
        for work in shop.after_payout:
            await work()
        await at_rest(sales, payments)
        write(f"{purchases} purchases in {time.monotonic() - began:.0f} s. The audit:")
        return await audited(stack, purchases)


async def audited(stack: Stack, purchases: int) -> int:
    totals, orders = Totals(), 0
    async with aclosing(compare(stack.settings)) as findings:  # type: ignore[type-var] # a generator
        async for finding in findings:
            totals.add(finding)
            orders += 1
            if finding.differences:
                write(line(finding))
    write(str(totals))
    if orders != purchases:
        write(f"The audit has read {orders} orders instead of {purchases}.")
    return totals.wrong + (orders != purchases)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="just ledger", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--purchases", type=int, default=500, help="500 by default")
    given = parser.parse_args()
    if given.purchases < 1:
        parser.error("at least one purchase")
    with TemporaryDirectory(prefix="ledger-", ignore_cleanup_errors=True) as folder:
        return int(asyncio.run(run(Path(folder) / "data", given.purchases)) > 0)


if __name__ == "__main__":
    sys.exit(main())
