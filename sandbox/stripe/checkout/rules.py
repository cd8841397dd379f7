"""The rules of a Checkout session: https://docs.stripe.com/payments/checkout/how-checkout-works

Values in, values out. What isn't allowed raises.
"""

from dataclasses import replace

from sandbox.stripe import intents
from sandbox.stripe.errors import StripeError
from sandbox.stripe.intents import UnexpectedState
from sandbox.stripe.state import Intent, Session

SHORTEST = 30 * 60
LONGEST = 24 * 60 * 60
"""Seconds that a session is open."""


def expiry(given: int | None, *, now: int) -> int:
    """When a session that is made now ends: in 24 hours, unless another time is asked for."""
    if given is None:
        return now + LONGEST
    if given < now + SHORTEST:
        limit = "at least 30 minutes"
    elif given > now + LONGEST:
        limit = "less than 24 hours"
    else:
        return given
    raise StripeError(
        f"The `expires_at` timestamp must be {limit} from Checkout Session creation.", param="expires_at"
    )


def begin(session: Session, *, intent_id: str, client_secret: str, page: str, now: int) -> Intent:
    """The payment of a session, once its page, at the address `page`, is submitted."""
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


def follow(session: Session, intent: Intent) -> Session:
    """The session after an attempt to pay: complete once the bank has said yes, else as it was."""
    paid = session.status == "open" and intent.status in ("requires_capture", "succeeded")
    return replace(session, payment_intent=intent.id, status="complete" if paid else session.status)


def expire(session: Session, intent: Intent | None, *, now: int) -> tuple[Session, Intent | None]:
    """End an open session, and with it the payment that was begun on its page."""
    if session.status != "open":
        raise StripeError(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has'
            f" a status of `{session.status}`."
        )
    if intent is not None:
        # Nothing is set aside while a session is open, so there is no charge to give back.
        intent, _ = intents.cancel(intent, None, "expired", now=now)
    return replace(session, status="expired"), intent


def check_free(intent: Intent, session: Session | None, verb: str) -> None:
    """An open session keeps its payment to itself."""
    if session is not None and session.status == "open":
        raise UnexpectedState(
            intent,
            f"You cannot {verb} this PaymentIntent because it was created by Checkout. Its Checkout Session"
            f" ({session.id}) is still open: the customer confirms it there, and expiring the session"
            " cancels it.",
        )
