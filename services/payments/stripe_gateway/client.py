"""The requests that payments makes to Stripe."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import stripe
from stripe import PaymentIntent
from stripe.checkout import Session

from kit.stripe.budget import Budget
from kit.stripe.client import StripeApi
from kit.stripe.errors import KeyExhausted, KeyMismatch, OutcomeUnknown, is_replay, refused
from services.payments.money_back import Refund, merged
from services.payments.rules import Outcome, PaymentState
from services.payments.stripe_gateway import ledger, outcomes, requests
from settings import Settings

log = logging.getLogger(__name__)


class Gateway:
    """The requests that payments sends to Stripe. Every method may be repeated.

    `create`, `confirm` and `open_page` send idempotency keys. Capturing, voiding, closing and refunding
    need none: Stripe carries out each only once, and with a key it would repeat an old rejection. A refund
    of a part could be made twice, so it has a key. Before a refund is requested, the earlier ones are read,
    because one that failed could be made again.

    All methods raise OutcomeUnknown if there is no answer, and RequestRefused if Stripe rejects the request.

    Args:
        budget: counts the requests.
        in_background: whether they wait until buyers leave something of the budget.
    """

    def __init__(
        self, settings: Settings, budget: Budget | None = None, *, in_background: bool = False
    ) -> None:
        self._api = StripeApi(settings, budget, in_background=in_background)
        self._site = settings.site

    @property
    def is_paused(self) -> bool:
        """Whether background work has to wait, because Stripe has just answered 429."""
        return self._api.is_paused

    async def close(self) -> None:
        await self._api.close()

    async def create(self, payment: PaymentState, description: str) -> Outcome:
        """Create the order's PaymentIntent. A repeated call returns the same PaymentIntent."""
        try:
            intent = await self._api.send(
                lambda: self._api.v1.payment_intents.create_async(
                    requests.intent(payment, description),
                    {"idempotency_key": f"order:{payment.order_id}:pi:{payment.attempt}"},
                ),
                keyed=True,
            )
        except (KeyMismatch, KeyExhausted):
            found = await ledger.find_intent(
                self._api, payment.order_id, payment.attempt_began_at, payment.ended
            )
            if found is None:
                raise
            intent = found
        return outcomes.of_intent(intent)

    async def confirm(self, payment: PaymentState) -> Outcome:
        """Authorize the amount on the card of the current attempt. A decline is returned, not raised."""
        intent_id = _intent_id(payment)
        card = requests.confirmation(payment.token or "", self._order_page(payment))
        try:
            intent = await self._api.send(
                lambda: self._api.v1.payment_intents.confirm_async(
                    intent_id, card, {"idempotency_key": f"pi:{intent_id}:confirm:{payment.attempt}"}
                ),
                stripe.CardError,
                stripe.InvalidRequestError,
                keyed=True,
            )
        except stripe.CardError as error:
            return outcomes.of_card_error(payment, error)
        except stripe.InvalidRequestError as error:
            return outcomes.of_unusable_card(payment, error) or await self._outcome_after_rejection(
                payment, error
            )
        except OutcomeUnknown:
            found = await self.retrieve(payment)
            if found.status in ("pending", "failed") and not found.bank_check:
                raise  # the confirmation may still be in progress at Stripe
            return found
        outcome = outcomes.of_intent(intent)
        # Stripe repeats its first response to this idempotency key. Only a read shows the current state.
        return outcome if outcome.status != "pending" else await self.retrieve(payment)

    async def open_page(self, payment: PaymentState, title: str) -> Outcome:
        """Create the order's Checkout session. A repeated call returns the same session."""
        try:
            session = await self._api.send(
                lambda: self._api.v1.checkout.sessions.create_async(
                    requests.session(payment, title, self._order_page(payment)),
                    {"idempotency_key": f"order:{payment.order_id}:page:{payment.attempt}"},
                ),
                keyed=True,
            )
        except (KeyMismatch, KeyExhausted):
            found = await ledger.find_session(
                self._api, payment.order_id, payment.attempt_began_at, payment.ended
            )
            if found is None:
                raise
            return await self.retrieve(payment.model_copy(update={"session_id": found.id}))
        if session.last_response is not None and is_replay(session.last_response.headers):
            # The response is as old as the session. Only a read shows the current state.
            return await self.retrieve(payment.model_copy(update={"session_id": session.id}))
        return outcomes.of_session(session, payment)

    async def retrieve(self, payment: PaymentState) -> Outcome:
        """Read the payment's Checkout session, or its PaymentIntent if it has no session."""
        if session_id := payment.session_id:
            expand = ["payment_intent", f"payment_intent.{ledger.WITH_CHARGE}"]
            session = await self._api.send(
                lambda: self._api.v1.checkout.sessions.retrieve_async(session_id, {"expand": expand})
            )
            return await self._with_money_back(payment, session, outcomes.of_session(session, payment))
        intent_id = _intent_id(payment)
        intent = await self._api.send(
            lambda: self._api.v1.payment_intents.retrieve_async(intent_id, {"expand": [ledger.WITH_CHARGE]})
        )
        return await self._with_money_back(payment, intent, outcomes.of_intent(intent))

    async def _with_money_back(
        self, payment: PaymentState, found: stripe.PaymentIntent | Session, outcome: Outcome
    ) -> Outcome:
        """The outcome with its refunds and disputes, if there are any: one more request for each kind."""
        intent_id = outcome.intent_id
        has_some = outcomes.was_contested(found) or payment.refunds or payment.disputes
        if intent_id is None or outcome.status != "captured" or not has_some:
            return outcome
        refunds, disputes = await ledger.money_back(self._api, intent_id)
        return replace(outcome, refunds=refunds, disputes=disputes)

    async def capture(self, payment: PaymentState) -> Outcome:
        """Charge the authorized amount."""
        intent_id = _intent_id(payment)
        return await self._move(payment, lambda: self._api.v1.payment_intents.capture_async(intent_id))

    async def void(self, payment: PaymentState) -> Outcome:
        """Cancel the PaymentIntent: release what is authorized, and prevent later authorizations."""
        intent_id = _intent_id(payment)
        return await self._move(payment, lambda: self._api.v1.payment_intents.cancel_async(intent_id))

    async def close_page(self, payment: PaymentState) -> Outcome:
        """Expire the Checkout session. If the buyer paid first, the outcome shows the payment."""
        session_id = payment.session_id
        assert session_id is not None, "only an existing page can be closed"
        try:
            await self._api.send(
                lambda: self._api.v1.checkout.sessions.expire_async(session_id), stripe.InvalidRequestError
            )
        except stripe.InvalidRequestError as error:
            log.info("the Checkout session of order %s is closed already: %s", payment.order_id, error)
        outcome = await self.retrieve(payment)
        if outcome.intent_id is None or outcome.status != "pending":
            return outcome
        # The page can't complete this PaymentIntent any more. Void it, so that nothing else can.
        return await self.void(payment.model_copy(update={"intent_id": outcome.intent_id}))

    async def refund(self, payment: PaymentState) -> Outcome:
        """Refund what was captured and isn't refunded yet: everything, or up to the payment's target.

        Nothing is requested while a refund is pending, or after the last attempt has failed.
        """
        intent_id = _intent_id(payment)
        refunds = await ledger.refunds_of(self._api, intent_id)
        if _needs_refund(payment, refunds):
            try:
                if payment.target < payment.amount:
                    await self._refund_part(payment, intent_id, refunds)
                else:
                    await self._api.send(
                        lambda: self._api.v1.refunds.create_async({"payment_intent": intent_id}),
                        stripe.InvalidRequestError,
                    )
            except stripe.InvalidRequestError as error:
                if error.code not in ("charge_already_refunded", "charge_disputed"):
                    raise refused(error) from error
                return await self.retrieve(payment)
            refunds = await ledger.refunds_of(self._api, intent_id)
        return Outcome("captured", intent_id, payment.amount, payment.currency, refunds=refunds)

    async def _refund_part(self, payment: PaymentState, intent_id: str, found: Sequence[Refund]) -> None:
        """Request the rest of a partial refund.

        Stripe would carry it out twice if two processes requested it at once. Both have read the same
        refunds, so they send the same key. After a failure, the number of refunds is another one.
        """
        amount = payment.target - _under_way(payment, found)
        number = len(merged(payment.refunds, found)) + 1
        key = refund_key(payment, number, amount)
        await self._api.send(
            lambda: self._api.v1.refunds.create_async(
                {"payment_intent": intent_id, "amount": amount}, {"idempotency_key": key}
            ),
            stripe.InvalidRequestError,
            keyed=True,
        )

    async def submit_evidence(self, dispute_id: str, text: str) -> bool:
        """Submit a text as evidence about a dispute. Return False if Stripe accepts none any more."""
        try:
            await self._api.send(
                lambda: self._api.v1.disputes.update_async(
                    dispute_id, {"evidence": {"uncategorized_text": text}, "submit": True}
                ),
                stripe.InvalidRequestError,
            )
        except stripe.InvalidRequestError:
            log.info("Stripe accepts no evidence about dispute %s", dispute_id, exc_info=True)
            return False
        return True

    async def _move(self, payment: PaymentState, request: Callable[[], Awaitable[PaymentIntent]]) -> Outcome:
        """Capture or void the PaymentIntent, or read its outcome if its status has already changed."""
        try:
            return outcomes.of_intent(await self._api.send(request, stripe.InvalidRequestError))
        except stripe.InvalidRequestError as error:
            return await self._outcome_after_rejection(payment, error)

    async def _outcome_after_rejection(
        self, payment: PaymentState, error: stripe.InvalidRequestError
    ) -> Outcome:
        """Read the outcome after a request was rejected because the PaymentIntent has another status already.

        Raises:
            RequestRefused: the request was rejected for another reason.
        """
        if error.code == "payment_intent_unexpected_state":
            return await self.retrieve(payment)
        raise refused(error) from error

    def _order_page(self, payment: PaymentState) -> str:
        return f"{self._site}/orders/{payment.order_id}"


def refund_key(payment: PaymentState, number: int, amount: int) -> str:
    """The idempotency key of a refund of a part.

    Args:
        number: counts the refunds of the payment from 1, with failed ones.
    """
    return f"pi:{payment.intent_id}:refund:{number}:{amount}:{payment.attempt}"


def _needs_refund(payment: PaymentState, refunds: Sequence[Refund]) -> bool:
    known = payment.model_copy(update={"refunds": merged(payment.refunds, refunds)})
    return _under_way(payment, refunds) < known.target and not known.refund_failed


def _under_way(payment: PaymentState, refunds: Sequence[Refund]) -> int:
    """How much was refunded, or may still be."""
    return sum(each.amount for each in merged(payment.refunds, refunds) if each.status != "failed")


def _intent_id(payment: PaymentState) -> str:
    assert payment.intent_id is not None, "the payment has an intent"
    return payment.intent_id
