"""Stripe's records of our orders: PaymentIntents and Checkout sessions, found by the order's id."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import stripe
from bson import ObjectId
from stripe import PaymentIntent
from stripe.checkout import Session
from stripe.params import DisputeListParams, PaymentIntentListParams, RefundListParams
from stripe.params.checkout import SessionListParams

from kit.stripe.client import StripeApi
from kit.stripe.errors import refused
from services.payments.money_back import Dispute, Refund
from services.payments.stripe_gateway.outcomes import of_dispute, of_refund
from services.payments.stripe_gateway.shapes import CheckoutSession, Intent

ORDER_LIFETIME = timedelta(hours=25)
"""The longest time between an order's reservation and its payment.

The longest setting and an operator may let the deadline be after 24 hours, and Stripe's page closes an hour
after the deadline."""
CLOCK_SKEW = timedelta(hours=1)
"""The largest difference between our clocks and Stripe's that is tolerated."""
BEFORE_ATTEMPT = timedelta(minutes=10)
"""How long before an attempt the search for its objects begins, because clocks differ. It is shorter than
CLOCK_SKEW, because a busy account has many objects in an hour."""

WITH_CHARGE = "latest_charge"
"""The field to expand when a PaymentIntent is read, because only its charge shows refunds and disputes."""


@dataclass(frozen=True)
class StripeRecord:
    """A ledger entry: one PaymentIntent at Stripe. Amounts are in minor units."""

    order_id: str
    intent_id: str
    created: int
    """When Stripe created the intent, in seconds since 1970."""
    status: str
    """Stripe's status of the intent."""
    authorized: int
    """The amount that is authorized but not captured."""
    captured: int
    refunded: int
    """What the buyer got back, including lost disputes."""
    currency: str
    was_approved: bool
    """Whether a bank ever approved the payment."""
    disputes: tuple[Dispute, ...] = ()


async def records(
    api: StripeApi, since: datetime | None = None, until: datetime | None = None
) -> AsyncIterator[StripeRecord]:
    """PaymentIntents of our orders, newest first: at least those of all orders made in this period.

    Raises:
        OutcomeUnknown, RequestRefused
    """
    created = _created(since, until)
    async for found in _intents(api, {"created": created} if created else {}):
        intent = Intent.of(found)
        if intent.order_id is not None:
            yield await _record_of(api, intent)


async def records_of_order(api: StripeApi, order_id: str) -> list[StripeRecord]:
    """All PaymentIntents of one order. Stripe lists all those of about a day, 100 per request.

    Raises:
        OutcomeUnknown, RequestRefused
    """
    around: PaymentIntentListParams = {"created": _around_creation(order_id)}
    intents = [Intent.of(found) async for found in _intents(api, around)]
    return [await _record_of(api, intent) for intent in intents if intent.order_id == order_id]


async def find_record(api: StripeApi, intent_id: str) -> StripeRecord | None:
    """The PaymentIntent with this id, if Stripe has it and it is one of ours.

    Raises:
        OutcomeUnknown, RequestRefused
    """
    try:
        found = await api.send(
            lambda: api.v1.payment_intents.retrieve_async(intent_id, {"expand": [WITH_CHARGE]}),
            stripe.InvalidRequestError,
        )
    except stripe.InvalidRequestError as error:
        if error.code != "resource_missing":
            raise refused(error) from error
        return None
    intent = Intent.of(found)
    return None if intent.order_id is None else await _record_of(api, intent)


async def order_of(api: StripeApi, stripe_id: str) -> str | None:
    """The order of a PaymentIntent, Checkout session, refund or charge. None if Stripe has no such object of
    ours.

    Raises:
        OutcomeUnknown, RequestRefused
    """
    kind = stripe_id.partition("_")[0]
    reads: dict[str, Callable[[], Awaitable[Any]]] = {
        "pi": lambda: api.v1.payment_intents.retrieve_async(stripe_id),
        "cs": lambda: api.v1.checkout.sessions.retrieve_async(stripe_id),
        "re": lambda: api.v1.refunds.retrieve_async(stripe_id),
        "ch": lambda: api.v1.charges.retrieve_async(stripe_id),
    }
    try:
        found = (await api.send(reads[kind], stripe.InvalidRequestError)).to_dict()
    except stripe.InvalidRequestError as error:
        if error.code != "resource_missing":
            raise refused(error) from error
        return None
    if kind in ("re", "ch"):
        intent_id = found.get("payment_intent")
        return await order_of(api, intent_id) if isinstance(intent_id, str) else None
    order_id = found.get("client_reference_id") if kind == "cs" else found.get("metadata", {}).get("order_id")
    return order_id if isinstance(order_id, str) else None


