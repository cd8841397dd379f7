"""Verify a webhook's signature, and read the event in it."""

from collections.abc import Sequence
from typing import Annotated, Any

import stripe
from pydantic import BaseModel, StringConstraints, TypeAdapter

from kit.errors import Invalid

MAX_ID_LENGTH = 255
"""Stripe's own limit: https://docs.stripe.com/upgrades#what-changes-does-stripe-consider-to-be-backwards-compatible"""


class BadSignature(Invalid):
    message = "The webhook's signature isn't valid"


class _Data(BaseModel):
    object: dict[str, Any]


class SignedEvent(BaseModel):
    """The parts of a signed event that services use."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH)]
    type: str = ""
    created: int | None = None
    """When Stripe made the event, in seconds since 1970. Events may arrive in another order."""
    account: str | None = None
    """The connected account that the event is about. None for events of our own account."""
    data: _Data

    @property
    def subject(self) -> dict[str, Any]:
        """The object that the event is about, as it was then."""
        return self.data.object


_EVENT = TypeAdapter(SignedEvent)


def verified(
    body: bytes, signature: str | None, secrets: Sequence[str], *, setting: str = "STRIPE_WEBHOOK_SECRET"
) -> SignedEvent:
    """Check the signature over the raw body, and read the event.

    Args:
        setting: the name of the setting with the secret, for the error if there is none.

    Raises:
        BadSignature: there is no secret, or the body isn't an event, isn't signed with any of the secrets, or
            is older than five minutes. With an empty secret, anybody could sign.
    """
    if not secrets:
        raise BadSignature(f"Webhooks are refused: no {setting} is set")
    if signature is None or not signature.isascii():  # Stripe's library can't compare other text
        raise BadSignature
    if not any(_is_signed(body, signature, secret) for secret in secrets):
        raise BadSignature
    try:
        return _EVENT.validate_json(body)
    except ValueError:
        raise BadSignature from None


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, stripe.Webhook.DEFAULT_TOLERANCE)
    except (stripe.SignatureVerificationError, ValueError, LookupError, AttributeError):
        return False
    return True


def id_or_none(value: object) -> str | None:
    """An id in an event, unless it is missing, has another type or is longer than Stripe's ids."""
    return value if isinstance(value, str) and len(value) <= MAX_ID_LENGTH else None
