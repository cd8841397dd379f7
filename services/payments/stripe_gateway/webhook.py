"""Read which payment a signed webhook is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from contracts.events import PaymentStatus
from kit.stripe.webhook import BadSignature, id_or_none, verified
from services.payments.stripe_gateway.outcomes import STATUSES

IMPLIED_TYPES = frozenset(
    {"payment_intent.created", "charge.succeeded", "charge.captured", "charge.failed", "charge.updated"}
)
"""Types of events that tell us nothing: our own request caused them, or an event of the PaymentIntent
accompanies them."""


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
        BadSignature: see `verified`, or the body isn't an event about an object.
    """
    event = verified(body, signature, secrets)
    subject = event.subject
    is_intent = subject.get("object") == "payment_intent"
    try:
        return VerifiedWebhook(
            event_id=event.id,
            type=event.type,
            order_id=_order_of(subject),
            intent_id=_intent_of(subject),
            status=STATUSES.get(str(subject.get("status"))) if is_intent else None,
        )
    except (ValueError, LookupError, AttributeError):
        raise BadSignature from None


def _order_of(subject: dict[str, Any]) -> str | None:
    return id_or_none((subject.get("metadata") or {}).get("order_id"))


def _intent_of(subject: dict[str, Any]) -> str | None:
    is_intent = subject.get("object") == "payment_intent"
    return id_or_none(subject.get("id") if is_intent else subject.get("payment_intent"))
