"""Pay, follow orders, settle."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass

from pymongo.errors import DuplicateKeyError

from contracts.events import OrderEvent
from contracts.money import to_minor_units
from contracts.wire import now
from services.kit.aggregates import change
from services.kit.errors import NotFound, Unavailable
from services.payments import rules
from services.payments.documents import Order, Payment
from services.payments.gateway import Gateway, OutcomeUnknown
from services.payments.rules import Outcome, Step

log = logging.getLogger(__name__)

MAX_STEPS = 8
"""Steps of one payment without a pause: create, confirm, capture and some looks between."""

AT_ONCE = 8
"""Payments that the reconciler settles at the same time."""

LOOK_SECONDS = 2
"""Nobody who only reads waits longer for Stripe."""

PAY_SECONDS = 25
"""A buyer waits no longer for an answer of Stripe; it is looked for without them."""


@dataclass(frozen=True)
class Payments:
    """The use cases, with what they need."""

    gateway: Gateway
    currency: str

    async def pay(self, order_id: str, token: str, buyer: str) -> Payment:
        """Authorize the order's price on a card. Repeating it gives the same payment.

        Its status is `pending` while the outcome isn't known or the buyer's bank asks for more.

        Raises:
            NotFound, NotTheBuyer, OrderCancelled, OrderExpired, PaymentDeclined, PaymentsUnavailable
        """
        order = await Order.arrived(order_id)
        rules.check_may_pay(order, buyer, now())
        payment = await self._begin(order, token)
        try:
            async with asyncio.timeout(PAY_SECONDS):
                payment = await self.advance(payment)
        except (OutcomeUnknown, TimeoutError):
            payment = await _reload(payment)  # the reconciler goes on with it
        if payment.status == "failed":
            raise rules.PaymentDeclined(payment.decline_message)
        if payment.status == "voided" and order.status != "complete":
            raise rules.OrderCancelled
        return payment

    async def follow_order(self, event: OrderEvent) -> None:
        """Remember an order's newest state and settle its payment accordingly.

        Raises:
            OutcomeUnknown, PaymentsUnavailable: to be tried again.
        """
        await Order.follow(
            event.id,
            event.version,
            {
                "status": event.status,
                "user_id": event.user_id,
                "price_minor": to_minor_units(event.ticket.price),
                "ticket_title": event.ticket.title,
                "expires_at": event.expires_at,
            },
        )
        payment = await Payment.find_one({"order_id": event.id})
        if payment is not None:
            await self.advance(payment)

    async def advance(self, payment: Payment) -> Payment:
        """Take the payment as far as it gets now.

        The buyer, webhooks, orders and the reconciler all call this. Every step may be repeated,
        here or in another copy at the same time.

        Raises:
            OutcomeUnknown, PaymentsUnavailable
        """
        for _ in range(MAX_STEPS):
            order = await Order.arrived(payment.order_id)
            step = rules.next_step(order, payment, now())
            if step is Step.WAIT:
                if (payment.status, order.status) == ("voided", "complete"):
                    log.error("order %s is complete, but its payment was voided at Stripe", order.key)
                return payment
            before = payment
            payment = await self._take(step, payment, order)
            if payment == before:
                return payment
        return payment

    async def of_order(self, order_id: str, buyer: str) -> list[Payment]:
        """The buyer's payments of an order: one or none.

        One that waits for the bank is looked at, since this is what a buyer who comes back asks first.
        """
        payment = await Payment.find_one({"order_id": order_id})
        if payment is None or payment.user_id != buyer:
            return []
        if payment.status == "pending" and payment.action_url:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    payment = await self.advance(payment)
        return [payment]

    async def heard_from_stripe(self, intent_id: str) -> None:
        """A webhook told that something happened to an intent: look what."""
        payment = await Payment.find_one({"intent_id": intent_id})
        if payment is not None:
            await self.advance(payment)

    async def reconcile(self) -> int:
        """Advance every payment that isn't final, whatever was lost on the way; gives how many moved."""
        open_payments = [
            payment
            for status in ("pending", "failed", "authorized")
            for payment in await Payment.find({"status": status}).to_list()
        ]
        room = asyncio.Semaphore(AT_ONCE)

        async def settle(payment: Payment) -> bool:
            async with room:
                try:
                    return (await self.advance(await _reload(payment))).version > payment.version
                except (Unavailable, NotFound) as error:
                    log.warning("payment %s isn't settled yet: %s", payment.key, error)
                except Exception:
                    # One that can't be settled must not keep the others from it.
                    log.exception("payment %s can't be settled", payment.key)
                return False

        return sum(await asyncio.gather(*map(settle, open_payments)))

    async def _begin(self, order: Order, token: str) -> Payment:
        """The order's payment: a new one, the one under way, or another attempt after a decline."""
        payment = Payment(
            order_id=order.key,
            user_id=order.user_id,
            amount=order.price_minor,
            currency=self.currency,
            token=token,
        )
        try:
            await payment.add(silently=True)
        except DuplicateKeyError:
            return await change(
                lambda: Payment.find_one({"order_id": order.key}),
                lambda known: rules.try_again(known, token),
            )
        return payment

    async def _take(self, step: Step, payment: Payment, order: Order) -> Payment:
        gateway = self.gateway
        match step:
            case Step.CREATE:
                outcome = await gateway.create(payment, f"{order.ticket_title} (order {order.key})")
                # Stored before it is confirmed: whatever stops here, the intent is found again.
                noted = await payment.note({"intent_id": outcome.intent_id}, intent_id=None)
                return noted or await _reload(payment)
            case Step.CONFIRM:
                return await self._record(payment, await gateway.confirm(payment))
            case Step.LOOK:
                return await self._record(payment, await gateway.look(payment))
            case Step.CAPTURE:
                return await self._record(payment, await gateway.capture(payment))
            case Step.VOID:
                return await self._record(payment, await gateway.void(payment))
            case Step.REFUND:
                return await self._record(payment, await gateway.refund(payment))
            case Step.ABANDON:
                return await self._abandon(payment)
            case Step.WAIT:
                return payment

    async def _record(self, payment: Payment, outcome: Outcome) -> Payment:
        if not rules.matches(payment, outcome):
            log.error(
                "intent %s holds %s %s, not the price", outcome.intent_id, outcome.amount, outcome.currency
            )
            raise Unavailable
        return await change(
            lambda: Payment.find_one({"_id": payment.id}),
            lambda known: rules.learn(known, outcome, payment.attempt),
        )

    async def _abandon(self, payment: Payment) -> Payment:
        """Void what Stripe doesn't know of. Whoever is creating its intent right now finds it voided."""
        return await change(lambda: Payment.find_one({"_id": payment.id}), rules.abandon)


async def _reload(payment: Payment) -> Payment:
    found = await Payment.find_one({"_id": payment.id})
    assert found is not None, "payments are never deleted"
    return found
