"""The only file that knows Stripe."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

import stripe
from stripe import ListObject, PaymentIntent, StripeClient
from stripe.checkout import Session
from stripe.params import PaymentIntentConfirmParams, PaymentIntentListParams
from stripe.params.checkout import SessionListParams

from contracts.events import PaymentStatus
from services.kit.errors import Invalid, Unavailable
from services.payments.alerts import alert
from services.payments.rules import Outcome, PaymentState, Told
from settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
Thing = TypeVar("Thing", bound=stripe.StripeObject)
P = TypeVar("P")

API_VERSION = "2026-10-28.endive"
"""Pinned: what Stripe answers must not change with the account's default or with the package."""

TIMEOUT_SECONDS = 10
NETWORK_RETRIES = 2
"""stripe makes none unless told to. They carry the same idempotency key."""
RATE_LIMIT_DELAYS = (0.5, 1.0, 2.0)
"""Seconds before a request that was one too many is sent again, give or take half."""

LOOK_UP_WITHIN = timedelta(days=1)
"""After an order was made; it lives no longer."""
CLOCKS_DIFFER = timedelta(hours=1)
"""At most, so that what Stripe has of an order is found."""

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

_WITH_REFUNDS = "latest_charge"
"""Expanded where an intent is read: the intent itself doesn't tell what was given back."""


class OutcomeUnknown(Unavailable):
    """Stripe may or may not have done it. The same request with the same key will tell."""

    message = "We're checking your payment"


class Broken(OutcomeUnknown):
    """Stripe answered that it failed, remembers that under the key, and what was asked for isn't there."""


class KeyMismatch(OutcomeUnknown):
    """A key was used for another request before. What that one did has to be looked up."""


class PaymentsUnavailable(Unavailable):
    """Stripe won't serve us at all: a matter for the operator, not for the buyer's card."""

    message = "Payments are unavailable for a moment. Your reservation stands"


class BadSignature(Invalid):
    message = "The webhook's signature isn't valid"


@dataclass(frozen=True)
class Booked:
    """What Stripe's books say of one PaymentIntent, in minor units."""

    order_id: str
    intent_id: str
    status: str
    """As Stripe calls it."""
    authorized: int
    """What a bank holds for us and we haven't taken."""
    captured: int
    refunded: int
    currency: str
    is_attempted: bool
    """Whether a bank was ever asked to approve it and did."""


