"""The ways in which a request to Stripe can fail, and the translation of the stripe package's errors."""

import logging
from collections.abc import Mapping

import stripe

from kit.alerts import alert
from kit.errors import Unavailable

log = logging.getLogger(__name__)


class OutcomeUnknown(Unavailable):
    """Stripe may or may not have carried out the request.

    Repeating the request under the same idempotency key is safe.
    """

    message = "Stripe's answer is still missing"


class KeyExhausted(OutcomeUnknown):
    """Stripe remembers a server error under this idempotency key, and repeats it for a day."""


class KeyMismatch(OutcomeUnknown):
    """The idempotency key was used for a different request, whose outcome has to be read at Stripe."""


class RequestRefused(Unavailable):
    """Stripe rejected a request for a reason that operators have to fix, such as a wrong key."""

    message = "Stripe is unavailable for a moment"


def is_rejection(error: stripe.StripeError) -> bool:
    """Whether Stripe rejected the request.

    Otherwise Stripe didn't answer, or the idempotency key is in use (409).
    """
    status = error.http_status or 0
    return 400 <= status < 500 and status != 409


def failure(error: stripe.StripeError, *, keyed: bool) -> Unavailable:
    """Translate `error` as the table in docs/payments.md describes. Alert operators if they have to act.

    Args:
        keyed: whether the request had an idempotency key. Stripe may remember a server error under it.
    """
    if not is_rejection(error):
        log.warning("no answer from Stripe: %s", error)
        is_remembered = keyed and (error.http_status or 0) >= 500 and is_replay(error.headers)
        return KeyExhausted() if is_remembered else OutcomeUnknown()
    if isinstance(error, stripe.IdempotencyError):
        alert("key_mismatch", "an idempotency key was used for something else before: %s", error)
        return KeyMismatch()
    return refused(error)


def is_replay(headers: Mapping[str, str] | None) -> bool:
    """Whether Stripe has answered with what it remembers under the request's idempotency key.

    https://docs.stripe.com/error-low-level#idempotency
    """
    names = {name.lower(): value for name, value in (headers or {}).items()}
    return names.get("idempotent-replayed") == "true"


def refused(error: stripe.StripeError) -> RequestRefused:
    """The error to raise for a request that Stripe rejected. Also alerts operators."""
    alert("refused", "Stripe refuses a request of ours: %s", error)
    return RequestRefused()
