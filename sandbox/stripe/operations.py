"""One function for each POST endpoint: it reads the parameters and returns a job for one transaction.

The function itself raises errors that depend only on the parameters; the job raises errors that depend on the
stored state.
"""

import time
from dataclasses import replace
from typing import Any

from sandbox.stripe import cards, disputes, intents
from sandbox.stripe.checkout import operations as checkout
from sandbox.stripe.connect import balance
from sandbox.stripe.errors import StripeError, missing
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Declined, Job, Outcome, find_intent, mint
from sandbox.stripe.params import (
    INTENT_EXPANDS,
    REFUND_EXPANDS,
    SHARED,
    Source,
    check_amount,
    read_accepted,
    read_changes,
    read_expand,
    read_source,
    read_url,
)
from sandbox.stripe.state import Challenge, Charge, Intent, PaymentMethod
from sandbox.stripe.store import Ledger


def _now() -> int:
    return int(time.time())


def _method(ledger: Ledger, source: Source, intent: Intent) -> PaymentMethod | None:
    """The payment method to pay with: a new one for a test token, otherwise the intent's."""
    if source.token:
        name = cards.name_of(source.token, "tok_")
        if name is None:
            raise missing("token", source.token, param="payment_method_data[card][token]")
        return PaymentMethod(mint("pm"), _now(), name)
    if source.method is None:
        return ledger.method_of(intent)
    if name := cards.name_of(source.method, "pm_card_"):
        return PaymentMethod(mint("pm"), _now(), name)
    stored = ledger.find(PaymentMethod, source.method)
    if stored is None:
        raise missing("PaymentMethod", source.method, param="payment_method")
    if stored.id != intent.payment_method:
        raise StripeError(
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer"
            " attachment. It may not be used again.",
            param="payment_method",
        )
    return stored


def _card(ledger: Ledger, source: Source, intent_id: str | None = None) -> str | None:
    """The name of the card that the request pays with. None if there is no such card."""
    if source.token:
        return cards.name_of(source.token, "tok_")
    if source.method and (name := cards.name_of(source.method, "pm_card_")):
        return name
    intent = ledger.find(Intent, intent_id)
    method = ledger.find(PaymentMethod, source.method or (intent.payment_method if intent else None))
    return method.card_name if method else None


def create_intent(tree: Tree) -> Job:
    form = Form(tree, f"{SHARED} allowed_payment_method_types automatic_payment_methods confirm return_url")
    for name in ("amount", "currency"):
        form.required(name)
    # Stripe's default for capture_method is automatic_async since API version 2024-04-10.
    fields = {"capture_method": "automatic_async", **read_changes(form), **read_accepted(form)}
    check_amount(fields["amount"], fields["currency"], param="amount")
    source, confirms = read_source(form), form.flag("confirm")
    if confirms and not source:
        raise StripeError(intents.MISSING_METHOD, code="payment_intent_unexpected_state")
    return_url = read_url(form, "return_url")
    if return_url and not confirms:
        raise StripeError("The return_url can only be given with confirm=true.", param="return_url")
    metadata = {name: value for name, value in form.metadata().items() if value != ""}

    def work(ledger: Ledger) -> Outcome:
        id_ = mint("pi")
        intent = Intent(
            id=id_,
            client_secret=mint(f"{id_}_secret", 25),
            created=_now(),
            metadata=metadata,
            return_url=return_url,
            **fields,
        )
        method = _method(ledger, source, intent)
        if confirms:
            ledger.save(intent)
            return _pay(ledger, intent, method)
        if method is not None:
            intent = replace(intent, status="requires_confirmation", payment_method=method.id)
        ledger.save(intent, method)
        return intent

    return Job(
        work,
        read_expand(form, INTENT_EXPANDS),
        asks_bank=confirms,
        card=(lambda ledger: _card(ledger, source)) if confirms else None,
    )


def update_intent(intent_id: str, tree: Tree) -> Job:
    form = Form(tree, SHARED)
    changes, source, metadata = read_changes(form), read_source(form), form.metadata()

    def work(ledger: Ledger) -> Outcome:
        intent = find_intent(ledger, intent_id)
        if changes or source:
            checkout.check_not_in_checkout(ledger, intent, "update")
        method = _method(ledger, source, intent) if source else None
        intent = intents.update(intent, changes | ({"payment_method": method.id} if method else {}), metadata)
        if {"amount", "currency"} & changes.keys():
            check_amount(intent.amount, intent.currency, param="amount")
        ledger.save(intent, method)
        return intent

    return Job(work, read_expand(form, INTENT_EXPANDS), changes=intent_id)


def confirm_intent(intent_id: str, tree: Tree) -> Job:
    form = Form(tree, "expand payment_method payment_method_data receipt_email return_url")
    source = read_source(form)
    given = {"receipt_email": form.text("receipt_email"), "return_url": read_url(form, "return_url")}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}

    def work(ledger: Ledger) -> Outcome:
        intent = find_intent(ledger, intent_id)
        checkout.check_not_in_checkout(ledger, intent, "confirm")
        intents.check_confirmable(intent)
        method = _method(ledger, source, intent)
        return _pay(ledger, replace(intent, **changes), method)

    return Job(
        work,
        read_expand(form, INTENT_EXPANDS),
        changes=intent_id,
        asks_bank=True,
        card=lambda ledger: _card(ledger, source, intent_id),
    )