async def find_intent(
    api: StripeApi, order_id: str, since: datetime | None, ended: Collection[str]
) -> PaymentIntent | None:
    """An order's newest PaymentIntent, if it has one.

    Args:
        since: when its creation was first requested. Stripe lists what was created since then, 100 per
            request. None for an attempt that is older than the field; then the order's day is listed.
        ended: the ids of PaymentIntents that aren't looked for.
    """
    async for intent in _intents(api, {"created": _since_attempt(order_id, since)}):
        if Intent.of(intent).order_id == order_id and intent.id not in ended:
            return intent
    return None


async def find_session(
    api: StripeApi, order_id: str, since: datetime | None, ended: Collection[str]
) -> Session | None:
    """An order's newest Checkout session, if it has one.

    Args:
        since, ended: as for `find_intent`.
    """
    params: SessionListParams = {"limit": 100, "created": _since_attempt(order_id, since)}
    async for session in api.list_all(api.v1.checkout.sessions.list_async, params):
        if CheckoutSession.of(session).client_reference_id == order_id and session.id not in ended:
            return session
    return None


async def refunds_of(api: StripeApi, intent_id: str) -> list[Refund]:
    """All refunds of a PaymentIntent, oldest first."""
    which: RefundListParams = {"payment_intent": intent_id, "limit": 100}
    return [of_refund(each) async for each in api.list_all(api.v1.refunds.list_async, which)][::-1]


async def disputes_of(api: StripeApi, intent_id: str) -> list[Dispute]:
    """All disputes of a PaymentIntent, oldest first."""
    which: DisputeListParams = {"payment_intent": intent_id, "limit": 100}
    return [of_dispute(each) async for each in api.list_all(api.v1.disputes.list_async, which)][::-1]


async def money_back(api: StripeApi, intent_id: str) -> tuple[list[Refund], list[Dispute]]:
    """All refunds and disputes of a PaymentIntent."""
    return await refunds_of(api, intent_id), await disputes_of(api, intent_id)


async def _record_of(api: StripeApi, intent: Intent) -> StripeRecord:
    is_disputed = intent.latest_charge is not None and intent.latest_charge.disputed
    return record_of(intent, await disputes_of(api, intent.id) if is_disputed else [])


def record_of(intent: Intent, disputes: Sequence[Dispute] = ()) -> StripeRecord:
    lost = sum(dispute.amount for dispute in disputes if dispute.status == "lost")
    charge = intent.latest_charge
    approved = charge is not None and charge.paid
    return StripeRecord(
        order_id=str(intent.order_id),
        intent_id=intent.id,
        created=intent.created,
        status=intent.status,
        authorized=intent.amount_capturable,
        captured=charge.amount_captured if charge and approved else 0,
        refunded=lost + (charge.amount_refunded if charge and approved and charge.captured else 0),
        currency=intent.currency,
        was_approved=approved,
        disputes=tuple(disputes),
    )


def _intents(api: StripeApi, which: PaymentIntentListParams) -> AsyncIterator[PaymentIntent]:
    params: PaymentIntentListParams = {**which, "limit": 100, "expand": [f"data.{WITH_CHARGE}"]}
    return api.list_all(api.v1.payment_intents.list_async, params)


def _since_attempt(order_id: str, since: datetime | None) -> Any:
    """The period in which the objects of an attempt are created. The result is Any as for `_created`."""
    if since is None:
        return _around_creation(order_id)
    return {"gte": int((since - BEFORE_ATTEMPT).timestamp())}


def _around_creation(order_id: str) -> Any:
    """The period in which an order's PaymentIntents and sessions are created.

    It follows from the order's id, which begins with the order's creation time.
    """
    made = ObjectId(order_id).generation_time
    return _created(made, made)


def _created(since: datetime | None, until: datetime | None) -> Any:
    """The period in which Stripe creates the objects of orders that were made in this period.

    It is a list request's parameter. The result is Any, because the stripe package has a separate type for
    this parameter of each list.
    """
    bounds = {
        "gte": since and since - CLOCK_SKEW,
        "lte": until and until + ORDER_LIFETIME + CLOCK_SKEW,
    }
    return {name: int(bound.timestamp()) for name, bound in bounds.items() if bound is not None}
