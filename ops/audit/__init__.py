"""Compare the records of orders, payments and Stripe about each order's money."""

import asyncio

from contracts.wire import now
from ops.audit import ledgers
from ops.audit.rules import Finding, audit
from settings import Settings

CONFIRM_SECONDS = 3.0
"""Seconds until a difference is checked again. It counts only if it is still there, because the three sources
are read one after the other while people buy."""


async def compare(settings: Settings, *, settled: bool = False) -> list[Finding]:
    """One finding for each order.

    Args:
        settled: report pending work as a difference. Use it when all work should have ended.

    Raises:
        Unreadable: orders, payments or Stripe can't be read.
    """
    findings = [audit(account, now(), settled=settled) for account in await ledgers.read(settings)]
    first = {finding.account.order_id: set(finding.differences) for finding in findings}
    if settled or not any(first.values()):
        return findings
    await asyncio.sleep(CONFIRM_SECONDS)
    return [
        _confirmed(audit(account, now()), first.get(account.order_id, set()))
        for account in await ledgers.read(settings)
    ]


def _confirmed(finding: Finding, before: set[str]) -> Finding:
    """Count the differences that the first comparison didn't find as pending work."""
    lasting = tuple(words for words in finding.differences if words in before)
    passing = tuple(words for words in finding.differences if words not in before)
    return Finding(finding.account, lasting, (*finding.under_way, *passing))
