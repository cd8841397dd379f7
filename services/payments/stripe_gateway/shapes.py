"""The parts of Stripe's objects that payments reads.

A field has a default here if Stripe documents it as optional or nullable, or if only an expanded object has
it: Stripe may leave such a field out, or send null. The source is Stripe's OpenAPI document,
https://github.com/stripe/openapi. Values of enums are plain text, because Stripe may add some.
"""

from typing import Annotated, Self

import stripe
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator


class _Shape(BaseModel):
    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, found: stripe.StripeObject) -> Self:
        """
        Raises:
            pydantic.ValidationError: a field is missing that Stripe always sends.
        """
        return cls.model_validate(found.to_dict())


def _only_expanded(found: object) -> object:
    """The object in an expandable field. None if the field has only the object's id."""
    return found if isinstance(found, dict) else None


class Redirect(_Shape):
    url: str | None = None


class NextAction(_Shape):
    """What the buyer has to do. Of all kinds, we can offer only a redirect."""

    redirect_to_url: Redirect | None = None


class PaymentError(_Shape):
    """The reason why the last attempt to pay failed."""

    code: str | None = None
    """Stripe's code."""
    decline_code: str | None = None
    """The bank's code."""
    message: str | None = None


class Charge(_Shape):
    created: int
    """When the amount was authorized, in seconds since 1970."""
    amount_captured: int
    amount_refunded: int
    captured: bool
    paid: bool
    """Whether the bank approved the payment."""
    refunded: bool
    """Whether the whole amount was refunded."""
    disputed: bool = False
    """Whether the buyer ever disputed the payment."""


class Metadata(_Shape):
    """The metadata that we write."""

    order_id: str | None = None


class Intent(_Shape):
    id: str
    created: int
    """When Stripe created it, in seconds since 1970."""
    status: str
    amount: int
    currency: str
    amount_capturable: int = 0
    last_payment_error: PaymentError | None = None
    latest_charge: Annotated[Charge | None, BeforeValidator(_only_expanded)] = None
    metadata: Metadata = Metadata()
    next_action: NextAction | None = None

    @property
    def order_id(self) -> str | None:
        """The order's id. None if the PaymentIntent isn't ours."""
        return self.metadata.order_id

    @property
    def action_url(self) -> str | None:
        """The address at which the buyer's bank asks for confirmation."""
        redirect = self.next_action and self.next_action.redirect_to_url
        return redirect.url if redirect else None


class CheckoutSession(_Shape):
    id: str
    status: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    client_reference_id: str | None = None
    payment_intent: Annotated[Intent | None, BeforeValidator(_only_expanded)] = None
    url: str | None = None


class Refund(_Shape):
    id: str
    amount: int
    status: str | None = None
    failure_reason: str | None = None


class Dispute(_Shape):
    id: str
    amount: int
    status: str
    reason: str | None = None
