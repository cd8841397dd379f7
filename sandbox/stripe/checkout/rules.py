"""The rules of a Checkout session: https://docs.stripe.com/payments/checkout/how-checkout-works

All functions are pure, and raise if a transition isn't allowed.
"""

from dataclasses import replace

from sandbox.stripe import intents
from sandbox.stripe.errors import StripeError
from sandbox.stripe.intents import UnexpectedState
from sandbox.stripe.state import Intent, Session

MIN_DURATION = 30 * 60
MAX_DURATION = 24 * 60 * 60
"""The shortest and the longest time in seconds for which a session may stay open."""


def expiry(given: int | None, *, now: int) -> int:
    """The time at which a new session expires: the given time, by default 24 hours from now."""
    if given is None:
        return now + MAX_DURATION
    if given < now + MIN_DURATION:
        limit = "at least 30 minutes"
    elif given > now + MAX_DURATION:
        limit = "less than 24 hours"
    else:
        return given
    raise StripeError(
        f"The `expires_at` timestamp must be {limit} from Checkout Session creation.", param="expires_at"
    )


def create_intent(session: Session, *, intent_id: str, client_secret: str, page: str, now: int) -> Intent:
    """The PaymentIntent of a session whose page (at the URL `page`) is submitted for the first time."""
    return Intent(
        id=intent_id,
        client_secret=client_secret,
        created=now,
        amount=session.amount,
        currency=session.currency,
        capture_method=session.capture_method,
        payment_method_types=("card",),
        description=session.intent_description,
        metadata=session.intent_metadata,
        return_url=page,
        checkout=session.id,
    )


def after_attempt(session: Session, intent: Intent) -> Session:
    """The session after an attempt to pay: complete if the bank has approved the payment."""
    paid = session.status == "open" and intent.status in ("requires_capture", "succeeded")
    return replace(session, payment_intent=intent.id, status="complete" if paid else session.status)


def expire(session: Session, intent: Intent | None, *, now: int) -> tuple[Session, Intent | None]:
    """Expire an open session, and cancel its payment if one was started."""
    if session.status != "open":
        raise StripeError(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has'
            f" a status of `{session.status}`."
        )
    if intent is not None:
        # While a session is open, no money is authorized, so there is no charge to release.
        intent, _ = intents.cancel(intent, None, "expired", now=now)
    return replace(session, status="expired"), intent


def check_not_in_checkout(intent: Intent, session: Session | None, verb: str) -> None:
    """Raise an error if the intent belongs to an open session."""
    if session is not None and session.status == "open":
        raise UnexpectedState(
            intent,
            f"You cannot {verb} this PaymentIntent because it was created by Checkout. Its Checkout Session"
            f" ({session.id}) is still open: the customer confirms it there, and expiring the session"
            " cancels it.",
        )
