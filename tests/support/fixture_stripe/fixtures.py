"""Stripe's fixtures: one object of each resource that payments and payouts use, with all its fields.

`fixtures.json` and `connect.json` are parts of `openapi/fixtures3.json` in https://github.com/stripe/openapi,
unchanged. Its license, MIT, is in the same folder.
"""

import json
from pathlib import Path
from typing import Any

import stripe

Json = dict[str, Any]

FIXTURES: dict[str, Json] = json.loads((Path(__file__).parent / "fixtures.json").read_text())

TYPES: dict[str, type[stripe.StripeObject]] = {
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "payment_method": stripe.PaymentMethod,
    "checkout.session": stripe.checkout.Session,
    "event": stripe.Event,
}
"""The type of each resource in the `stripe` package."""

CONNECT_FIXTURES: dict[str, Json] = json.loads((Path(__file__).parent / "connect.json").read_text())
"""The resources of Connect and of balances, which this imitation doesn't have."""

CONNECT_TYPES: dict[str, type[stripe.StripeObject]] = {
    "account": stripe.Account,
    "account_link": stripe.AccountLink,
    "balance": stripe.Balance,
    "balance_transaction": stripe.BalanceTransaction,
    "payout": stripe.Payout,
    "transfer": stripe.Transfer,
    "transfer_reversal": stripe.TransferReversal,
}
