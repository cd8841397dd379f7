"""What operators read of a reported problem."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest

from contracts.api import ReportedOrder
from contracts.events import DeliveryState, ProblemKind
from contracts.examples import API_EXAMPLES
from ops.console.problems import DELIVERIES, KINDS, Shown

[EXAMPLE] = [each for each in API_EXAMPLES if isinstance(each, ReportedOrder)]
AT = datetime(2031, 12, 12, 20, 0, tzinfo=UTC)


def shown(**changes: Any) -> Shown:
    return Shown(EXAMPLE.model_copy(update=changes), [], "EUR")


def test_amounts_have_their_currency() -> None:
    partly = shown(price=Decimal("25.50"), refunded_amount=500)
    assert (partly.price, partly.refunded) == ("25.50 EUR", "5.00 EUR")
    assert shown(refunded_amount=0).refunded is None


@pytest.mark.parametrize(
    ("starts_at", "zone", "text"),
    [
        (AT, "Europe/Berlin", "2031-12-12 21:00 (Europe/Berlin)"),
        (AT, None, "2031-12-12 20:00 (UTC)"),
        (AT, "Europe/Nowhere", "2031-12-12 20:00 (UTC)"),
        (None, None, "Without a date"),
    ],
)
def test_the_start_is_in_the_time_zone_of_the_event(
    starts_at: datetime | None, zone: str | None, text: str
) -> None:
    assert shown(starts_at=starts_at, time_zone=zone).starts_at == text


def test_every_kind_of_problem_and_state_of_delivery_has_words() -> None:
    assert set(KINDS) == set(get_args(ProblemKind.__value__))
    assert set(DELIVERIES) == {None, *get_args(DeliveryState.__value__)}
