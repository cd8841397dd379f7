"""The parameters that several endpoints have in common."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from contracts.money import minimum_charge
from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form

INTENT_EXPANDS = "latest_charge latest_charge.balance_transaction latest_charge.refunds payment_method"
CHARGE_EXPANDS = "balance_transaction payment_intent refunds"
REFUND_EXPANDS = "balance_transaction charge payment_intent payment_intent.latest_charge"
DISPUTE_EXPANDS = "charge payment_intent"
SESSION_EXPANDS = "payment_intent payment_intent.latest_charge payment_intent.payment_method"
TRANSFER_EXPANDS = "balance_transaction destination source_transaction"
REVERSAL_EXPANDS = "balance_transaction transfer"
PAYOUT_EXPANDS = "balance_transaction failure_balance_transaction"
TRANSACTION_EXPANDS = "source"
_TEXTS = "description receipt_email statement_descriptor statement_descriptor_suffix transfer_group"
SHARED = f"amount capture_method currency expand metadata payment_method payment_method_data {_TEXTS}"


def read_expand(form: Form, expandable: str, *, within: str = "") -> tuple[str, ...]:
    names = form.texts("expand")
    for name in names:
        if name.removeprefix(within) not in expandable.split() or not name.startswith(within):
            raise StripeError(f"This property cannot be expanded ({name}).", param="expand")
    return tuple(name.removeprefix(within) for name in names)


@dataclass(frozen=True)
class Source:
    """The payment method or the token in the request."""

    method: str | None
    token: str | None

    def __bool__(self) -> bool:
        return bool(self.method or self.token)


def read_source(form: Form) -> Source:
    method, data = form.text("payment_method"), form.form("payment_method_data", "type card")
    if data is None:
        return Source(method, None)
    if method is not None:
        raise StripeError(
            "You may only specify one of these parameters: payment_method, payment_method_data.",
            code="parameters_exclusive",
            param="payment_method",
        )
    data.required("type")
    data.choice("type", "card card")
    return Source(None, data.required_form("card", "token").required("token"))


def read_currency(form: Form) -> str | None:
    currency = form.text("currency")
    if currency is not None and not re.fullmatch("[a-z]{3}", currency):
        raise StripeError(f"Invalid currency: {currency}", param="currency")
    return currency


def check_amount(amount: int | None, currency: str | None, *, param: str, what: str = "Amount") -> None:
    """Refuse an amount below the currency's minimum. Other currencies have none here.

    https://docs.stripe.com/error-codes#amount-too-small
    """
    minimum = minimum_charge(currency or "")
    if amount is not None and minimum is not None and amount < minimum.amount:
        message = f"{what} must be at least {minimum.text} {currency}"
        raise StripeError(message, code="amount_too_small", param=param)


def read_url(form: Form, name: str) -> str | None:
    url = form.text(name)
    if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc):
        raise StripeError("Not a valid URL", code="url_invalid", param=name)
    return url


def read_changes(form: Form) -> dict[str, Any]:
    """The fields of an intent that the request sets."""
    given = {name: form.text(name) for name in _TEXTS.split()} | {
        "amount": form.amount("amount"),
        "currency": read_currency(form),
        "capture_method": form.choice("capture_method", "automatic automatic_async manual"),
    }
    return {name: value for name, value in given.items() if value is not None}


def read_accepted(form: Form) -> dict[str, Any]:
    """The accepted payment methods, from automatic_payment_methods or allowed_payment_method_types."""
    types = form.texts("allowed_payment_method_types")
    if any(kind != "card" for kind in types):
        raise StripeError(
            "The sandbox supports only the payment method type card.", param="allowed_payment_method_types"
        )
    automatic = form.form("automatic_payment_methods", "enabled allow_redirects")
    if automatic is None:
        return {"payment_method_types": types}
    automatic.required("enabled")
    if not automatic.flag("enabled"):
        return {"payment_method_types": types or ("card",)}
    if types:
        raise StripeError(
            "You may only specify one of these parameters: allowed_payment_method_types,"
            " automatic_payment_methods.",
            code="parameters_exclusive",
            param="automatic_payment_methods",
        )
    redirects = automatic.choice("allow_redirects", "always never")
    return {"payment_method_types": (), "allow_redirects": redirects or "always"}