def _pay(ledger: Ledger, intent: Intent, method: PaymentMethod | None) -> Outcome:
    attempt = intents.confirm(intent, method, now=_now(), charge_id=mint("ch"), challenge_id=mint("tds"))
    ledger.save(method)
    if attempt.intent.challenge:
        ledger.save(Challenge(attempt.intent.challenge, intent.id, attempt.intent.return_url))
    return _save_attempt(ledger, attempt)


def _save_attempt(ledger: Ledger, attempt: intents.Attempt) -> Outcome:
    charge = attempt.charge and balance.receive(ledger, attempt.charge)
    ledger.save(charge, attempt.intent)
    if charge:
        disputes.open_dispute(ledger, charge)
    checkout.update_session(ledger, attempt.intent)
    if attempt.charge and attempt.charge.failure:
        return Declined(attempt.intent)
    return attempt.intent


def answer_challenge(ledger: Ledger, challenge: Challenge, *, approved: bool) -> Intent:
    """Apply the cardholder's answer. A repeated or late answer changes nothing."""
    intent = find_intent(ledger, challenge.intent)
    method = ledger.method_of(intent)
    if intent.challenge != challenge.id or method is None:
        return intent
    if approved:
        attempt = intents.approve(intent, method, now=_now(), charge_id=mint("ch"))
    else:
        attempt = intents.refuse(intent, method)
    _save_attempt(ledger, attempt)
    return attempt.intent


def capture_intent(intent_id: str, tree: Tree) -> Job:
    form = Form(tree, "amount_to_capture expand")
    amount = form.amount("amount_to_capture")

    def work(ledger: Ledger) -> Outcome:
        intent = find_intent(ledger, intent_id)
        intent, charge = intents.capture(intent, ledger.charge_of(intent), amount)
        charge = balance.receive(ledger, charge)
        ledger.save(charge, intent)
        disputes.open_dispute(ledger, charge)
        return intent

    return Job(work, read_expand(form, INTENT_EXPANDS), changes=intent_id, asks_bank=True)


def cancel_intent(intent_id: str, tree: Tree) -> Job:
    form = Form(tree, "cancellation_reason expand")
    reason = form.choice("cancellation_reason", "duplicate fraudulent requested_by_customer abandoned")

    def work(ledger: Ledger) -> Outcome:
        intent = find_intent(ledger, intent_id)
        checkout.check_not_in_checkout(ledger, intent, "cancel")
        intent, charge = intents.cancel(intent, ledger.charge_of(intent), reason, now=_now())
        ledger.save(charge, intent)
        return intent

    return Job(work, read_expand(form, INTENT_EXPANDS), changes=intent_id, asks_bank=True)


def create_refund(tree: Tree) -> Job:
    form = Form(tree, "amount charge expand metadata payment_intent reason")
    intent_id, charge_id = form.text("payment_intent"), form.text("charge")
    if intent_id is None and charge_id is None:
        raise StripeError(
            "One of the following params should be provided for this request: payment_intent or charge.",
            code="parameter_missing",
            param="payment_intent",
        )
    amount = form.amount("amount")
    reason = form.choice("reason", "duplicate fraudulent requested_by_customer")
    metadata = {name: value for name, value in form.metadata().items() if value != ""}

    def work(ledger: Ledger) -> Outcome:
        charge = _refundable(ledger, intent_id, charge_id)
        made, charge = intents.refund(
            charge,
            amount,
            refund_id=mint("re"),
            reason=reason,
            metadata=metadata,
            now=_now(),
            is_disputed=disputes.is_contested(ledger, charge),
        )
        made = balance.give_back(ledger, made)
        ledger.save(made, charge)
        return made

    return Job(work, read_expand(form, REFUND_EXPANDS), changes=intent_id or charge_id, asks_bank=True)


def settle_due_refunds(ledger: Ledger) -> None:
    """Apply the decisions of banks on refunds."""
    for refund in ledger.due_refunds(_now()):
        charge = ledger.find(Charge, refund.charge)
        assert charge is not None, "charges are never deleted"
        settled, charge = intents.settle(refund, charge)
        if settled.status == "failed":
            settled = balance.take_again(ledger, settled)
        ledger.save(settled, charge)


def _refundable(ledger: Ledger, intent_id: str | None, charge_id: str | None) -> Charge:
    if intent_id is not None:
        intent = ledger.find(Intent, intent_id)
        if intent is None:
            raise missing("payment_intent", intent_id, param="payment_intent")
        if charge_id is None and intent.latest_charge is None:
            raise StripeError(
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
            )
        charge_id = charge_id or intent.latest_charge
    charge = ledger.find(Charge, charge_id)
    if charge is None:
        raise missing("charge", str(charge_id), param="charge")
    if intent_id not in (None, charge.payment_intent):
        raise StripeError(f"The charge {charge.id} is not of the PaymentIntent {intent_id}.", param="charge")
    return charge