class Gateway:
    """Each method may be repeated. Creating, confirming and opening a page have idempotency keys; capturing,
    voiding, closing and refunding are once by the state of the thing itself, and under a key Stripe would
    repeat an old refusal.

    All raise OutcomeUnknown when no answer tells what happened, PaymentsUnavailable when Stripe
    refuses us.
    """

    def __init__(self, settings: Settings) -> None:
        key = settings.stripe_key.get_secret_value() if settings.stripe_key else SANDBOX_KEY
        self._site = settings.site
        self._http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
        self._webhook_secret = settings.webhook_secret
        self._client = StripeClient(
            key,
            http_client=self._http,
            stripe_version=API_VERSION,
            max_network_retries=NETWORK_RETRIES,
            base_addresses={"api": settings.stripe_base} if settings.stripe_base else None,
        )

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call] # stripe leaves it untyped

    async def create(self, payment: PaymentState, description: str) -> Outcome:
        """The order's one PaymentIntent: asking again gives the same one."""
        try:
            return await self._ask(
                lambda: self._client.v1.payment_intents.create_async(
                    {
                        "amount": payment.amount,
                        "currency": payment.currency,
                        "capture_method": "manual",
                        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                        "description": description,
                        "metadata": {"order_id": payment.order_id},
                    },
                    {"idempotency_key": f"order:{payment.order_id}:pi:{payment.attempt}"},
                ),
                keyed=True,
            )
        except (KeyMismatch, Broken):
            async for intent in self._intents(payment.order_id):
                return _outcome(intent)
            raise

    async def confirm(self, payment: PaymentState) -> Outcome:
        """Authorize the amount on the card of the current attempt. A decline is an outcome too."""
        intent = _known(payment)
        try:
            outcome = await self._ask(
                lambda: self._client.v1.payment_intents.confirm_async(
                    intent,
                    {**_card(payment.token or ""), "return_url": self._order_page(payment)},
                    {"idempotency_key": f"pi:{intent}:confirm:{payment.attempt}"},
                ),
                stripe.CardError,
                stripe.InvalidRequestError,
                keyed=True,
            )
        except stripe.CardError as error:
            message = error.user_message or "Your card was declined."
            return _declined(payment, message, _code(error.error) or error.code)
        except stripe.InvalidRequestError as error:
            if _is_about_card(error):
                return _declined(payment, "That card can't be used. Try another one.", error.code)
            return await self._where_it_is(payment, error)
        except OutcomeUnknown:
            found = await self.look(payment)
            if found.status in ("pending", "failed") and not found.bank_check:
                raise  # it may still be on its way
            return found
        # Under the same key Stripe repeats its first answer: what became of it is seen by looking.
        return outcome if outcome.status != "pending" else await self.look(payment)

    async def open_page(self, payment: PaymentState, title: str) -> Outcome:
        """The order's one Checkout session: asking again gives the same one."""
        assert payment.page_until is not None, "a payment on Stripe's page has an end of it"
        until = int(payment.page_until.timestamp())
        about = {"order_id": payment.order_id}
        try:
            session = await self._answer(
                lambda: self._client.v1.checkout.sessions.create_async(
                    {
                        "mode": "payment",
                        "client_reference_id": payment.order_id,
                        "line_items": [
                            {
                                "price_data": {
                                    "currency": payment.currency,
                                    "unit_amount": payment.amount,
                                    "product_data": {"name": title},
                                },
                                "quantity": 1,
                            }
                        ],
                        "payment_intent_data": {
                            "capture_method": "manual",
                            "description": f"{title} (order {payment.order_id})",
                            "metadata": about,
                        },
                        "metadata": about,
                        "success_url": f"{self._order_page(payment)}?paid",
                        "cancel_url": self._order_page(payment),
                        "expires_at": until,
                    },
                    {"idempotency_key": f"order:{payment.order_id}:page:{payment.attempt}"},
                ),
                keyed=True,
            )
        except (KeyMismatch, Broken):
            found = await self._session_of(payment.order_id)
            if found is None:
                raise
            session = found
        return _page_outcome(session)

    async def look(self, payment: PaymentState) -> Outcome:
        """What Stripe knows now."""
        if payment.session_id is None:
            intent = _known(payment)
            return await self._ask(
                lambda: self._client.v1.payment_intents.retrieve_async(intent, {"expand": [_WITH_REFUNDS]})
            )
        page, expand = payment.session_id, ["payment_intent", f"payment_intent.{_WITH_REFUNDS}"]
        return _page_outcome(
            await self._answer(
                lambda: self._client.v1.checkout.sessions.retrieve_async(page, {"expand": expand})
            )
        )

    async def capture(self, payment: PaymentState) -> Outcome:
        """Take what was authorized."""
        intent = _known(payment)
        return await self._move(payment, lambda: self._client.v1.payment_intents.capture_async(intent))

    async def void(self, payment: PaymentState) -> Outcome:
        """Let go of what was authorized, or make sure that nothing will be."""
        intent = _known(payment)
        return await self._move(payment, lambda: self._client.v1.payment_intents.cancel_async(intent))

    async def close_page(self, payment: PaymentState) -> Outcome:
        """Close the page to pay on; if the buyer was faster, tell what they did there."""
        page = payment.session_id
        assert page is not None, "only a page that exists can be closed"
        try:
            await self._answer(
                lambda: self._client.v1.checkout.sessions.expire_async(page), stripe.InvalidRequestError
            )
        except stripe.InvalidRequestError as error:
            log.info("the page of order %s is over already: %s", payment.order_id, error)
        outcome = await self.look(payment)
        if outcome.intent_id is None or outcome.status != "pending":
            return outcome
        # Nobody can complete it on the page any more; that nothing else does is ours to see to.
        return await self.void(payment.model_copy(update={"intent_id": outcome.intent_id}))

    async def refund(self, payment: PaymentState) -> Outcome:
        """Give back all that was captured and wasn't given back yet: once, however often it is asked for.

        There is no key to it, under which Stripe would repeat an old refusal: of what is all given back
        nothing more can be.
        """
        intent = _known(payment)
        try:
            await self._answer(
                lambda: self._client.v1.refunds.create_async({"payment_intent": intent}),
                stripe.InvalidRequestError,
            )
        except stripe.InvalidRequestError as error:
            if error.code != "charge_already_refunded":
                raise self._refused(error) from error
        refunds = await self._answer(
            lambda: self._client.v1.refunds.list_async({"payment_intent": intent, "limit": 100})
        )
        done = sum(refund.amount for refund in refunds.data if refund.status == "succeeded")
        if not any(refund.status in ("succeeded", "pending", "requires_action") for refund in refunds.data):
            alert("refund_failed", "no refund of order %s came to anything", payment.order_id)
        status: PaymentStatus = "refunded" if done >= payment.amount else "captured"
        return Outcome(status, intent, payment.amount, payment.currency)

    async def books(self) -> AsyncIterator[Booked]:
        """All that Stripe has of our orders, newest first."""
        async for intent in self._intents(None):
            yield _booked(intent)

    def told(self, body: bytes, signature: str | None) -> Told:
        """What a webhook is about.

        Raises:
            BadSignature: it isn't signed with our secret, is stale, or no secret is set: without
                one, anybody could sign.
        """
        if self._webhook_secret is None:
            raise BadSignature("Webhooks are refused: no STRIPE_WEBHOOK_SECRET is set")
        try:
            event = stripe.Webhook.construct_event(body, signature, self._webhook_secret)
            about = event.data.object.to_dict()
            return Told(event.id, _order_of(about), _intent_of(about))
        except (stripe.SignatureVerificationError, ValueError, LookupError, AttributeError):
            raise BadSignature from None

    def _order_page(self, payment: PaymentState) -> str:
        return f"{self._site}/orders/{payment.order_id}"

    async def _intents(self, order_id: str | None) -> AsyncIterator[PaymentIntent]:
        """Our PaymentIntents: those of an order, or all."""
        params: PaymentIntentListParams = {"limit": 100, "expand": [f"data.{_WITH_REFUNDS}"]}
        if order_id:
            params["created"] = _while_it_lives(order_id)
        async for intent in self._listed(self._client.v1.payment_intents.list_async, params):
            of = intent.metadata.to_dict().get("order_id") if intent.metadata else None
            if of is not None and order_id in (None, of):
                yield intent

    async def _session_of(self, order_id: str) -> Session | None:
        params: SessionListParams = {"limit": 100, "created": _while_it_lives(order_id)}
        async for session in self._listed(self._client.v1.checkout.sessions.list_async, params):
            if session.client_reference_id == order_id:
                return session
        return None

    async def _listed(
        self, ask: Callable[[P], Awaitable[ListObject[Thing]]], params: P
    ) -> AsyncIterator[Thing]:
        """All of a list, each page of it asked for as anything else is."""
        while True:
            page = await self._answer(partial(ask, params))
            for thing in page.data:
                yield thing
            if not page.has_more:
                return
            params = cast(
                "P", {**cast("dict[str, Any]", params), "starting_after": cast("Any", page.data[-1]).id}
            )

    async def _move(self, payment: PaymentState, request: Callable[[], Awaitable[PaymentIntent]]) -> Outcome:
        """Capture or void; if the intent has moved on already, tell where it is."""
        try:
            return await self._ask(request, stripe.InvalidRequestError)
        except stripe.InvalidRequestError as error:
            return await self._where_it_is(payment, error)

    async def _where_it_is(self, payment: PaymentState, error: stripe.InvalidRequestError) -> Outcome:
        if error.code == "payment_intent_unexpected_state":
            return await self.look(payment)
        raise self._refused(error) from error

    def _refused(self, error: stripe.StripeError) -> PaymentsUnavailable:
        alert("refused", "Stripe refuses a request of ours: %s", error)
        return PaymentsUnavailable()

    async def _ask(
        self,
        request: Callable[[], Awaitable[PaymentIntent]],
        *expected: type[stripe.StripeError],
        keyed: bool = False,
    ) -> Outcome:
        return _outcome(await self._answer(request, *expected, keyed=keyed))

    async def _answer(
        self,
        request: Callable[[], Awaitable[T]],
        *expected: type[stripe.StripeError],
        keyed: bool = False,
    ) -> T:
        """Ask; errors of Stripe but those `expected` become ours, by the table in docs/payments.md.

        Args:
            keyed: the request has a key of ours, under which Stripe remembers an answer of 500. A look that
                fails says nothing of such a key.
        """
        for delay in (*RATE_LIMIT_DELAYS, None):
            try:
                return await request()
            except stripe.RateLimitError as error:
                if delay is None:
                    raise OutcomeUnknown from error
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - scatters repeats, guards no secret
            except stripe.StripeError as error:
                status = error.http_status or 0
                if status == 409 or not 400 <= status < 500:  # its key is in use, or there is no answer
                    log.warning("no answer from Stripe: %s", error)
                    raise (Broken if keyed and status >= 500 else OutcomeUnknown) from error
                if isinstance(error, stripe.IdempotencyError):
                    alert("key_mismatch", "an idempotency key was used for something else before: %s", error)
                    raise KeyMismatch from error
                if isinstance(error, expected):
                    raise
                raise self._refused(error) from error
        raise AssertionError("the last try returns or raises")


