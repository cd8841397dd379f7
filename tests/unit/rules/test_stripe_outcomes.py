"""Outcomes of payments, derived from Stripe's objects. The tests build the objects from Stripe's fixtures."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import pytest
import stripe
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st
from stripe.checkout import Session

from contracts.events import PaymentStatus
from services.orders.rules import MAX_OPERATOR_HOLD
from services.payments import attempts
from services.payments.rules import Outcome
from services.payments.stripe_gateway import ledger, outcomes
from services.payments.stripe_gateway.ledger import CLOCK_SKEW, StripeRecord, record_of
from services.payments.stripe_gateway.shapes import Intent
from tests.support.fixture_stripe.fixtures import FIXTURES
from tests.unit.rules.builders import ORDER, payable, payment

STATUSES: dict[str, PaymentStatus] = {
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_action": "pending",
    "processing": "pending",
    "requires_capture": "authorized",
    "succeeded": "captured",
    "canceled": "voided",
}
BANK = "https://bank.example/check"
PAGE = "https://checkout.stripe.example/c/pay/cs_1"


def charge(**special: Any) -> dict[str, Any]:
    return {**FIXTURES["charge"], "paid": True, "refunded": False, "captured": True, **special}


def intent(status: str, **special: Any) -> stripe.PaymentIntent:
    usual = {
        "id": "pi_1",
        "amount": 1999,
        "currency": "usd",
        "metadata": {"order_id": ORDER},
        "last_payment_error": None,
        "next_action": None,
    }
    values = {**FIXTURES["payment_intent"], **usual, "status": status, **special}
    return stripe.PaymentIntent.construct_from(values, None)


def session(status: str, intent: stripe.PaymentIntent | str | None = None) -> Session:
    usual = {"id": "cs_1", "amount_total": 1999, "currency": "usd", "url": PAGE if status == "open" else None}
    shown = intent.to_dict() if isinstance(intent, stripe.PaymentIntent) else intent
    values = {**FIXTURES["checkout.session"], **usual, "status": status, "payment_intent": shown}
    return Session.construct_from(values, None)


def of_session(found: Session) -> Outcome:
    return outcomes.of_session(found, payment(session_id="cs_1"))


def refunds(*statuses: str, amount: int = 1999) -> list[stripe.Refund]:
    return [
        stripe.Refund.construct_from({**FIXTURES["refund"], "amount": amount, "status": status}, None)
        for status in statuses
    ]


# --- Intents ---


def test_the_outcomes_cover_every_status_of_an_intent() -> None:
    literal, _ = get_args(stripe.PaymentIntent.__annotations__["status"])
    assert set(STATUSES) == set(get_args(literal))


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_of_an_intent_maps_to_a_status_of_its_payment(status: str) -> None:
    outcome = outcomes.of_intent(intent(status))
    assert (outcome.status, outcome.intent_id) == (STATUSES[status], "pi_1")
    assert (outcome.amount, outcome.currency) == (1999, "usd")
    assert (outcome.session_id, outcome.decline_code, outcome.action_url) == (None, None, None)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            {"code": "card_declined", "decline_code": "insufficient_funds", "message": "Not enough money."},
            "insufficient_funds",
            "Not enough money.",
        ),
        (
            {"code": "expired_card", "message": "Your card has expired."},
            "expired_card",
            "Your card has expired.",
        ),
        (
            {"code": "card_declined", "decline_code": None, "message": None},
            "card_declined",
            "Your card was declined.",
        ),
        ({}, None, "Your card was declined."),
        (
            {"code": "payment_intent_authentication_failure", "message": "For developers."},
            "payment_intent_authentication_failure",
            "Your bank didn't confirm the payment. Try again or use another card.",
        ),
    ],
    ids=["code of the bank", "code of Stripe", "null values", "no values", "failed bank check"],
)
def test_a_decline_has_a_code_for_programs_and_a_message_for_the_buyer(
    error: dict[str, Any], code: str | None, message: str
) -> None:
    outcome = outcomes.of_intent(
        intent("requires_payment_method", last_payment_error={"type": "card_error", **error})
    )
    assert (outcome.status, outcome.decline_code, outcome.decline_message) == ("failed", code, message)


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "requires_payment_method"])
def test_an_earlier_decline_is_ignored_when_the_intent_has_another_status(status: str) -> None:
    outcome = outcomes.of_intent(intent(status, last_payment_error={"code": "card_declined"}))
    assert (outcome.status, outcome.decline_message) == (STATUSES[status], None)


@pytest.mark.parametrize(
    ("action", "url"),
    [
        ({"type": "redirect_to_url", "redirect_to_url": {"url": BANK, "return_url": None}}, BANK),
        ({"type": "redirect_to_url", "redirect_to_url": {"url": None}}, None),
        ({"type": "use_stripe_sdk", "use_stripe_sdk": {}}, None),
        (None, None),
    ],
    ids=["redirect", "redirect without address", "only for Stripe's SDK", "no action"],
)
def test_a_bank_check_has_the_address_of_the_banks_page_if_there_is_one(action: Any, url: str | None) -> None:
    outcome = outcomes.of_intent(intent("requires_action", next_action=action))
    assert (outcome.status, outcome.bank_check, outcome.action_url) == ("pending", True, url)


@pytest.mark.parametrize(
    ("latest", "expected"),
    [
        (charge(amount_refunded=1), True),
        (charge(disputed=True), True),
        (charge(amount_refunded=0), False),
        ("ch_not_expanded", False),
        (None, False),
    ],
    ids=["refunded", "disputed", "neither", "charge not expanded", "no charge"],
)
def test_the_charge_shows_whether_there_are_refunds_or_disputes_to_read(latest: Any, expected: bool) -> None:
    paid = intent("succeeded", latest_charge=latest)
    assert outcomes.of_intent(paid).status == "captured"
    assert outcomes.was_contested(paid) is expected
    page = Session.construct_from({"id": "cs_1", "payment_intent": paid.to_dict()}, None)
    assert outcomes.was_contested(page) is expected


def test_a_payment_that_the_bank_processes_is_pending() -> None:
    found = outcomes.of_intent(intent("processing"))
    assert (found.status, found.processing, found.bank_check) == ("pending", True, False)


# --- Checkout pages ---


@pytest.mark.parametrize(
    ("status", "expected_status", "url"),
    [("open", "pending", PAGE), ("complete", "pending", None), ("expired", "voided", None)],
)
def test_the_status_of_an_unpaid_checkout_page_maps_to_a_payment_status(
    status: str, expected_status: PaymentStatus, url: str | None
) -> None:
    outcome = of_session(session(status))
    assert (outcome.status, outcome.page_url) == (expected_status, url)
    assert (outcome.session_id, outcome.intent_id) == ("cs_1", None)
    assert (outcome.amount, outcome.currency) == (1999, "usd")


def test_an_intent_that_is_not_expanded_is_ignored() -> None:
    outcome = of_session(session("open", "pi_1"))
    assert (outcome.status, outcome.intent_id) == ("pending", None)


def test_a_decline_on_the_page_leaves_the_payment_pending_and_the_page_open() -> None:
    declined = intent("requires_payment_method", last_payment_error={"code": "card_declined"})
    outcome = of_session(session("open", declined))
    assert (outcome.status, outcome.page_url, outcome.intent_id) == ("pending", PAGE, "pi_1")
    assert (outcome.decline_code, outcome.decline_message) == (None, None)


def test_a_bank_check_on_the_page_is_reported_without_its_address() -> None:
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": BANK}}
    outcome = of_session(session("open", intent("requires_action", next_action=action)))
    assert (outcome.status, outcome.bank_check, outcome.action_url) == ("pending", True, None)


@given(st.sampled_from(["open", "complete", "expired"]), st.sampled_from(sorted(STATUSES)))
def test_a_checkout_page_has_the_status_and_the_amount_of_its_intent(page: str, status: str) -> None:
    outcome = of_session(session(page, intent(status, amount=1, currency="eur")))
    assert (outcome.status, outcome.amount, outcome.currency) == (STATUSES[status], 1, "eur")
    assert outcome.page_url == (PAGE if page == "open" and outcome.status == "pending" else None)


# --- Errors about a card ---


def test_a_card_error_is_a_decline_with_stripes_message() -> None:
    body = {
        "error": {"code": "card_declined", "decline_code": "lost_card", "message": "Your card was declined."}
    }
    error = stripe.CardError("Your card was declined.", None, "card_declined", json_body=body)  # type: ignore[no-untyped-call] # stripe leaves it untyped
    outcome = outcomes.of_card_error(payment(intent_id="pi_1"), error)
    assert (outcome.status, outcome.decline_code) == ("failed", "lost_card")
    assert (outcome.intent_id, outcome.amount, outcome.currency) == ("pi_1", 1999, "usd")
    assert outcome.decline_message == "Your card was declined."


def test_a_card_error_without_a_body_is_a_decline_with_a_default_message() -> None:
    error = stripe.CardError(None, None, "card_declined")  # type: ignore[no-untyped-call] # as above
    outcome = outcomes.of_card_error(payment(intent_id="pi_1"), error)
    assert (outcome.status, outcome.decline_code) == ("failed", "card_declined")
    assert outcome.decline_message


@pytest.mark.parametrize(
    ("code", "param", "is_decline"),
    [
        ("resource_missing", "payment_method", True),
        ("resource_missing", None, True),
        ("resource_missing", "intent", False),
        ("token_already_used", None, True),
        ("parameter_invalid_empty", "payment_method_data[card][token]", True),
        ("payment_intent_unexpected_state", None, False),
        ("parameter_unknown", "amount", False),
        (None, None, False),
    ],
)
def test_only_a_rejection_about_the_card_is_a_decline(
    code: str | None, param: str | None, is_decline: bool
) -> None:
    error = stripe.InvalidRequestError("no", param, code, http_status=400)  # type: ignore[no-untyped-call] # as above
    outcome = outcomes.of_unusable_card(payment(intent_id="pi_1"), error)
    assert (outcome is not None) is is_decline
    if outcome is not None:
        assert (outcome.status, outcome.decline_code) == ("failed", code)
        assert outcome.decline_message == "That card can't be used. Try another one."


# --- Refunds and records ---


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ("succeeded", "succeeded"),
        ("pending", "pending"),
        ("requires_action", "pending"),
        ("new_at_stripe", "pending"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
def test_a_refund_is_pending_until_stripe_says_that_it_succeeded_or_failed(found: str, status: str) -> None:
    [refund] = refunds(found, amount=500)
    assert (outcomes.of_refund(refund).status, outcomes.of_refund(refund).amount) == (status, 500)


def test_a_failed_refund_has_stripes_reason() -> None:
    [failed] = refunds("failed")
    failed["failure_reason"] = "expired_or_canceled_card"
    assert outcomes.of_refund(failed).failure == "expired_or_canceled_card"
    [cancelled] = refunds("canceled")
    assert outcomes.of_refund(cancelled).failure == "canceled"


@pytest.mark.parametrize(
    ("found", "status"),
    [
        *((name, "open") for name in ("needs_response", "under_review", "warning_needs_response")),
        *((name, "open") for name in ("warning_under_review", "new_at_stripe")),
        *((name, "won") for name in ("won", "warning_closed", "prevented")),
        ("lost", "lost"),
    ],
)
def test_a_dispute_is_open_until_the_bank_has_decided(found: str, status: str) -> None:
    values = {**FIXTURES["dispute"], "status": found}
    assert outcomes.of_dispute(stripe.Dispute.construct_from(values, None)).status == status


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (intent("canceled", latest_charge=None), (0, 0, 0, False)),
        (
            intent("requires_payment_method", latest_charge=charge(paid=False, amount_captured=0)),
            (0, 0, 0, False),
        ),
        (
            intent(
                "requires_capture",
                amount_capturable=1999,
                latest_charge=charge(captured=False, amount_captured=0, amount_refunded=0),
            ),
            (1999, 0, 0, True),
        ),
        (
            # Stripe counts a released amount as refunded.
            intent("canceled", latest_charge=charge(captured=False, amount_captured=0, amount_refunded=1999)),
            (0, 0, 0, True),
        ),
        (
            intent("succeeded", latest_charge=charge(amount_captured=1999, amount_refunded=500)),
            (0, 1999, 500, True),
        ),
    ],
    ids=["not attempted", "declined", "authorized", "released", "partly refunded"],
)
def test_a_record_shows_the_authorized_captured_and_refunded_amounts(
    found: stripe.PaymentIntent, expected: tuple[int, int, int, bool]
) -> None:
    authorized, captured, refunded, attempted = expected
    assert record_of(Intent.of(found)) == StripeRecord(
        order_id=ORDER,
        intent_id="pi_1",
        created=found.created,
        status=found.status,
        authorized=authorized,
        captured=captured,
        refunded=refunded,
        currency="usd",
        was_approved=attempted,
    )


# --- Fields that Stripe may leave out ---

REQUIRED = {
    "payment_intent": {"id", "object", "amount", "created", "currency", "status"},
    "charge": {
        *("id", "object", "created", "amount_captured", "amount_refunded", "captured", "paid", "refunded"),
    },
    "checkout.session": {"id", "object"},
    "refund": {"id", "object", "amount"},
}
"""The fields that we read and that Stripe's OpenAPI document lists as required."""

