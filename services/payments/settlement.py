"""Advance a payment step by step until it is final or must wait."""

from dataclasses import dataclass, field

from contracts.wire import now
from kit.aggregates import change
from kit.alerts import alert
from kit.changes import Changes
from kit.errors import Unavailable
from kit.stripe.errors import KeyExhausted
from services.payments import attempts, refunds, rules
from services.payments.documents import OrderReplica, Payment
from services.payments.rules import Outcome, Step
from services.payments.schedule import OPEN_STATUSES, Schedule
from services.payments.stripe_gateway.client import Gateway

MAX_STEPS = 8
"""The longest sequence of steps without a pause: create, confirm, capture, and a few reads between them."""


ORDER_STAYS_VALID = (Step.CREATE, Step.CAPTURE)
"""Steps after which the order isn't read again.

If an order is cancelled while its PaymentIntent is created, the PaymentIntent is voided after or instead of
the confirmation. An order whose payment is captured stays complete until that payment is refunded.
"""


SHOW_NOTHING = (Step.CREATE, Step.ABANDON)
"""Steps that don't show the payment's state at Stripe. After any other, a read would tell nothing new."""


@dataclass(frozen=True)
class Settlement:
    """Carries out the steps that `rules.next_step` decides, and schedules the next look at each payment."""

    gateway: Gateway
    times: Schedule = field(default_factory=Schedule)

    @property
    def pay_after_start(self) -> bool:
        """Whether buyers may still pay after the event has begun."""
        return self.times.pay_after_start

    async def advance(
        self, payment: Payment, *, refresh: bool = False, order: OrderReplica | None = None
    ) -> Payment:
        """Take all steps that are possible now.

        Payment requests, order events, webhooks and the reconciler call this. Every step is idempotent, even
        if another instance takes it at the same time.

        Args:
            refresh: read the payment at Stripe first, even if the next step isn't a read.
            order: the payment's order, if it was read just now.

        Raises:
            OutcomeUnknown, RequestRefused, NotFound: retry later.
            Unavailable: the amount or currency at Stripe isn't the payment's.
        """
        is_fresh = False
        if refresh and (payment.intent_id or payment.session_id):
            payment = await self._refresh(payment, await OrderReplica.stored(payment.order_id))
            is_fresh = True
        for _ in range(MAX_STEPS):
            order = order or await OrderReplica.stored(payment.order_id)
            step = rules.next_step(order, payment, now(), pay_after_start=self.pay_after_start)
            if step is Step.WAIT:
                if (payment.status, order.status) == ("voided", "complete") and not order.is_over:
                    alert("unpaid", "order %s is complete, but its payment was voided at Stripe", order.key)
                return payment
            if step is Step.RETRIEVE and is_fresh:
                return payment
            before = payment
            try:
                payment = await self._take(step, payment, order)
            except KeyExhausted:
                another = {"attempt": payment.attempt + 1, "attempt_began_at": now()}
                await payment.save_private(another, attempt=payment.attempt)
                raise
            if payment == before:
                return payment
            is_fresh = step not in SHOW_NOTHING
            if step not in ORDER_STAYS_VALID:
                order = None
        return payment

    async def schedule(self, payment: Payment) -> None:
        """Schedule the next look at an open payment, unless another process has done it meanwhile."""
        if payment.status in OPEN_STATUSES:
            order = await OrderReplica.stored(payment.order_id)
            look_at = self.times.next_look(order, payment, now(), began_at=payment.began_at)
            await payment.schedule(look_at)

    async def _take(self, step: Step, payment: Payment, order: OrderReplica) -> Payment:
        match step:
            case Step.CREATE:
                return await self._create(payment, order)
            case Step.ABANDON:
                return await self._abandon(payment)
            case Step.WAIT:
                return payment
            case Step.CONFIRM:
                outcome = await self.gateway.confirm(payment)
            case Step.OPEN:
                outcome = await self.gateway.open_page(payment, order.ticket_title)
            case Step.RETRIEVE:
                outcome = await self.gateway.retrieve(payment)
            case Step.CAPTURE:
                outcome = await self.gateway.capture(payment)
            case Step.VOID:
                outcome = await self.gateway.void(payment)
            case Step.CLOSE:
                outcome = await self.gateway.close_page(payment)
            case Step.REFUND:
                outcome = await self.gateway.refund(payment)
        return await self._record(payment, order, outcome)

    async def _create(self, payment: Payment, order: OrderReplica) -> Payment:
        """Create the intent and store its id before confirming it, so that the id can't be lost."""
        outcome = await self.gateway.create(payment, f"{order.ticket_title} (order {order.key})")
        created = await payment.save_private(
            {"intent_id": outcome.intent_id}, intent_id=None, attempt=payment.attempt
        )
        if created is not None:
            return created
        stored = await Payment.load(payment.id)
        if outcome.intent_id not in (stored.intent_id, *stored.ended):
            # The order was cancelled meanwhile. Nobody would confirm this intent, but nothing else ends it.
            await self.gateway.void(payment.model_copy(update={"intent_id": outcome.intent_id}))
        return stored

    async def _abandon(self, payment: Payment) -> Payment:
        """Mark a payment voided that has no object at Stripe. A concurrent `_create` then finds it voided."""
        changes = attempts.abandon(payment)
        if changes is None:
            return payment
        abandoned = await payment.save_and_publish(changes, intent_id=None, session_id=None)
        return abandoned or await Payment.load(payment.id)

    async def _refresh(self, payment: Payment, order: OrderReplica) -> Payment:
        outcome = await self.gateway.retrieve(payment)
        if rules.may_be_of_an_earlier_attempt(payment, outcome):
            return payment
        return await self._record(payment, order, outcome)

    async def _record(self, payment: Payment, order: OrderReplica, outcome: Outcome) -> Payment:
        if not rules.matches(payment, outcome):
            alert(
                "amount",
                "PaymentIntent %s of order %s has the amount %s %s, not the price",
                outcome.intent_id,
                payment.order_id,
                outcome.amount,
                outcome.currency,
            )
            raise Unavailable
        # Most often nobody else has changed the payment, so that it needn't be read again.
        attempt = payment.attempt
        changes = self._changes(payment, order, outcome, attempt)
        if changes is None:
            return payment
        changed = await payment.save_and_publish(changes, attempt=attempt) or await change(
            lambda: Payment.first({"_id": payment.id}),
            lambda stored: self._changes(stored, order, outcome, attempt),
        )
        _alert(payment, changed)
        return changed

    def _changes(
        self, payment: Payment, order: OrderReplica, outcome: Outcome, attempt: int
    ) -> Changes | None:
        """What follows from the outcome, with the time of the next look.

        A final payment has no such time. It is due at once if it becomes open again, as for a refund.
        """
        changes = rules.apply_outcome(payment, outcome, attempt)
        if order.delivery_failed or order.refund_due:
            after = payment.model_copy(update=dict(changes or {}))
            owed = refunds.owed(order, after, now())
            changes = {**(changes or {}), **owed} if owed else changes
        if changes is None:
            return None
        changed = payment.model_copy(update=dict(changes))
        look_at = None
        if changed.status in OPEN_STATUSES:
            look_at = self.times.next_look(order, changed, now(), began_at=payment.began_at)
        return {**changes, "next_look_at": look_at}


def _alert(before: Payment, after: Payment) -> None:
    """Alert operators of what they have to decide."""
    if after.refund_failed and not before.refund_failed:
        reason = after.failed_refunds[-1].failure
        alert("refund_failed", "the refund of order %s failed: %s", after.order_id, reason)
    if after.dispute == "open" and before.dispute != "open":
        alert("disputed", "the buyer of order %s disputes the payment", after.order_id)
