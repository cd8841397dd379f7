"""Start payments, apply order events, and refund."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from pymongo.errors import DuplicateKeyError

from contracts.api import TOKEN, Order
from contracts.events import LIVE_STATUSES, OrderEvent
from contracts.money import minimum_charge, to_minor_units
from contracts.wire import now
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import Forbidden, Invalid, NotFound, Unavailable
from kit.owners import Owner
from kit.replicas import State
from kit.stripe.errors import OutcomeUnknown, RequestRefused
from kit.tracing import traceparent
from services.payments import attempts, refunds, rules
from services.payments.documents import OrderReplica, Payment, ShownPayment
from services.payments.settlement import Settlement

log = logging.getLogger(__name__)

PAY_SECONDS = 25
"""How long a request to pay or refund waits for Stripe. After that, the reconciler settles the payment."""

CLAIM = timedelta(seconds=PAY_SECONDS + 5)
"""How long the reconciler leaves a payment alone that a buyer's request has just started."""

MAX_ATTEMPTS = 2
"""Maximum attempts that one request to pay makes. The first one may turn out to have ended at Stripe."""

REFRESH_SECONDS = 2
"""How long a request that only reads a payment waits for Stripe."""

REFRESH_INTERVAL = timedelta(seconds=1)
"""Minimum time between two reads of a payment at Stripe, because all requests share Stripe's rate limit."""


class TokenRefused(Invalid):
    message = "Cards aren't taken here: pay on Stripe's page"


class TokenInvalid(Invalid):
    message = "Token isn't valid"