def _known(payment: PaymentState) -> str:
    assert payment.intent_id is not None, "only an intent that exists can be asked for"
    return payment.intent_id


def _while_it_lives(order_id: str) -> Any:
    """From when the order was made, which the first four bytes of its id tell, give or take a clock."""
    made = int(order_id[:8], 16)
    return {
        "gte": made - int(CLOCKS_DIFFER.total_seconds()),
        "lte": made + int(LOOK_UP_WITHIN.total_seconds()),
    }


def _card(token: str) -> PaymentIntentConfirmParams:
    """A payment method as it is; a card token, such as the test token tok_visa, as a new card."""
    if token.startswith("pm_"):
        return {"payment_method": token}
    # Stripe's types leave out tokens: raw card numbers must not reach us, and don't.
    return cast(
        "PaymentIntentConfirmParams", {"payment_method_data": {"type": "card", "card": {"token": token}}}
    )


def _is_about_card(error: stripe.InvalidRequestError) -> bool:
    names_it = (error.param or "").startswith("payment_method") or error.code == "token_already_used"
    return names_it or (error.code == "resource_missing" and error.param != "intent")


def _outcome(intent: PaymentIntent) -> Outcome:
    status = _STATUS[intent.status]
    decline = intent.last_payment_error
    action = intent.next_action
    code = message = None
    if intent.status == "requires_payment_method" and decline is not None:
        status, code, message = "failed", _code(decline), _words(decline)
    if status == "captured" and isinstance(intent.latest_charge, stripe.Charge):
        status = "refunded" if intent.latest_charge.refunded else "captured"
    return Outcome(
        status=status,
        intent_id=intent.id,
        amount=intent.amount,
        currency=intent.currency,
        decline_code=code,
        decline_message=message,
        bank_check=intent.status == "requires_action",
        action_url=action.redirect_to_url.url if action and action.redirect_to_url else None,
    )