ACTIONS = sorted(
    kind
    for kind in stripe.PaymentIntent.NextAction.__annotations__
    if kind not in ("type", "_inner_class_types")
)


FieldPath = tuple[str, ...]


def optional_fields(complete: dict[str, Any], path: FieldPath = ()) -> Iterator[FieldPath]:
    """The paths of all fields, at any depth, that Stripe may leave out."""
    for name, value in complete.items():
        if name not in REQUIRED.get(complete.get("object", ""), ()):
            yield (*path, name)
        if isinstance(value, dict):
            yield from optional_fields(value, (*path, name))


def changed(complete: dict[str, Any], fates: dict[FieldPath, str], path: FieldPath = ()) -> dict[str, Any]:
    """A copy in which the fields of these paths are null or missing."""
    return {
        name: None
        if fates.get((*path, name)) == "null"
        else changed(value, fates, (*path, name))
        if isinstance(value, dict)
        else value
        for name, value in complete.items()
        if fates.get((*path, name)) != "missing"
    }


def without_optional_fields(complete: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    paths, fates = list(optional_fields(complete)), st.sampled_from(["null", "missing"])
    some = st.dictionaries(st.sampled_from(paths), fates, max_size=10)
    all_of_them = fates.map(lambda fate: dict.fromkeys(paths, fate))
    return (some | all_of_them).map(lambda fates: changed(complete, fates))


def complete_intent(status: str, action: str) -> dict[str, Any]:
    error = {"type": "card_error", "code": "card_declined", "decline_code": "lost_card", "message": "No."}
    next_action = {"type": action, action: {"url": BANK, "return_url": None}}
    found = intent(status, last_payment_error=error, next_action=next_action, latest_charge=charge())
    return found.to_dict()


@given(st.data(), st.sampled_from(sorted(STATUSES)), st.sampled_from(ACTIONS))
def test_an_intent_has_an_outcome_and_a_record_whichever_optional_fields_are_missing(
    data: st.DataObject, status: str, action: str
) -> None:
    values = data.draw(without_optional_fields(complete_intent(status, action)))
    found = stripe.PaymentIntent.construct_from(values, None)
    outcome = outcomes.of_intent(found)
    was_declined = status == "requires_payment_method" and values.get("last_payment_error") is not None
    assert outcome.status == ("failed" if was_declined else STATUSES[status])
    assert (outcome.intent_id, outcome.amount, outcome.currency) == ("pi_1", 1999, "usd")
    assert outcome.bank_check is (status == "requires_action")
    assert outcome.action_url in (None, BANK)
    assert record_of(Intent.of(found)).status == status


@given(st.data(), st.sampled_from(["open", "complete", "expired"]), st.sampled_from(sorted(STATUSES)))
def test_a_session_has_an_outcome_whichever_optional_fields_are_missing(
    data: st.DataObject, page: str, status: str
) -> None:
    paid = stripe.PaymentIntent.construct_from(complete_intent(status, "use_stripe_sdk"), None)
    values = data.draw(without_optional_fields(session(page, paid).to_dict()))
    outcome = of_session(Session.construct_from(values, None))
    assert (outcome.session_id, outcome.amount, outcome.currency) == ("cs_1", 1999, "usd")
    if values.get("payment_intent") is not None:
        assert outcome.status == STATUSES[status]
    else:
        assert outcome.status == ("voided" if values.get("status") == "expired" else "pending")


@given(st.data(), st.sampled_from(["pending", "requires_action", "succeeded", "failed", "canceled"]))
def test_a_refund_has_a_status_whichever_optional_fields_are_missing(
    data: st.DataObject, status: str
) -> None:
    [complete] = refunds(status)
    values = data.draw(without_optional_fields(complete.to_dict()))
    refund = outcomes.of_refund(stripe.Refund.construct_from(values, None))
    is_failed = values.get("status") in ("failed", "canceled")
    expected = "failed" if is_failed else "succeeded" if values.get("status") == "succeeded" else "pending"
    assert refund.status == expected
    assert (refund.failure is not None) == is_failed


def test_a_payment_waits_while_its_intent_has_a_status_that_is_new_at_stripe() -> None:
    assert outcomes.of_intent(intent("requires_patience")).status == "pending"


@given(st.data())
def test_a_card_error_is_a_decline_whichever_fields_are_missing(data: st.DataObject) -> None:
    cause = {"object": "", "type": "card_error", "code": "card_declined", "decline_code": "lost_card"}
    body = {"error": data.draw(without_optional_fields({**cause, "message": "No."}))}
    error = stripe.CardError("No.", None, "card_declined", json_body=body)  # type: ignore[no-untyped-call] # as above
    outcome = outcomes.of_card_error(payment(intent_id="pi_1"), error)
    assert (outcome.status, outcome.decline_code in ("lost_card", "card_declined")) == ("failed", True)


def test_the_search_at_stripe_includes_a_payment_at_the_last_moment_that_an_operator_allows() -> None:
    reserved_at = ObjectId(ORDER).generation_time
    deadline = reserved_at + MAX_OPERATOR_HOLD
    page_closes_at = attempts.page_expires_at(payable(expires_at=deadline), deadline - timedelta(minutes=1))
    searched = ledger._around_creation(ORDER)
    assert searched["lte"] >= (page_closes_at + CLOCK_SKEW).timestamp()
    assert searched["gte"] <= (reserved_at - CLOCK_SKEW).timestamp()
