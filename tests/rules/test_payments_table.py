"""docs/payments.md shows `next_step` as a table; this keeps the two equal."""

import re
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from services.payments import rules
from tests.rules.builders import NOW, SOON, payable, payment

SOON_OVER = NOW + timedelta(minutes=31)

DOCUMENT = Path(__file__).parents[2] / "docs" / "payments.md"

ORDERS: dict[str, list[dict[str, Any]]] = {
    "live": [{"status": "created"}, {"status": "awaiting:payment"}],
    "live, time over": [
        {"status": status, "expires_at": NOW - timedelta(seconds=1)}
        for status in ("created", "awaiting:payment")
    ],
    **{f"`{status}`": [{"status": status}] for status in ("complete", "cancelled", "refunded")},
}
PAYMENTS: dict[str, dict[str, Any]] = {
    "`pending`, a card, no intent yet": {},
    "`pending`, a card, intent made": {"intent_id": "pi_1"},
    "`pending`, a card, the bank asks": {"intent_id": "pi_1", "bank_check": True},
    "`pending`, Stripe's page, not open yet": {"token": None, "page_until": NOW + timedelta(hours=1)},
    "`pending`, Stripe's page, not open and about to end": {"token": None, "page_until": SOON_OVER},
    "`pending`, Stripe's page, opened": {"token": None, "session_id": "cs_1"},
    **{
        f"`{status}`": {"status": status, "intent_id": "pi_1"}
        for status in ("failed", "authorized", "captured", "refunding", "voided", "refunded")
    },
}


def table() -> dict[tuple[str, str], str]:
    rows = re.findall(r"^\| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    cells = [row.split(" | ") for row in rows]
    start = next(index for index, row in enumerate(cells) if row[0].startswith("payment \\"))
    header = cells[start][1:]
    found = {}
    for name, *steps in cells[start + 1 : start + 1 + len(PAYMENTS)]:
        found.update({(name, order): step for order, step in zip(header, steps, strict=True)})
    return found


@pytest.mark.parametrize(("paid", "ordered"), list(product(PAYMENTS, ORDERS)))
def test_the_table_says_what_is_done(paid: str, ordered: str) -> None:
    for order in ORDERS[ordered]:
        state = payable(**{"expires_at": SOON, **order})
        assert rules.next_step(state, payment(**PAYMENTS[paid]), NOW).name == table()[paid, ordered]


def test_the_table_has_no_other_rows() -> None:
    assert set(table()) == set(product(PAYMENTS, ORDERS))
