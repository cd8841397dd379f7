"""Verify a webhook's signature, and read which payment the webhook is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import stripe
from pydantic import BaseModel, StringConstraints, TypeAdapter

from contracts.events import PaymentStatus
from kit.errors import Invalid
from services.payments.stripe_gateway.outcomes import STATUSES


class BadSignature(Invalid):
    message = "The webhook's signature isn't valid"


IMPLIED_TYPES = frozenset(
    {"payment_intent.created", "charge.succeeded", "charge.captured", "charge.failed", "charge.updated"}
)
"""Types of events that tell us nothing: our own request caused them, or an event of the PaymentIntent
accompanies them."""

MAX_ID_LENGTH = 255
"""Stripe's own limit: https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backwards-compatible"""


@dataclass(frozen=True)
class VerifiedWebhook:
    """The only parts of a signed webhook that we use."""

    event_id: str
    type: str
    order_id: str | None
    """The order's id from the metadata that we wrote."""
    intent_id: str | None
    status: PaymentStatus | None
    """The status that the PaymentIntent had, if the webhook contains one."""


def verify(body: bytes, signature: str | None, secrets: Sequence[str]) -> VerifiedWebhook:
    """Check the signature over the raw body, and read which payment the webhook is about.

    Raises:
        BadSignature: there is no secret, or the body isn't an event, isn't signed with any of the secrets, or
            is older than five minutes. With an empty secret, anybody could sign.
    """
    if not secrets:
        raise BadSignature("Webhooks are refused: no STRIPE_WEBHOOK_SECRET is set")
    if signature is None or not signature.isascii():  # Stripe's library can't compare other text
        raise BadSignature
    if not any(_is_signed(body, signature, secret) for secret in secrets):
        raise BadSignature
    try:
        return _read(_EVENT.validate_json(body))
    except (ValueError, LookupError, AttributeError):
        raise BadSignature from None


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, stripe.Webhook.DEFAULT_TOLERANCE)
    except (stripe.SignatureVerificationError, ValueError, LookupError, AttributeError):
        return False
    return True


class _Data(BaseModel):
    object: dict[str, Any]


class _Event(BaseModel):
    id: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH)]
    type: str = ""
    data: _Data


_EVENT = TypeAdapter(_Event)


def _read(event: _Event) -> VerifiedWebhook:
    subject = event.data.object
    is_intent = subject.get("object") == "payment_intent"
    return VerifiedWebhook(
        event_id=event.id,
        type=event.type,
        order_id=_order_of(subject),
        intent_id=_intent_of(subject),
        status=STATUSES.get(str(subject.get("status"))) if is_intent else None,
    )


def _order_of(subject: dict[str, Any]) -> str | None:
    return _id_or_none((subject.get("metadata") or {}).get("order_id"))


def _intent_of(subject: dict[str, Any]) -> str | None:
    is_intent = subject.get("object") == "payment_intent"
    return _id_or_none(subject.get("id") if is_intent else subject.get("payment_intent"))


def _id_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_ID_LENGTH else None