def _page_outcome(session: Session) -> Outcome:
    """On Stripe's page a decline is between the buyer and that page: the payment stays pending."""
    intent = session.payment_intent if isinstance(session.payment_intent, PaymentIntent) else None
    status: PaymentStatus = _outcome(intent).status if intent else "pending"
    if intent is None and session.status == "expired":
        status = "voided"
    elif status == "failed":
        status = "pending"
    return Outcome(
        status=status,
        intent_id=intent.id if intent else None,
        amount=intent.amount if intent else (session.amount_total or 0),
        currency=intent.currency if intent else (session.currency or ""),
        session_id=session.id,
        page_url=session.url if session.status == "open" and status == "pending" else None,
        bank_check=intent is not None and intent.status == "requires_action",
    )


def _booked(intent: PaymentIntent) -> Booked:
    charge = intent.latest_charge if isinstance(intent.latest_charge, stripe.Charge) else None
    approved = charge is not None and charge.paid
    return Booked(
        order_id=str(intent.metadata["order_id"]),
        intent_id=intent.id,
        status=intent.status,
        authorized=intent.amount_capturable,
        captured=charge.amount_captured if charge and approved else 0,
        refunded=charge.amount_refunded if charge and approved and charge.captured else 0,
        currency=intent.currency,
        is_attempted=approved,
    )


def _order_of(about: dict[str, Any]) -> str | None:
    """As we wrote it on what the webhook is about."""
    order = (about.get("metadata") or {}).get("order_id")
    return order if isinstance(order, str) else None


def _intent_of(about: dict[str, Any]) -> str | None:
    intent = about.get("id") if about.get("object") == "payment_intent" else about.get("payment_intent")
    return intent if isinstance(intent, str) else None


def _code(decline: Any) -> str | None:
    """Why, for programs; the bank's own reason if it gave one. Stripe leaves out what it doesn't know."""
    return getattr(decline, "decline_code", None) or getattr(decline, "code", None)


def _words(decline: Any) -> str:
    """Stripe's words to the buyer; after a refused bank check they are meant for developers."""
    if decline.code == "payment_intent_authentication_failure":
        return "Your bank didn't confirm the payment. Try again or use another card."
    return decline.message or "Your card was declined."


def _declined(payment: PaymentState, message: str, code: str | None) -> Outcome:
    return Outcome(
        "failed",
        _known(payment),
        payment.amount,
        payment.currency,
        decline_code=code,
        decline_message=message,
    )
