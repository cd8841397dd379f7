"""The table in docs/payments.md shows the same steps as `next_step`."""

import re
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from services.payments import rules
from tests.unit.rules.builders import NOW, SOON, payable, payment

ABOUT_TO_END = NOW + timedelta(minutes=31)

DOCUMENT = Path(__file__).parents[3] / "docs" / "payments.md"

ORDERS: dict[str, list[dict[str, Any]]] = {
    "live": [{"status": "created"}, {"status": "awaiting:payment"}],
    "live, expired": [
        {"status": status, "expires_at": NOW - timedelta(seconds=1)}
        for status in ("created", "awaiting:payment")
    ],
    **{f"`{status}`": [{"status": status}] for status in ("complete", "cancelled", "refunded")},
}
PAYMENTS: dict[str, dict[str, Any]] = {
    "`pending`, card, no PaymentIntent": {},
    "`pending`, card, PaymentIntent created": {"intent_id": "pi_1"},
    "`pending`, card, bank check": {"intent_id": "pi_1", "bank_check": True},
    "`pending`, Stripe's page, not open": {"token": None, "page_expires_at": NOW + timedelta(hours=1)},
    "`pending`, Stripe's page, not open and about to end": {"token": None, "page_expires_at": ABOUT_TO_END},
    "`pending`, Stripe's page, open": {"token": None, "session_id": "cs_1"},
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
def test_the_table_shows_the_next_step(paid: str, ordered: str) -> None:
    for order in ORDERS[ordered]:
        state = payable(**{"expires_at": SOON, **order})
        assert rules.next_step(state, payment(**PAYMENTS[paid]), NOW).name == table()[paid, ordered]


def test_the_table_has_exactly_one_cell_for_each_pair_of_states() -> None:
    assert set(table()) == set(product(PAYMENTS, ORDERS))
