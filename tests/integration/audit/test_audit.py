"""The rules of an audit, which compare the records of one order."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import OrderStatus, PaymentStatus
from ops.audit.accounts import Account, OrderEntry, PaymentEntry, accounts
from ops.audit.report import Totals, line
from ops.audit.rules import audit
from services.payments.stripe_gateway.ledger import StripeRecord
from tests.integration.audit.records import (
    NOON,
    ORDER,
    PRICE,
    dispute,
    finding_for,
    intent,
    order,
    payment,
    refund,
)

LATE = timedelta(minutes=-3)
"""A negative time left: the deadline of the order and the grace period of two minutes have passed."""

AT_REST = {
    "paid": (order("complete"), payment("captured"), intent(captured=PRICE)),
    "paid after the authorization of an earlier attempt lapsed": (
        order("complete"),
        payment("captured", intent_id="pi_2", ended=("pi_1",)),
        intent(intent_id="pi_2", captured=PRICE),
        intent(approved=True),
    ),
    "cancelled without a payment": (order("cancelled"),),
    "cancelled before the intent was created": (order("cancelled"), payment("voided", intent_id=None)),
    "cancelled after an authorization": (order("cancelled"), payment("voided"), intent(approved=True)),
    "cancelled after a decline": (order("cancelled"), payment("voided"), intent()),
    "cancelled, captured and refunded": (
        order("cancelled"),
        payment("refunded"),
        intent(captured=PRICE, refunded=PRICE),
    ),
    "refunded": (order("refunded"), payment("refunded"), intent(captured=PRICE, refunded=PRICE)),
    "partly refunded": (
        order("complete", refunded=500),
        payment("captured", refunds=[refund(500)]),
        intent(captured=PRICE, refunded=500),
    ),
    "refunded without Stripe": (
        order("refunded"),
        payment("refunded", refunds=[refund(PRICE, "failed"), refund(PRICE, id_="other-2")]),
        intent(captured=PRICE),
    ),
    "disputed": (
        order("complete"),
        payment("captured", disputes=[dispute("open")]),
        intent(captured=PRICE, disputes=(dispute("open"),)),
    ),
    "returned by the bank": (
        order("refunded"),
        payment("refunded", disputes=[dispute("lost")]),
        intent(captured=PRICE, refunded=PRICE, disputes=(dispute("lost"),)),
    ),
}

UNDER_WAY = {
    "reserved": (order("created"),),
    "declined, with time left for another card": (order("created"), payment("failed"), intent()),
    "cancelled at Stripe, with time left for another attempt": (
        order("created"),
        payment("voided"),
        intent(),
    ),
    "during the bank check": (order("awaiting:payment"), payment("pending"), intent()),
    "authorized at Stripe, but payments has not read the result": (
        order("created"),
        payment("pending"),
        intent(held=PRICE),
    ),
    "authorized, but orders has not decided": (order("created"), payment("authorized"), intent(held=PRICE)),
    "about to be captured": (order("complete"), payment("authorized"), intent(held=PRICE)),
    "captured, but the response of Stripe was lost": (
        order("complete"),
        payment("authorized"),
        intent(captured=PRICE),
    ),
    "about to be voided": (order("cancelled"), payment("authorized"), intent(held=PRICE)),
    "canceled at Stripe, but the response was lost": (order("cancelled"), payment("pending"), intent()),
    "being refunded": (order("complete"), payment("refunding"), intent(captured=PRICE)),
    "refunded, but the response of Stripe was lost": (
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
    "an intent other than that of the payment was approved": (
        (order("complete"), payment("captured", intent_id="pi_9"), intent(captured=PRICE)),
        "pi_1 was approved, but isn't the payment's intent",
    ),
    "captured before the order is complete": (
        (order("created"), payment("authorized"), intent(captured=PRICE)),
        "Stripe captured money, but the order is created",
    ),
    "captured during the bank check": (
        (order("awaiting:payment"), payment("captured"), intent(captured=PRICE)),
        "Stripe captured money, but the order is awaiting:payment",
    ),
    "complete, but nothing was captured": (
        (order("complete"), payment("captured"), intent()),
        "the order is complete, but nothing was captured",
    ),
    "complete without a payment": ((order("complete"),), "the order is complete, but nothing was captured"),
    "complete, but the payment was voided": (
        (order("complete"), payment("voided"), intent(approved=True)),
        "the order is complete, but its payment is voided",
    ),
    "complete, but not captured in time": (
        (order("complete", time_left=LATE), payment("authorized"), intent(held=PRICE)),
        "under way for too long: the capture of the payment",
    ),
    "the captured amount differs from the payment": (
        (order("complete"), payment("captured"), intent(captured=1000)),
        "Stripe captured 10.00 for a payment of 19.99",
    ),
    "the authorized amount differs from the payment": (
        (order("created"), payment("authorized"), intent(held=100)),
        "Stripe holds 1.00 for a payment of 19.99",
    ),
    "the amount of the payment differs from the price": (
        (order("complete", price=2000), payment("captured"), intent(captured=PRICE)),
        "the payment's amount is 19.99, but the order's price is 20.00",
    ),
    "the currency at Stripe differs from that of the payment": (
        (order("complete"), payment("captured"), intent(captured=PRICE, currency="eur")),
        "the intent's currency is eur, but the payment's is usd",
    ),
    "cancelled, but captured and not refunded": (
        (order("cancelled"), payment("captured"), intent(captured=PRICE)),
        "the order is cancelled, but 19.99 was captured and not refunded",
    ),
    "cancelled, but only partly refunded": (
        (order("cancelled"), payment("refunded"), intent(captured=PRICE, refunded=999)),
        "the order is cancelled, but 10.00 was captured and not refunded",
    ),
    "an authorization that was not voided in time": (
        (order("cancelled", time_left=LATE), payment("authorized"), intent(held=PRICE)),
        "under way for too long: the voiding of the payment",
    ),
    "an open authorization of a voided payment": (
        (order("cancelled"), payment("voided"), intent(held=PRICE)),
        "the payment is voided, but an authorization is open",
    ),
    "a second authorization besides the captured one": (
        (
            order("complete"),
            payment("captured"),
            intent(captured=PRICE),
            intent(intent_id="pi_2", held=PRICE),
        ),
        "Stripe captured money, but another authorization is open",
    ),
    "an open authorization of a failed payment": (
        (order("created"), payment("failed"), intent(held=PRICE)),
        "the payment is failed, but an authorization is open",
    ),
    "a refunded order without a refund at Stripe": (
        (order("refunded"), payment("refunded"), intent(captured=PRICE)),
        "the order is refunded, but 19.99 was captured and not refunded",
    ),
    "a refunded order without a captured amount": (
        (order("refunded"), payment("refunded"), intent()),
        "the order is refunded, but nothing was ever captured",
    ),
    "a refunded order whose payment is not refunded": (
        (order("refunded"), payment("captured"), intent(captured=PRICE)),
        "the order is refunded, but its payment is captured",
    ),
    "refunded only at Stripe": (
        (order("complete"), payment("captured"), intent(captured=PRICE, refunded=PRICE)),
        "Stripe refunded 19.99, payments knows of 0.00",
    ),
    "partly refunded only at Stripe": (
        (order("complete"), payment("captured"), intent(captured=PRICE, refunded=1)),
        "Stripe refunded 0.01, payments knows of 0.00",
    ),
    "partly refunded, but orders doesn't know it": (
        (
            order("complete"),
            payment("captured", refunds=[refund(500)]),
            intent(captured=PRICE, refunded=500),
        ),
        "payments refunded 5.00, but orders knows of 0.00",
    ),
    "a refund that failed": (
        (order("complete"), payment("refunding", refunds=[refund(PRICE, "failed")]), intent(captured=PRICE)),
        "the refund failed (lost): try again, or return the money in another way",
    ),
    "disputed only at Stripe": (
        (
            order("complete"),
            payment("captured"),
            intent(captured=PRICE, disputes=(dispute("open"),)),
        ),
        "the dispute du_1 is open, but payments doesn't know that",
    ),
    "a refunded payment of a complete order": (
        (order("complete"), payment("refunded"), intent(captured=PRICE, refunded=PRICE)),
        "the order is complete, but its payment is refunded",
    ),
    "refunded more than captured": (
        (order("refunded"), payment("refunded"), intent(captured=PRICE, refunded=2500)),
        "Stripe refunded 25.00, but captured only 19.99",
    ),
    "a captured payment without a capture at Stripe": (
        (order("complete"), payment("captured"), intent(held=PRICE)),
        "the payment is captured, but Stripe captured nothing",
    ),
    "an authorized payment without an authorization at Stripe": (
        (order("created"), payment("authorized"), intent()),
        "the payment is authorized, but Stripe holds nothing",
    ),
    "a refunded payment without a refund at Stripe": (
        (order("cancelled"), payment("refunded"), intent(approved=True)),
        "the payment is refunded, but Stripe refunded only 0.00",
    ),
    "a requested refund of a payment that was not captured": (
        (order("complete"), payment("refunding"), intent(held=PRICE)),
        "the payment is being refunded, but Stripe captured nothing",
    ),
    "a failed payment that was captured at Stripe": (
        (order("cancelled"), payment("failed"), intent(captured=PRICE)),
        "the payment is failed, but Stripe captured 19.99",
    ),
    "two payments": (
        (order("complete"), payment("captured"), payment("failed"), intent(captured=PRICE)),
        "the order has 2 payments",
    ),
    "a payment of an unknown order": (
        (payment("captured"), intent(captured=PRICE)),
        "payments has a payment of an order that doesn't exist",
    ),
    "an intent of an unknown order": ((intent(),), "pi_1 belongs to an order that doesn't exist"),
    "an intent without a payment": (
        (order("created"), intent()),
        "Stripe has an intent of an order without a payment",
    ),
    "an order that was neither paid nor cancelled in time": (
        (order("created", time_left=LATE),),
        "under way for too long: the order is created",
    ),
    "a cancelled order whose payment was not voided in time": (
        (order("cancelled", time_left=LATE), payment("failed"), intent()),
        "under way for too long: the payment is failed",
    ),
}


@pytest.mark.parametrize("entries", AT_REST.values(), ids=AT_REST)
@pytest.mark.parametrize("settled", [False, True], ids=["not settled", "settled"])
def test_consistent_records_have_no_finding(entries: tuple[Any, ...], settled: bool) -> None:
    finding = finding_for(*entries, settled=settled)
    assert (finding.differences, finding.under_way) == ((), ())


@pytest.mark.parametrize("entries", UNDER_WAY.values(), ids=UNDER_WAY)
def test_a_transition_under_way_is_listed_but_is_not_a_difference(entries: tuple[Any, ...]) -> None:
    finding = finding_for(*entries)
    assert finding.differences == ()
    assert finding.under_way


@pytest.mark.parametrize("entries", UNDER_WAY.values(), ids=UNDER_WAY)
def test_a_settled_audit_reports_a_transition_under_way_as_a_difference(entries: tuple[Any, ...]) -> None:
    finding = finding_for(*entries, settled=True)
    assert all(difference.startswith("still under way: ") for difference in finding.differences)
    assert finding.differences
    assert finding.under_way == ()


@pytest.mark.parametrize(("entries", "difference"), BROKEN.values(), ids=BROKEN)
def test_a_difference_between_records_is_described_in_a_sentence(
    entries: tuple[Any, ...], difference: str
) -> None:
    assert difference in finding_for(*entries).differences


@pytest.mark.parametrize(
    ("minutes", "differences", "under_way"),
    [(59, (), ("the refund",)), (61, ("under way for too long: the refund",), ())],
)
def test_a_refund_may_take_an_hour(
    minutes: int, differences: tuple[str, ...], under_way: tuple[str, ...]
) -> None:
    refunding = payment("refunding", refund_requested_at=NOON - timedelta(minutes=minutes))
    finding = finding_for(order("complete", time_left=LATE), refunding, intent(captured=PRICE))
    assert (finding.differences, finding.under_way) == (differences, under_way)


AMOUNTS = st.sampled_from([0, 1, PRICE, 2 * PRICE])
ORDERS = st.builds(
    order,
    st.sampled_from(get_args(OrderStatus.__value__)),
    price=st.sampled_from([PRICE, 1]),
    time_left=st.sampled_from([LATE, timedelta(minutes=5)]),
)
PAYMENTS = st.builds(
    payment, st.sampled_from(get_args(PaymentStatus.__value__)), intent_id=st.sampled_from([None, "pi_1"])
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
def test_an_audit_of_any_combination_of_records_misses_no_wrong_amount(
    ordered: OrderEntry | None, payments: list[Any], intents: list[Any], settled: bool
) -> None:
    account = Account(ORDER, ordered, tuple(payments), tuple(intents))
    finding = audit(account, NOON, settled=settled)
    assert line(finding).startswith(ORDER)
    if ordered is not None and not finding.differences and not finding.under_way:
        kept = account.captured - account.refunded
        assert kept == (ordered.price if ordered.status == "complete" else 0)
        assert account.authorized == 0


def entries_of(seconds: int, *, is_paid: bool = True) -> tuple[OrderEntry, PaymentEntry, StripeRecord]:
    """The entries of an order that was made this many seconds after noon."""
    made = int(NOON.timestamp()) + seconds
    key = f"{made:08x}{ORDER[8:]}"
    return (
        order("complete").model_copy(update={"order_id": key}),
        payment("captured").model_copy(update={"order_id": key}),
        replace(intent(captured=PRICE), order_id=key, created=made + 60),
    )


class Source:
    """Entries that are read one after the other. It counts how many have been read."""

    def __init__(self, entries: Iterable[Any]) -> None:
        self._entries = list(entries)
        self.read = 0

    def __aiter__(self) -> "Source":
        return self

    async def __anext__(self) -> Any:
        if self.read == len(self._entries):
            raise StopAsyncIteration
        self.read += 1
        return self._entries[self.read - 1]


async def test_accounts_include_every_order_of_any_record_from_newest_to_oldest() -> None:
    (order_1, payment_1, intent_1), (order_2, _, _), (_, payment_3, _), (_, _, intent_4) = map(
        entries_of, (0, 10, 20, 30)
    )
    _, _, intent_0 = entries_of(-100_000)
    found = [
        account
        async for account in accounts(
            Source([order_2, order_1]), Source([payment_3, payment_1]), Source([intent_4, intent_1, intent_0])
        )
    ]
    assert found == [
        Account(intent_4.order_id, intents=(intent_4,)),
        Account(payment_3.order_id, payments=(payment_3,)),
        Account(order_2.order_id, order_2),
        Account(order_1.order_id, order_1, (payment_1,), (intent_1,)),
        Account(intent_0.order_id, intents=(intent_0,)),
    ]


async def test_accounts_are_complete_although_only_the_intents_of_an_hour_are_read_ahead() -> None:
    newest_first = [entries_of(-60 * minute) for minute in range(1_000)]
    orders, payments, intents = map(Source, zip(*newest_first, strict=True))
    count = 0
    async for account in accounts(orders, payments, intents):
        assert account == Account(account.order_id, *_single(newest_first[count]))
        count += 1
        assert (orders.read, payments.read) == (min(count + 1, 1_000),) * 2
        assert intents.read <= count + 65
    assert (count, intents.read) == (1_000, 1_000)


def _single(entries: tuple[OrderEntry, PaymentEntry, StripeRecord]) -> tuple[Any, Any, Any]:
    found, paid, held = entries
    return found, (paid,), (held,)


def test_the_line_of_an_order_shows_its_records_and_the_difference() -> None:
    text = line(finding_for(order("cancelled"), payment("captured", attempts=2), intent(captured=PRICE)))
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
        assert words in text


def test_a_line_shows_disputes_although_nothing_differs() -> None:
    text = line(finding_for(*AT_REST["disputed"]))
    assert text.endswith("a dispute about 19.99 is open: fraudulent")
    assert "DIFFERS" not in text


def test_the_summary_counts_orders_money_and_differences() -> None:
    findings = [finding_for(*entries) for entries in (*AT_REST.values(), UNDER_WAY["reserved"])]
    findings.append(finding_for(*BROKEN["charged twice"][0]))
    totals = Totals()
    for finding in findings:
        totals.add(finding)
    text = str(totals)
    assert text.startswith("14 orders, ")
    assert "captured 199.90, refunded 84.96" in text
    assert text.endswith("1 under way, 1 with differences.")