@dataclass(frozen=True)
class Payments:
    """The use cases of payments."""

    settlement: Settlement
    orders: Owner
    currency: str
    at_checkout: bool = False
    """Whether buyers pay on Stripe's page."""

    async def pay(self, order_id: str, token: str | None, buyer: str, session: str | None) -> Payment:
        """Authorize the order's price on a card, or open Stripe's page, where the buyer authorizes it.

        Repeated calls start one payment. If buyers may not pay after the event has begun, a payment that was
        started before continues.

        The status is `pending` while the outcome is unknown, or while the buyer or the bank has to act.

        Args:
            token: the card. Must be None if buyers pay on Stripe's page.
            session: the buyer's session token. The orders service shows an order only to its buyer.

        Raises:
            NotFound, NotTheBuyer, OrderCancelled, OrderExpired, EventBegun, PriceTooLow, PaymentDeclined,
            PaymentEnded, PaymentsUnavailable, TokenInvalid, TokenRefused, StartedOnAnotherPage, Unavailable
        """
        order = await OrderReplica.stored_or_asked(order_id, partial(self._ask, session))
        rules.check_may_pay(order, buyer, now(), minimum_charge(self.currency))
        self._check_token(token)
        for _ in range(MAX_ATTEMPTS):
            payment = await self._attempt(order, token)
            if payment.status == "failed":
                raise rules.PaymentDeclined(payment.decline_message)
            if payment.status != "voided":
                return payment
            order = await OrderReplica.stored(order_id)
            if order.is_over:
                raise rules.OrderCancelled
        raise attempts.PaymentEnded

    async def _attempt(self, order: OrderReplica, token: str | None) -> Payment:
        payment = await self._begin(order, token)
        try:
            async with asyncio.timeout(PAY_SECONDS):
                return await self.settlement.advance(payment, order=order)
        except RequestRefused as error:
            await payment.make_due()
            raise rules.PaymentsUnavailable from error
        except (OutcomeUnknown, TimeoutError):
            await payment.make_due()
            return await Payment.load(payment.id)  # the reconciler settles it

    def _check_token(self, token: str | None) -> None:
        if self.at_checkout:
            if token is not None:
                raise TokenRefused
        elif not token:
            raise TokenInvalid("Token is required", field="token")
        elif TOKEN.fullmatch(token) is None:
            raise TokenInvalid(field="token")

    async def follow_order(self, event: OrderEvent) -> None:
        """Store an order's newest state and settle its payment accordingly.

        Raises:
            OutcomeUnknown, RequestRefused: retry later.
        """
        await OrderReplica.follow(event.id, event.version, replica_fields(event))
        if event.status in LIVE_STATUSES:
            return  # the buyer acts next, and paying must not wait for Stripe
        payment = await Payment.first({"order_id": event.id})
        if payment is None:
            return
        if event.delivery == "failed" or event.refund_due:
            # The write comes first, so that the reconciler continues the refund.
            order = await OrderReplica.stored(event.id)
            payment = await change(
                lambda: Payment.first({"order_id": event.id}),
                lambda stored: refunds.owed(order, stored, now()),
            )
        await self.settlement.advance(payment)

    async def refund(self, order_id: str, *, relist: bool, again: bool = False) -> Payment:
        """Refund the captured amount of an order. Repeated requests refund it once.

        The payment's status is `refunding` until Stripe reports a successful refund, or if the refund failed.

        Args:
            again: after a refund that failed, try once more.

        Raises:
            NotFound, NotCaptured, PaymentDisputed
        """
        payment = await change(
            lambda: Payment.first({"order_id": order_id}),
            lambda stored: refunds.refund(stored, relist=relist, again=again, now=now()),
        )
        log.info("refund of order %s was requested, relist: %s, again: %s", order_id, relist, again)
        try:
            async with asyncio.timeout(PAY_SECONDS):
                return await self.settlement.advance(payment)
        except (Unavailable, TimeoutError):
            await payment.make_due()
            return await Payment.load(payment.id)  # the reconciler settles it

    async def submit_evidence(self, order_id: str, text: str) -> Payment:
        """Submit a text as evidence about the open disputes of an order. Banks read it once.

        Raises:
            NotFound, NotDisputed, EvidenceRefused, OutcomeUnknown, RequestRefused
        """
        payment = await Payment.first({"order_id": order_id})
        if payment is None:
            raise NotFound
        disputes = [each.id for each in payment.disputes if each.status == "open"]
        if not disputes:
            raise refunds.NotDisputed
        for dispute_id in disputes:
            if not await self.settlement.gateway.submit_evidence(dispute_id, text):
                raise refunds.EvidenceRefused
        log.info("evidence about the dispute of order %s was submitted", order_id)
        return await self.settlement.advance(payment, refresh=True)

    async def record_returned(self, order_id: str, *, relist: bool) -> Payment:
        """Record that an operator returned the money without Stripe, after a refund that failed.

        Raises:
            NotFound, RefundNotFailed
        """
        payment = await change(
            lambda: Payment.first({"order_id": order_id}),
            lambda stored: refunds.returned(stored, relist=relist),
        )
        log.info("the money of order %s was returned without Stripe", order_id)
        return payment

    async def of_orders(self, order_ids: Sequence[str], buyer: str) -> Sequence[Payment | ShownPayment]:
        """The buyer's payments for these orders, read with one command.

        A payment for a single order that waits for the buyer or the bank is read at Stripe first, so that a
        returning buyer sees the outcome at once.
        """
        if len(order_ids) == 1:
            return await self._of_order(order_ids[0], buyer)
        found = await ShownPayment.of_orders(order_ids)
        return [payment for payment in found if payment.user_id == buyer]

    async def _of_order(self, order_id: str, buyer: str) -> Sequence[Payment]:
        payment = await Payment.first({"order_id": order_id})
        if payment is None or payment.user_id != buyer:
            return []
        waits = payment.bank_check or payment.processing or payment.session_id
        if payment.status == "pending" and waits:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    payment = await self._refresh(payment)
        return [payment]

    async def _refresh(self, payment: Payment) -> Payment:
        moment, before = now(), payment.refreshed_at
        if before is not None and moment - before < REFRESH_INTERVAL:
            return payment
        claimed = await payment.save_private({"refreshed_at": moment}, refreshed_at=before)
        return await self.settlement.advance(claimed) if claimed else await Payment.load(payment.id)

    async def _ask(self, session: str | None, order_id: str) -> State:
        try:
            order = await self.orders.get(f"/api/orders/{order_id}", Order, session=session)
        except Forbidden:
            raise rules.NotTheBuyer from None
        return order.version, replica_fields(order)

    async def _begin(self, order: OrderReplica, token: str | None) -> Payment:
        """The order's payment: a new payment, the existing one, or another attempt.

        Raises:
            EventBegun, StartedOnAnotherPage
        """
        may_start = self.settlement.pay_after_start or order.status not in LIVE_STATUSES
        is_too_late = not may_start and order.has_begun(now())
        if is_too_late and await Payment.first({"order_id": order.key}) is None:
            raise attempts.EventBegun
        moment = now()
        page_expires_at = attempts.page_expires_at(order, moment) if token is None else None
        # This request claims the payment for as long as it takes. If it dies, the reconciler continues then.
        claim: Changes = {"attempt_began_at": moment, "next_look_at": moment + CLAIM}
        payment = Payment(
            order_id=order.key,
            user_id=order.user_id,
            amount=order.price_minor,
            currency=self.currency,
            token=token,
            page_expires_at=page_expires_at,
            traceparent=traceparent(),
        ).model_copy(update=dict(claim))
        try:
            await payment.add()
        except DuplicateKeyError:
            return await change(
                partial(_existing, order.key),
                lambda stored: _and(
                    claim,
                    attempts.retry(stored, token, page_expires_at=page_expires_at, is_too_late=is_too_late),
                ),
            )
        return payment


def _and(claim: Changes, changes: Changes | None) -> Changes | None:
    return None if changes is None else {**changes, **claim}


async def _existing(order_id: str) -> Payment:
    """The payment that rejected another one of the same order.

    Raises:
        Unavailable: no majority has it yet, so it may still be rolled back.
    """
    payment = await Payment.first({"order_id": order_id})
    if payment is None:
        raise Unavailable
    return payment


def replica_fields(order: OrderEvent | Order) -> dict[str, Any]:
    """The fields that a replica of this order stores."""
    return {
        "status": order.status,
        "user_id": order.user_id,
        "price_minor": to_minor_units(order.ticket.price),
        "ticket_title": order.ticket.title,
        "expires_at": order.expires_at,
        "starts_at": order.ticket.starts_at,
        "delivery_failed": order.delivery == "failed",
        "refund_due": order.refund_due,
    }
