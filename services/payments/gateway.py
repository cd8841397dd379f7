"""The only file that knows Stripe."""

import logging
from collections.abc import Awaitable
from typing import Any, cast

import stripe
from stripe import PaymentIntent, StripeClient
from stripe.params import PaymentIntentConfirmParams

from contracts.events import PaymentStatus
from services.kit.errors import Invalid, Unavailable
from services.payments.rules import Outcome, PaymentState
from settings import Settings

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
NETWORK_RETRIES = 2
"""stripe makes none unless told to. They carry the same idempotency key."""

SANDBOX_KEY = "sk_test_sandbox"

_STATUS: dict[str, PaymentStatus] = {
    "requires_payment_method": "pending",
    "requires_confirmation": "pending",
    "requires_action": "pending",
    "processing": "pending",
    "requires_capture": "authorized",
    "succeeded": "captured",
    "canceled": "voided",
}

_REFUSALS = (
    stripe.AuthenticationError,
    stripe.PermissionError,
    stripe.InvalidRequestError,
    stripe.CardError,
)
"""Stripe answered, and the answer is no: nothing was done, and asking again changes nothing."""


class OutcomeUnknown(Unavailable):
    """Stripe may or may not have done it. The same request with the same key will tell."""

    message = "We're checking your payment"


class PaymentsUnavailable(Unavailable):
    """Stripe won't serve us at all: a matter for the operator, not for the buyer's card."""

    message = "Payments are unavailable for a moment. Your reservation stands"


class BadSignature(Invalid):
    message = "The webhook's signature isn't valid"


