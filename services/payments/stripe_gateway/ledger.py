"""Stripe's records of our orders: PaymentIntents and Checkout sessions, found by the order's id."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from stripe import PaymentIntent
from stripe.checkout import Session
from stripe.params import PaymentIntentListParams
from stripe.params.checkout import SessionListParams

from kit.stripe.client import StripeApi
from services.payments.stripe_gateway.shapes import CheckoutSession, Intent

ORDER_LIFETIME = timedelta(days=1)
"""The longest time between an order's reservation and its payment."""
CLOCK_SKEW = timedelta(hours=1)
"""The largest difference between our clocks and Stripe's that is tolerated."""

WITH_REFUNDS = "latest_charge"
"""The field to expand when a PaymentIntent is read, because only its charge shows what was refunded."""


@dataclass(frozen=True)
class StripeRecord:
    """A ledger entry: one PaymentIntent at Stripe. Amounts are in minor units."""

    order_id: str
    intent_id: str
    status: str
    """Stripe's status of the intent."""
    authorized: int
    """The amount that is authorized but not captured."""
    captured: int
    refunded: int
    currency: str
    was_approved: bool
    """Whether a bank ever approved the payment."""


async def records(api: StripeApi) -> AsyncIterator[StripeRecord]:
    """All PaymentIntents of our orders, newest first.

    Raises:
        OutcomeUnknown, RequestRefused
    """
    async for found in _intents(api, {}):
        intent = Intent.of(found)
        if intent.order_id is not None:
            yield record_of(intent)


async def find_intent(api: StripeApi, order_id: str) -> PaymentIntent | None:
    """An order's newest PaymentIntent, if it has one."""
    async for intent in _intents(api, {"created": _around_creation(order_id)}):
        if Intent.of(intent).order_id == order_id:
            return intent
    return None


async def find_session(api: StripeApi, order_id: str) -> Session | None:
    """An order's newest Checkout session, if it has one."""
    params: SessionListParams = {"limit": 100, "created": _around_creation(order_id)}
    async for session in api.list_all(api.v1.checkout.sessions.list_async, params):
        if CheckoutSession.of(session).client_reference_id == order_id:
            return session
    return None


def record_of(intent: Intent) -> StripeRecord:
    charge = intent.latest_charge
    approved = charge is not None and charge.paid
    return StripeRecord(
        order_id=str(intent.order_id),
        intent_id=intent.id,
        status=intent.status,
        authorized=intent.amount_capturable,
        captured=charge.amount_captured if charge and approved else 0,
        refunded=charge.amount_refunded if charge and approved and charge.captured else 0,
        currency=intent.currency,
        was_approved=approved,
    )


def _intents(api: StripeApi, which: PaymentIntentListParams) -> AsyncIterator[PaymentIntent]:
    params: PaymentIntentListParams = {**which, "limit": 100, "expand": [f"data.{WITH_REFUNDS}"]}
    return api.list_all(api.v1.payment_intents.list_async, params)


def _around_creation(order_id: str) -> Any:
    """The period in which an order's PaymentIntents and sessions are created, as a list request's parameter.

    The period follows from the order's id, which begins with the order's creation time. The result is Any,
    because the stripe package has a separate type for this parameter of each list.
    """
    created = int(order_id[:8], 16)
    return {
        "gte": created - int(CLOCK_SKEW.total_seconds()),
        "lte": created + int(ORDER_LIFETIME.total_seconds()),
    }
