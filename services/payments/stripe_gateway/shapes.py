"""The parts of Stripe's objects that payments reads."""

from typing import Annotated

from pydantic import BeforeValidator

from kit.stripe.shapes import Shape, only_expanded


class Redirect(Shape):
    url: str | None = None


class NextAction(Shape):
    """What the buyer has to do. Of all kinds, we can offer only a redirect."""

    redirect_to_url: Redirect | None = None


class PaymentError(Shape):
    """The reason why the last attempt to pay failed."""

    code: str | None = None
    """Stripe's code."""
    decline_code: str | None = None
    """The bank's code."""
    message: str | None = None


class Charge(Shape):
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


class Metadata(Shape):
    """The metadata that we write."""

    order_id: str | None = None


class Intent(Shape):
    id: str
    created: int
    """When Stripe created it, in seconds since 1970."""
    status: str
    amount: int
    currency: str
    amount_capturable: int = 0
    last_payment_error: PaymentError | None = None
    latest_charge: Annotated[Charge | None, BeforeValidator(only_expanded)] = None
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


class CheckoutSession(Shape):
    id: str
    status: str | None = None
    amount_total: int | None = None
    currency: str | None = None
    client_reference_id: str | None = None
    payment_intent: Annotated[Intent | None, BeforeValidator(only_expanded)] = None
    url: str | None = None


class Refund(Shape):
    id: str
    amount: int
    status: str | None = None
    failure_reason: str | None = None


class Dispute(Shape):
    id: str
    amount: int
    status: str
    reason: str | None = None