class Gateway:
    """Each method may be repeated. Creating, confirming and refunding have idempotency keys; capturing
    and voiding are once by the intent's own state, and under a key Stripe would repeat an old refusal.

    All raise OutcomeUnknown when no answer tells what happened, PaymentsUnavailable when Stripe
    refuses us.
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.stripe_key.get_secret_value() if settings.stripe_key else SANDBOX_KEY
        self._site = settings.site
        self._http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
        self._webhook_secret = settings.stripe_webhook_secret
        self._client = StripeClient(
            key,
            http_client=self._http,
            max_network_retries=NETWORK_RETRIES,
            base_addresses={"api": settings.stripe_base} if settings.stripe_base else None,
        )

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call] # stripe leaves it untyped

    async def create(self, payment: PaymentState, description: str) -> Outcome:
        """The order's one PaymentIntent: asking again gives the same one."""
        return await self._ask(
            self._client.v1.payment_intents.create_async(
                {
                    "amount": payment.amount,
                    "currency": payment.currency,
                    "capture_method": "manual",
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "description": description,
                    "metadata": {"order_id": payment.order_id},
                },
                {"idempotency_key": f"order:{payment.order_id}:pi"},
            )
        )

    async def confirm(self, payment: PaymentState) -> Outcome:
        """Authorize the amount on the card of the current attempt. A decline is an outcome too."""
        intent = _known(payment)
        try:
            outcome = await self._ask(
                self._client.v1.payment_intents.confirm_async(
                    intent,
                    {**_card(payment.token), "return_url": f"{self._site}/orders/{payment.order_id}"},
                    {"idempotency_key": f"pi:{intent}:confirm:{payment.attempt}"},
                ),
                stripe.CardError,
                stripe.InvalidRequestError,
            )
        except stripe.CardError as error:
            return _declined(payment, error.user_message or "Your card was declined.")
        except stripe.InvalidRequestError as error:
            return await self._after_refusal(payment, error)
        except OutcomeUnknown:
            found = await self.look(payment)
            if found.status in ("pending", "failed") and found.action_url is None:
                raise  # it may still be on its way
            return found
        # Under the same key Stripe repeats its first answer: what became of it is seen by looking.
        return outcome if outcome.status != "pending" else await self.look(payment)

    async def look(self, payment: PaymentState) -> Outcome:
        """What Stripe knows now."""
        return await self._ask(self._client.v1.payment_intents.retrieve_async(_known(payment)))

    async def capture(self, payment: PaymentState) -> Outcome:
        """Take what was authorized."""
        return await self._move(
            payment,
            self._client.v1.payment_intents.capture_async(_known(payment)),
        )

    async def void(self, payment: PaymentState) -> Outcome:
        """Let go of what was authorized, or make sure that nothing will be."""
        return await self._move(
            payment,
            self._client.v1.payment_intents.cancel_async(_known(payment)),
        )

    async def refund(self, payment: PaymentState) -> Outcome:
        """Give back all that was captured."""
        intent = _known(payment)
        await self._answer(
            self._client.v1.refunds.create_async(
                {"payment_intent": intent}, {"idempotency_key": f"pi:{intent}:refund"}
            )
        )
        return Outcome("refunded", intent, payment.amount, payment.currency)

    def intent_of_webhook(self, body: bytes, signature: str | None) -> str | None:
        """The PaymentIntent that a webhook is about; None if it's about something else.

        Raises:
            BadSignature: it isn't signed with our secret, is stale, or no secret is set: without
                one, anybody could sign.
        """
        if self._webhook_secret is None:
            raise BadSignature("Webhooks are refused: no STRIPE_WEBHOOK_SECRET is set")
        try:
            event = stripe.Webhook.construct_event(body, signature, self._webhook_secret.get_secret_value())
            about = event.data.object.to_dict()
        except (stripe.SignatureVerificationError, ValueError, LookupError, AttributeError):
            raise BadSignature from None
        if about.get("object") == "payment_intent":
            return str(about["id"])
        intent = about.get("payment_intent")
        return intent if isinstance(intent, str) else None

    async def _move(self, payment: PaymentState, request: Awaitable[PaymentIntent]) -> Outcome:
        """Capture or void; if the intent has moved on already, tell where it is."""
        try:
            return await self._ask(request, stripe.InvalidRequestError)
        except stripe.InvalidRequestError as error:
            return await self._after_refusal(payment, error)

    async def _after_refusal(self, payment: PaymentState, error: stripe.InvalidRequestError) -> Outcome:
        if error.code == "payment_intent_unexpected_state":
            return await self.look(payment)
        is_about_card = (error.param or "").startswith("payment_method") or error.code == "token_already_used"
        if is_about_card or (error.code == "resource_missing" and error.param != "intent"):
            return _declined(payment, "That card can't be used. Try another one.")
        log.error("Stripe refuses a request for order %s: %s", payment.order_id, error)
        raise PaymentsUnavailable from error

    async def _ask(self, request: Awaitable[PaymentIntent], *expected: type[stripe.StripeError]) -> Outcome:
        return _outcome(await self._answer(request, *expected))

    async def _answer(self, request: Awaitable[Any], *expected: type[stripe.StripeError]) -> Any:
        try:
            return await request
        except expected:
            raise
        except _REFUSALS as error:
            log.error("Stripe refuses a request of ours: %s", error)
            raise PaymentsUnavailable from error
        except stripe.StripeError as error:
            log.warning("no answer from Stripe: %s", error)
            raise OutcomeUnknown from error


def _known(payment: PaymentState) -> str:
    assert payment.intent_id is not None, "only an intent that exists can be asked for"
    return payment.intent_id


def _card(token: str) -> PaymentIntentConfirmParams:
    """A payment method as it is; a card token, such as the test token tok_visa, as a new card."""
    if token.startswith("pm_"):
        return {"payment_method": token}
    # Stripe's types leave out tokens: raw card numbers must not reach us, and don't.
    return cast(
        "PaymentIntentConfirmParams", {"payment_method_data": {"type": "card", "card": {"token": token}}}
    )


def _outcome(intent: PaymentIntent) -> Outcome:
    status = _STATUS[intent.status]
    decline = intent.last_payment_error
    action = intent.next_action
    message = None
    if intent.status == "requires_payment_method" and decline is not None:
        status, message = "failed", _words(decline)
    return Outcome(
        status=status,
        intent_id=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        decline_message=message,
        action_url=action.redirect_to_url.url if action and action.redirect_to_url else None,
    )


def _words(decline: Any) -> str:
    """Stripe's words to the buyer; after a refused bank check they are meant for developers."""
    if decline.code == "payment_intent_authentication_failure":
        return "Your bank didn't confirm the payment. Try again or use another card."
    return decline.message or "Your card was declined."


def _declined(payment: PaymentState, message: str) -> Outcome:
    return Outcome("failed", _known(payment), payment.amount, payment.currency, decline_message=message)
