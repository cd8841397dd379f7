"""What the comparison of books says of one order. The books here are made up."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderStatus, PaymentStatus
from services.orders.books import OrderEntry
from services.payments.gateway import Booked
from streams.books import Account, accounts, audit, line, summary
from tests.books.accounts import NOON, ORDER, PRICE, TICKET, audited, intent, order, payment

LATE = timedelta(minutes=-3)
"""More than two minutes past the deadline."""

AT_REST = {
    "paid": (order("complete"), payment("captured"), intent(captured=PRICE)),
    "cancelled before anybody paid": (order("cancelled"),),
    "cancelled before the intent was made": (order("cancelled"), payment("voided", intent_id=None)),
    "cancelled after a bank's yes": (order("cancelled"), payment("voided"), intent(approved=True)),
    "cancelled after a decline": (order("cancelled"), payment("voided"), intent()),
    "cancelled, taken and given back": (
        order("cancelled"),
        payment("refunded"),
        intent(captured=PRICE, refunded=PRICE),
    ),
    "refunded": (order("refunded"), payment("refunded"), intent(captured=PRICE, refunded=PRICE)),
}

UNDER_WAY = {
    "reserved": (order("created"),),
    "declined so far": (order("created"), payment("failed"), intent()),
    "at the bank": (order("awaiting:payment"), payment("pending"), intent()),
    "approved, and payments hasn't heard": (order("created"), payment("pending"), intent(held=PRICE)),
    "authorized, and orders hasn't decided": (order("created"), payment("authorized"), intent(held=PRICE)),
    "about to be captured": (order("complete"), payment("authorized"), intent(held=PRICE)),
    "captured, and the answer was lost": (order("complete"), payment("authorized"), intent(captured=PRICE)),
    "about to be let go": (order("cancelled"), payment("authorized"), intent(held=PRICE)),
    "let go, and the answer was lost": (order("cancelled"), payment("pending"), intent()),
    "being refunded": (order("complete"), payment("refunding"), intent(captured=PRICE)),
    "refunded, and the answer was lost": (
        order("complete"),
        payment("refunding"),
        intent(captured=PRICE, refunded=PRICE),
    ),
    "just past its deadline": (order("created", time_left=timedelta(seconds=-90)),),
}

BROKEN: dict[str, tuple[tuple[Any, ...], str]] = {
    "two approved intents": (
        (
            order("complete"),
            payment("captured"),
            intent(captured=PRICE),
            intent(intent_id="pi_2", approved=True),
        ),
        "banks approved more than one intent of the order: pi_1, pi_2",
    ),
    "charged twice": (
        (
            order("complete"),
            payment("captured"),
            intent(captured=PRICE),
            intent(intent_id="pi_2", captured=PRICE),
        ),
        "banks approved more than one intent of the order: pi_1, pi_2",
    ),
    "another intent than the payment's was approved": (
        (order("complete"), payment("captured", intent_id="pi_9"), intent(captured=PRICE)),
        "pi_1 was approved, and isn't the payment's intent",
    ),
    "captured before the order is complete": (
        (order("created"), payment("authorized"), intent(captured=PRICE)),
        "captured, though the order is created",
    ),
    "captured while the bank is asked": (
        (order("awaiting:payment"), payment("captured"), intent(captured=PRICE)),
        "captured, though the order is awaiting:payment",
    ),
    "complete for nothing": (
        (order("complete"), payment("captured"), intent()),
        "the order is complete, and nothing was captured",
    ),
    "complete without a payment": ((order("complete"),), "the order is complete, and nothing was captured"),
    "complete, its payment voided at Stripe": (
        (order("complete"), payment("voided"), intent(approved=True)),
        "the order is complete, its payment voided",
    ),
    "complete, authorized and never captured": (
        (order("complete", time_left=LATE), payment("authorized"), intent(held=PRICE)),
        "under way for too long: about to be captured",
    ),
    "captured another amount": (
        (order("complete"), payment("captured"), intent(captured=1000)),
        "Stripe captured 10.00 for a payment of 19.99",
    ),
    "authorized another amount": (
        (order("created"), payment("authorized"), intent(held=100)),
        "Stripe holds 1.00 for a payment of 19.99",
    ),
    "a payment of another amount than the price": (
        (order("complete", price=2000), payment("captured"), intent(captured=PRICE)),
        "the payment is of 19.99, the order of 20.00",
    ),
    "another currency": (
        (order("complete"), payment("captured"), intent(captured=PRICE, currency="eur")),
        "Stripe counts in eur, the payment in usd",
    ),
    "cancelled, taken and kept": (
        (order("cancelled"), payment("captured"), intent(captured=PRICE)),
        "the order is cancelled, and 19.99 of it captured and not refunded",
    ),
    "cancelled, and given back in part": (
        (order("cancelled"), payment("refunded"), intent(captured=PRICE, refunded=999)),
        "the order is cancelled, and 10.00 of it captured and not refunded",
    ),
    "an authorization left open": (
        (order("cancelled", time_left=LATE), payment("authorized"), intent(held=PRICE)),
        "under way for too long: about to be let go",
    ),
    "an authorization that payments thinks is voided": (
        (order("cancelled"), payment("voided"), intent(held=PRICE)),
        "the payment is voided, and an authorization is open",
    ),
    "an authorization beside the captured one": (
        (
            order("complete"),
            payment("captured"),
            intent(captured=PRICE),
            intent(intent_id="pi_2", held=PRICE),
        ),
        "captured, and another authorization is open",
    ),
    "an approval that payments takes for a decline": (
        (order("created"), payment("failed"), intent(held=PRICE)),
        "the payment is failed, and an authorization is open",
    ),
    "a refunded order whose money Stripe keeps": (
        (order("refunded"), payment("refunded"), intent(captured=PRICE)),
        "the order is refunded, and Stripe keeps 19.99 of it",
    ),
    "a refunded order that nobody ever paid": (
        (order("refunded"), payment("refunded"), intent()),
        "the order is refunded, and nothing was ever captured",
    ),
    "a refunded order whose payment isn't": (
        (order("refunded"), payment("captured"), intent(captured=PRICE)),
        "the order is refunded, its payment captured",
    ),
    "refunded at Stripe alone": (
        (order("complete"), payment("captured"), intent(captured=PRICE, refunded=PRICE)),
        "Stripe refunded 19.99, and the payment is captured",
    ),
    "refunded at Stripe alone, in part": (
        (order("complete"), payment("captured"), intent(captured=PRICE, refunded=1)),
        "Stripe refunded 0.01, and the payment is captured",
    ),
    "refunded, and orders never heard": (
        (order("complete"), payment("refunded"), intent(captured=PRICE, refunded=PRICE)),
        "the order is complete, its payment refunded",
    ),
    "refunded more than captured": (
        (order("refunded"), payment("refunded"), intent(captured=PRICE, refunded=2500)),
        "Stripe refunded 25.00 of 19.99 captured",
    ),
    "a payment that is captured without Stripe": (
        (order("complete"), payment("captured"), intent(held=PRICE)),
        "the payment is captured, and Stripe captured nothing",
    ),
    "a payment that is authorized without Stripe": (
        (order("created"), payment("authorized"), intent()),
        "the payment is authorized, and Stripe holds nothing",
    ),
    "a payment that is refunded without Stripe": (
        (order("cancelled"), payment("refunded"), intent(approved=True)),
        "the payment is refunded, and Stripe refunded 0.00",
    ),
    "a refund of what was never taken": (
        (order("complete"), payment("refunding"), intent(held=PRICE)),
        "the payment is being refunded, and Stripe captured nothing",
    ),
    "a payment that thinks it failed, and was taken": (
        (order("cancelled"), payment("failed"), intent(captured=PRICE)),
        "the payment is failed, and Stripe captured 19.99",
    ),
    "two payments": (
        (order("complete"), payment("captured"), payment("failed"), intent(captured=PRICE)),
        "the order has 2 payments",
    ),
    "a payment of no order": (
        (payment("captured"), intent(captured=PRICE)),
        "payments has a payment of an order that doesn't exist",
    ),
    "an intent of no order": ((intent(),), "pi_1 is of an order that doesn't exist"),
    "an intent without a payment": (
        (order("created"), intent()),
        "Stripe has an intent of an order without a payment",
    ),
    "an order that never ended": (
        (order("created", time_left=LATE),),
        "under way for too long: the order is created",
    ),
    "a cancelled order whose payment never ended": (
        (order("cancelled", time_left=LATE), payment("failed"), intent()),
        "under way for too long: the payment is failed",
    ),
}


@pytest.mark.parametrize("entries", AT_REST.values(), ids=AT_REST)
@pytest.mark.parametrize("settled", [False, True], ids=["any time", "settled"])
def test_books_that_agree_have_nothing_to_say(entries: tuple[Any, ...], settled: bool) -> None:
    found = audited(*entries, settled=settled)
    assert (found.differences, found.under_way) == ((), ())


@pytest.mark.parametrize("entries", UNDER_WAY.values(), ids=UNDER_WAY)
def test_what_is_under_way_is_shown_and_no_difference(entries: tuple[Any, ...]) -> None:
    found = audited(*entries)
    assert found.differences == ()
    assert found.under_way


@pytest.mark.parametrize("entries", UNDER_WAY.values(), ids=UNDER_WAY)
def test_once_everything_is_settled_nothing_may_be_under_way(entries: tuple[Any, ...]) -> None:
    found = audited(*entries, settled=True)
    assert all(words.startswith("still under way: ") for words in found.differences)
    assert found.differences
    assert found.under_way == ()


@pytest.mark.parametrize(("entries", "words"), BROKEN.values(), ids=BROKEN)
def test_broken_books_are_told_in_words(entries: tuple[Any, ...], words: str) -> None:
    assert words in audited(*entries).differences


@pytest.mark.parametrize(
    ("minutes", "differences", "under_way"),
    [(59, (), ("being refunded",)), (61, ("under way for too long: being refunded",), ())],
)
def test_a_refund_may_take_an_hour_from_when_it_was_asked_for(
    minutes: int, differences: tuple[str, ...], under_way: tuple[str, ...]
) -> None:
    asked = payment("refunding", refund_asked_at=NOON - timedelta(minutes=minutes))
    found = audited(order("complete", time_left=LATE), asked, intent(captured=PRICE))
    assert (found.differences, found.under_way) == (differences, under_way)


AMOUNTS = st.sampled_from([0, 1, PRICE, 2 * PRICE])
ORDERS = st.builds(
    order,
    st.sampled_from(get_args(OrderStatus)),
    price=st.sampled_from([PRICE, 1]),
    time_left=st.sampled_from([LATE, timedelta(minutes=5)]),
)
PAYMENTS = st.builds(
    payment, st.sampled_from(get_args(PaymentStatus)), intent_id=st.sampled_from([None, "pi_1"])
)
INTENTS = st.builds(
    intent,
    held=AMOUNTS,
    captured=AMOUNTS,
    refunded=AMOUNTS,
    approved=st.booleans(),
    currency=st.sampled_from(["usd", "eur"]),
    intent_id=st.sampled_from(["pi_1", "pi_2"]),
)


@given(
    st.none() | ORDERS,
    st.lists(PAYMENTS, max_size=2),
    st.lists(INTENTS, max_size=3),
    st.booleans(),
)
def test_something_is_said_of_whatever_the_books_hold(
    ordered: OrderEntry | None, payments: list[Any], intents: list[Any], settled: bool
) -> None:
    account = Account(ORDER, ordered, tuple(payments), tuple(intents))
    found = audit(account, NOON, settled=settled)
    assert line(found).startswith(ORDER)
    if ordered is not None and not found.differences and not found.under_way:
        kept = account.captured - account.refunded
        assert kept == (ordered.price if ordered.status == "complete" else 0)
        assert account.authorized == 0


def test_whatever_anybody_knows_of_is_an_account_newest_last() -> None:
    newer, unknown = "75f0c0ffee0000000000000b", "85f0c0ffee0000000000000b"
    first = order("complete")
    found = accounts(
        [OrderEntry(newer, TICKET, "created", 1, NOON), first],
        [payment("captured")],
        [intent(captured=PRICE), intent_of(unknown)],
    )
    assert [account.order_id for account in found] == [ORDER, newer, unknown]
    assert [len(account.intents) for account in found] == [1, 0, 1]
    assert found[2].order is None


def test_a_line_tells_everybodys_books_and_what_is_wrong() -> None:
    told = line(audited(order("cancelled"), payment("captured", attempts=2), intent(captured=PRICE)))
    for words in (
        ORDER,
        "cancelled",
        "19.99",
        "captured",
        "2x",
        "held",
        "intents 1",
        "DIFFERS",
        "not refunded",
    ):
        assert words in told


def test_the_summary_counts_orders_money_and_differences() -> None:
    findings = [audited(*entries) for entries in (*AT_REST.values(), UNDER_WAY["reserved"])]
    findings.append(audited(*BROKEN["charged twice"][0]))
    told = summary(findings)
    assert told.startswith("9 orders, ")
    assert "captured 99.95, refunded 39.98" in told
    assert told.endswith("1 under way, 1 with differences.")


def intent_of(order_id: str) -> Booked:
    return replace(intent(), order_id=order_id)
