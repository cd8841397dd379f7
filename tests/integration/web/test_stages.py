"""The stage that an order page shows for each combination of the states of an order and its payment."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.api import Order, OrderTicket, Payment
from web.order_stage import Stage, on_return, stage_of, step_of

NOW = datetime(2026, 12, 12, 20, 0, tzinfo=UTC)
PAYMENTS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "pending": {"status": "pending"},
    "bank": {"status": "pending", "action_url": "https://bank.test/ask"},
    "page": {"status": "pending", "page_url": "https://checkout.stripe.com/c/pay/1"},
    "failed": {"status": "failed"},
    "authorized": {"status": "authorized"},
    "captured": {"status": "captured"},
    "voided": {"status": "voided"},
    "refunding": {"status": "refunding"},
    "refunded": {"status": "refunded"},
}
ORDERS: dict[str, dict[str, Any]] = {
    "created": {"status": "created"},
    "created-late": {"status": "created", "expires_at": NOW},
    "awaiting": {"status": "awaiting:payment"},
    "awaiting-late": {"status": "awaiting:payment", "expires_at": NOW},
    "complete": {"status": "complete"},
    "cancelled": {"status": "cancelled", "cancel_reason": "buyer"},
    "expired": {"status": "cancelled", "cancel_reason": "expired", "expires_at": NOW},
    "refunded": {"status": "refunded"},
    "relisted": {"status": "refunded", "relisted": True},
    "refused": {"status": "cancelled", "hold_refused": True},
    "stopped": {"status": "cancelled", "cancelled_by_operator": True},
}
TABLE = """
           | created    created-late awaiting   awaiting-late complete  cancelled expired   refunded relisted
none       | unpaid     expiring     checking   checking      paid      cancelled expired   refunded refunded
pending    | checking   checking     checking   checking      checking  voiding   voiding   refunded refunded
bank       | bank-check expiring     bank-check expiring      bank-check voiding  voiding   refunded refunded
page       | at-stripe  expiring     at-stripe  expiring      at-stripe voiding   voiding   refunded refunded
failed     | declined   expiring     declined   expiring      declined  cancelled expired   refunded refunded
authorized | confirming confirming   confirming confirming     paid      voiding   voiding   refunded refunded
captured   | checking   checking     checking   checking      captured  refunding refunding refunded refunded
voided     | ended-at-stripe expiring ended-at-stripe expiring lapsed cancelled voided refunded refunded
refunding  | checking   checking     checking   checking      refunding refunding refunding refunded refunded
refunded   | checking   checking     checking   checking      refunding refunded  refunded  refunded refunded
"""
"""The stage for each state of the payment (rows) and each state of the order (columns).

