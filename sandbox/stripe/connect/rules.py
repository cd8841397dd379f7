"""The rules of Connect and of balances: https://docs.stripe.com/connect/separate-charges-and-transfers

All functions are pure. They raise if Stripe would refuse the request.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, get_args

from sandbox.stripe.connect.state import Account, BalanceTransaction, Transfer
from sandbox.stripe.errors import StripeError
from sandbox.stripe.money import amount as shown

AVAILABLE_SECONDS = 2
"""Seconds until a payment becomes available. At Stripe it takes days."""

PAYOUT_SECONDS = 20
"""Seconds from the time at which money of a connected account becomes available until its automatic payout.
At Stripe it takes days."""

ARRIVAL_SECONDS = 2
"""Seconds until a payout arrives at the bank. At Stripe it takes days."""

CHECK_SECONDS = 5
"""Seconds until the details of an account are verified, if the person chose that it takes time."""

LINK_SECONDS = 300
DISPUTE_FEE = 1500

CONVERTED: dict[str, tuple[str, float]] = {
    "cad": ("usd", 0.72),
    "nok": ("usd", 0.0985),
    "sek": ("usd", 0.105),
}
"""Currencies in which the platform has no bank account: the settlement currency and the exchange rate.

Payments in all other currencies settle in their own currency.
"""

COUNTRIES = dict.fromkeys(
    "AT BE CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK".split(), "eur"
) | dict(
    pair.split(":")
    for pair in """AE:aed AU:aud BG:bgn BR:brl CA:cad CH:chf CZ:czk DK:dkk GB:gbp HK:hkd HU:huf IN:inr JP:jpy
    LI:chf MX:mxn MY:myr NO:nok NZ:nzd PL:pln RO:ron SE:sek SG:sgd TH:thb US:usd""".split()
)
"""The countries in which there are connected accounts, with their default currencies."""

FIRST_DUE = (
    "business_profile.url",
    "external_account",
    "individual.dob.day",
    "individual.first_name",
    "individual.last_name",
    "tos_acceptance.date",
    "tos_acceptance.ip",
)
"""What a new account has to provide."""

Choice = Literal["complete", "checking", "failing_bank", "later", "rejected"]
"""What the person on the onboarding page chooses to happen."""
CHOICES: tuple[Choice, ...] = get_args(Choice)


def fee(settled: int) -> int:
    """Stripe's fee for a payment: 2.9 % and 30 minor units. https://stripe.com/pricing"""
    return min(round(settled * 0.029) + 30, settled)


def settlement(amount: int, currency: str) -> tuple[int, str, float | None]:
    """The amount, the currency and the exchange rate in which the platform gets a payment."""
    if currency not in CONVERTED:
        return amount, currency, None
    into, rate = CONVERTED[currency]
    return round(amount * rate), into, rate


def onboard(account: Account, choice: Choice, *, bank_id: str) -> Account:
    """Apply what happened on the onboarding page. A rejection is final, and nothing undoes a verification."""
    if account.progress == "rejected":
        return account
    if choice == "rejected":
        return replace(account, progress="rejected", rejection="rejected.other", bank=account.bank or bank_id)
    if choice == "later":
        return account if account.progress == "complete" else replace(account, progress="unfinished")
    is_checked = choice != "checking" or account.progress == "complete"
    return replace(
        account,
        progress="complete" if is_checked else "checking",
        bank=bank_id,
        bank_refuses=choice == "failing_bank",
        bank_failed=False,
    )


def due_requirements(account: Account) -> list[str]:
    """What the account still has to provide before it can be paid out to."""
    if account.progress == "new":
        return list(FIRST_DUE)
    if account.progress == "unfinished" or account.bank_failed:
        return ["external_account"]
    return []


def disabled_reason(account: Account) -> str | None:
    if account.progress == "rejected":
        return account.rejection
    if account.progress == "checking":
        return "requirements.pending_verification"
    return "requirements.past_due" if due_requirements(account) else None


def check_transfer(
    amount: int,
    currency: str,
    destination: Account,
    *,
    source: BalanceTransaction | None,
    earlier: Iterable[Transfer],
    available: int,
) -> None:
    """Refuse a transfer that isn't possible.

    Args:
        source: how the payment in `source_transaction` came into the balance, if the request names one.
        earlier: the earlier transfers of the same payment.
        available: what the platform's balance has in the currency.
    """
    if not destination.has_active("transfers"):
        raise StripeError(
            "Your destination account needs to have at least one of the following capabilities enabled:"
            " transfers, crypto_transfers, legacy_payments",
            code="insufficient_capabilities_for_transfer",
        )
    if source is None:
        if amount > available:
            raise insufficient(
                "You have insufficient available funds in your Stripe account. Try adding funds directly to"
                " your available balance by creating Charges using the 4000000000000077 test card. See:"
                " https://stripe.com/docs/testing#available-balance"
            )
        return
    if source.currency != currency:
        raise StripeError(
            "The currency of source_transaction's balance transaction"
            f" ({source.currency}) must be the same as the transfer currency ({currency}).",
            param="currency",
        )
    left = source.amount - sum(transfer.amount - transfer.amount_reversed for transfer in earlier)
    if amount > left:
        raise StripeError(
            "Transfers using this transaction as a source must not exceed the source amount of"
            f" {shown(source.amount, currency)}, of which {shown(left, currency)} are left.",
            param="amount",
        )


def reverse(transfer: Transfer, amount: int | None, *, available: int) -> tuple[Transfer, int]:
    """Take back `amount`, by default everything that isn't reversed yet. Return the transfer and the amount.

    Args:
        available: what the destination's balance has in the currency, including what is still pending.
    """
    left = transfer.amount - transfer.amount_reversed
    if left == 0:
        raise StripeError(f"Transfer {transfer.id} has already been fully reversed.", param="id")
    amount = amount or left
    if amount > left:
        raise StripeError(
            f"Transfer reversal amount ({shown(amount, transfer.currency)}) is greater than unreversed amount"
            f" on transfer ({shown(left, transfer.currency)})",
            param="amount",
        )
    if amount > available:
        raise insufficient(
            "The connected account's balance is too low to reverse this transfer: it has"
            f" {shown(available, transfer.currency)}, and {shown(amount, transfer.currency)} are needed."
        )
    return replace(transfer, amount_reversed=transfer.amount_reversed + amount), amount


def insufficient(message: str) -> StripeError:
    """https://docs.stripe.com/error-codes#balance-insufficient"""
    return StripeError(message, code="balance_insufficient")
