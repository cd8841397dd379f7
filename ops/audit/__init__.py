"""Compare the records of orders, payments, payouts and Stripe about each order's money."""

from asyncio import sleep
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from contracts.wire import now
from ops.audit import ledgers
from ops.audit.ledgers import Ledgers, Period
from ops.audit.rules import Finding, audit
from settings import Settings

CONFIRM_SECONDS = 3.0
"""Seconds until a difference is checked again. It counts only if it is still there, because the three sources
are read one after the other while people buy."""

CONFIRM_AT_ONCE = 100
"""Maximum number of differences that are kept in memory until they are checked again together."""

ALWAYS = Period()


async def compare(
    settings: Settings, period: Period = ALWAYS, order_ids: Sequence[str] = (), *, settled: bool = False
) -> AsyncIterator[Finding]:
    """One finding for each order, newest first. Orders with differences follow when they were checked again.

    Args:
        period: when the orders were made.
        order_ids: compare only these orders, whenever they were made.
        settled: report pending work as a difference. Use it when all work should have ended.

    Raises:
        Unreadable: orders, payments or Stripe can't be read.
    """
    doubtful: list[Finding] = []
    async with ledgers.opened(settings) as books:
        found = books.of_orders(order_ids) if order_ids else books.of_period(period)
        async with aclosing(found):
            async for account in found:
                finding = audit(account, now(), settled=settled)
                if settled or not finding.differences:
                    yield finding
                    continue
                doubtful.append(finding)
                if len(doubtful) >= CONFIRM_AT_ONCE:
                    for each in await _confirmed(books, doubtful):
                        yield each
                    doubtful.clear()
        for each in await _confirmed(books, doubtful):
            yield each


async def _confirmed(books: Ledgers, doubtful: Sequence[Finding]) -> list[Finding]:
    """Check findings again. Differences that weren't found the first time count as pending work."""
    if not doubtful:
        return []
    await sleep(CONFIRM_SECONDS)
    accounts = await books.again([finding.account for finding in doubtful])
    return [
        _lasting(audit(account, now()), set(before.differences))
        for account, before in zip(accounts, doubtful, strict=True)
    ]


def _lasting(finding: Finding, before: set[str]) -> Finding:
    lasting = tuple(words for words in finding.differences if words in before)
    passing = tuple(words for words in finding.differences if words not in before)
    return Finding(finding.account, lasting, (*finding.under_way, *passing))