A refused order, and one that an operator stopped, has the stage of an expired one, but says why it ended.
"""


def cells() -> list[tuple[str, str, str]]:
    header, *rows = [line.split("|") for line in TABLE.strip("\n").splitlines()]
    found = []
    for payment, states in rows:
        stages = dict(zip(header[1].split(), states.split(), strict=True))
        for why in ("refused", "stopped"):
            stages[why] = why if stages["expired"] in {"expired", "voided"} else stages["expired"]
        found += [(order, payment.strip(), expected) for order, expected in stages.items()]
    return found


def stage(
    order: str,
    payment: str,
    at: datetime = NOW,
    *,
    starts_at: datetime | None = None,
    pay_after_start: bool = True,
) -> Stage:
    ticket = OrderTicket(id="a" * 24, title="Nick Cave", price=Decimal(20), version=0, starts_at=starts_at)
    defaults = {"expires_at": NOW + timedelta(minutes=15)}
    fields: dict[str, Any] = {"id": "b" * 24, "user_id": "c" * 24, "version": 0, "ticket": ticket}
    loaded = Order.model_validate({**fields, **defaults, **ORDERS[order]})
    fields = {"id": "d" * 24, "order_id": loaded.id, "amount": 2000, "currency": "usd"}
    changes = PAYMENTS[payment]
    paid = Payment.model_validate({**fields, **changes}) if changes else None
    return stage_of(loaded, paid, at, pay_after_start=pay_after_start)


@pytest.mark.parametrize(("order", "payment", "expected"), cells())
@pytest.mark.parametrize("pay_after_start", [True, False])
def test_after_the_start_an_order_that_can_no_longer_be_paid_says_so(
    order: str, payment: str, expected: str, pay_after_start: bool
) -> None:
    can_begin = {"ended-at-stripe", "unpaid", "declined"}
    is_too_late = not pay_after_start and order != "complete" and expected in can_begin
    found = stage(order, payment, starts_at=NOW, pay_after_start=pay_after_start)
    assert found.name == ("begun" if is_too_late else expected)
    before = NOW + timedelta(minutes=1)
    assert stage(order, payment, starts_at=before, pay_after_start=pay_after_start).name == expected


def test_the_table_covers_every_combination() -> None:
    assert [(order, payment) for order, payment, _ in cells()] == [
        (order, payment) for payment in PAYMENTS for order in ORDERS
    ]


@pytest.mark.parametrize(("order", "payment", "expected"), cells())
def test_the_stage_follows_from_the_order_its_payment_and_the_time(
    order: str, payment: str, expected: str
) -> None:
    assert stage(order, payment).name == expected


@pytest.mark.parametrize(("order", "payment", "expected"), cells())
def test_the_stage_determines_whether_an_order_can_be_paid_or_cancelled(
    order: str, payment: str, expected: str
) -> None:
    found = stage(order, payment)
    assert found.can_pay == (expected in {"unpaid", "declined", "ended-at-stripe", "lapsed"})
    held = {"unpaid", "declined", "bank-check", "at-stripe", "ended-at-stripe"}
    is_complete = order == "complete"
    assert found.has_deadline == (expected in held and not is_complete)
    assert found.can_cancel == (expected in held | {"checking", "confirming"} and not is_complete)


@pytest.mark.parametrize(("order", "payment", "expected"), cells())
def test_each_stage_belongs_to_one_step_of_the_checkout_or_to_none(
    order: str, payment: str, expected: str
) -> None:
    found = stage(order, payment)
    paying = {"unpaid", "declined", "bank-check", "at-stripe", "ended-at-stripe", "checking", "confirming"}
    paying |= {"expiring", "lapsed"}
    owned = {"paid", "captured"} | ({"refunded"} if order == "refunded" else set())
    step = "pay" if expected in paying else "ticket" if expected in owned else None
    assert step_of(found, goes_to_pay=True) == step
    assert step_of(found, goes_to_pay=False) == ("review" if found.can_pay else step)


@pytest.mark.parametrize(("order", "payment", "expected"), cells())
def test_every_stage_except_the_final_ones_has_live_updates(order: str, payment: str, expected: str) -> None:
    is_final = expected in {"cancelled", "expired", "voided", "refused", "stopped"} or (
        expected == "refunded" and order != "refunded"
    )
    assert stage(order, payment).listens is not is_final


@pytest.mark.parametrize(("order", "payment", "expected"), cells())
def test_a_buyer_who_returns_from_stripe_before_the_outcome_is_not_asked_to_pay_again(
    order: str, payment: str, expected: str
) -> None:
    unknown = {"unpaid", "at-stripe", "bank-check"}
    assert on_return(stage(order, payment)).name == ("checking" if expected in unknown else expected)


@pytest.mark.parametrize(
    "order", ["complete", "cancelled", "expired", "refused", "stopped", "refunded", "relisted"]
)
@pytest.mark.parametrize("payment", PAYMENTS)
def test_the_stage_of_a_finished_order_does_not_depend_on_the_time(order: str, payment: str) -> None:
    days = [NOW - timedelta(days=1), NOW, NOW + timedelta(days=1)]
    assert len({stage(order, payment, day) for day in days}) == 1
