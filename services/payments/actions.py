"""Pay, follow orders, settle."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from prometheus_client import Counter
from pymongo.errors import DuplicateKeyError

from contracts.events import OrderEvent, PaymentStatus
from contracts.money import to_minor_units
from contracts.wire import now
from services.kit.aggregates import change
from services.kit.errors import Invalid, NotFound, Unavailable
from services.kit.mongo import DatabaseError
from services.payments import rules
from services.payments.alerts import alert
from services.payments.documents import Notice, Order, Payment
from services.payments.gateway import Broken, Gateway, OutcomeUnknown
from services.payments.rules import Outcome, Step, Told

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")

MAX_STEPS = 8
"""Steps of one payment without a pause: create, confirm, capture and some looks between."""

AT_ONCE = 8
"""Payments that the reconciler or the inbox settles at the same time."""

LOOK_AGAIN_AFTER = timedelta(seconds=1)
LOOK_SECONDS = 2
"""Nobody who only reads waits longer for Stripe."""

PAY_SECONDS = 25
"""A buyer waits no longer for an answer of Stripe; it is looked for without them."""


NOTICES_AT_ONCE = 200
"""Webhooks that are read from the inbox together."""

MENDED = Counter("payments_mended", "Payments that nothing but the reconciler moved on", ["was", "became"])


class TokenRefused(Invalid):
    message = "Cards aren't taken here: pay on Stripe's page"


@dataclass(frozen=True)
class Mended:
    """A payment that the reconciler moved on."""

    payment: str
    order: str
    was: PaymentStatus
    became: PaymentStatus


@dataclass(frozen=True)
class Payments:
    """The use cases, with what they need."""

    gateway: Gateway
    currency: str
    at_checkout: bool = False
    """Whether buyers pay on Stripe's page."""
    noticed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a webhook was put into the inbox."""

    async def pay(self, order_id: str, token: str | None, buyer: str) -> Payment:
        """Authorize the order's price on a card, or open the page where the buyer does. Repeating it gives
        the same payment.

        Its status is `pending` while the outcome isn't known, or it is the buyer's or the bank's turn.

        Args:
            token: the card, `tok_visa` if None. None where one pays on Stripe's page.

        Raises:
            NotFound, NotTheBuyer, OrderCancelled, OrderExpired, PaymentDeclined, PaymentsUnavailable,
            TokenRefused, BegunElsewhere
        """
        if self.at_checkout and token is not None:
            raise TokenRefused
        order = await Order.arrived(order_id)
        rules.check_may_pay(order, buyer, now())
        payment = await self._begin(order, None if self.at_checkout else token or "tok_visa")
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
        await Order.follow(event.id, event.version, known_of(event))
        if event.status == "created":
            return  # nothing to settle yet: who waits to pay must not wait for Stripe
        payment = await Payment.find_one({"order_id": event.id})
        if payment is not None:
            await self.advance(payment)

    async def advance(self, payment: Payment, *, look: bool = False) -> Payment:
        """Take the payment as far as it gets now.

        The buyer, webhooks, orders and the reconciler all call this. Every step may be repeated,
        here or in another copy at the same time.

        Args:
            look: read at Stripe first, also where our own steps wouldn't.

        Raises:
            OutcomeUnknown, PaymentsUnavailable
        """
        if look and (payment.intent_id or payment.session_id):
            payment = await self._look(payment)
        for _ in range(MAX_STEPS):
            order = await Order.arrived(payment.order_id)
            step = rules.next_step(order, payment, now())
            if step is Step.WAIT:
                if (payment.status, order.status) == ("voided", "complete"):
                    alert("unpaid", "order %s is complete, but its payment was voided at Stripe", order.key)
                return payment
            before = payment
            try:
                payment = await self._take(step, payment, order)
            except Broken:
                # Under the same key Stripe would only repeat that it failed.
                await payment.note({"attempt": payment.attempt + 1}, attempt=payment.attempt)
                raise
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
        if payment.status == "pending" and (payment.bank_check or payment.session_id):
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    payment = await self._look_now_and_then(payment)
        return [payment]

    async def _look_now_and_then(self, payment: Payment) -> Payment:
        """However often somebody reads: what Stripe lets us ask is everybody's."""
        moment, before = now(), payment.looked_at
        if before is not None and moment - before < LOOK_AGAIN_AFTER:
            return payment
        looking = await payment.note({"looked_at": moment}, looked_at=before)
        return await self.advance(looking) if looking else await _reload(payment)

    async def give_back(self, order_id: str, *, relist: bool) -> Payment:
        """Refund what was captured for an order, once however often it is asked for.

        Its status is `refunding` until Stripe has taken the refund.

        Raises:
            NotFound, NotCaptured
        """
        payment = await change(
            lambda: Payment.find_one({"order_id": order_id}),
            lambda known: rules.give_back(known, relist=relist, now=now()),
        )
        log.info("refund of order %s was asked for, relist: %s", order_id, relist)
        try:
            async with asyncio.timeout(PAY_SECONDS):
                return await self.advance(payment)
        except (Unavailable, TimeoutError):
            return await _reload(payment)  # it is written down: the reconciler goes on with it

    async def take_notice(self, told: Told) -> None:
        """Put a webhook into the inbox. One that comes again is there already."""
        try:
            await Notice.of(told).insert()
        except DuplicateKeyError:
            return
        self.noticed.set()

    async def handle_notices(self) -> int:
        """Look at Stripe what became of the payments that webhooks told of; gives how many were handled.

        One that fails is tried again later and later, and keeps no other waiting.
        """
        due = {"handled": False, "due": {"$lte": now()}}
        notices = Notice.get_pymongo_collection()
        waiting = await notices.find(due, {"failures": 1}, sort={"due": 1}, limit=NOTICES_AT_ONCE).to_list()
        return sum(await _at_once(waiting, self._handle))

    async def _handle(self, listed: Mapping[str, Any]) -> bool:
        """Whether it is done. What stops here is handled again, which changes nothing."""
        with _one_of_many(f"webhook {listed['_id']}"):
            notice = await Notice.find_one({"_id": listed["_id"]})
            if notice is None:
                return False  # it was in the inbox for too long
            payment = await notice.payment()
            if payment is not None:
                await self.advance(payment, look=True)
            await notice.close()
            return True
        await Notice.put_off(listed["_id"], listed.get("failures"))
        return False

    async def reconcile(self) -> Sequence[Mended]:
        """Advance every payment that isn't final, whatever was lost on the way; gives those that moved."""
        payments = Payment.get_pymongo_collection()
        open_payments = [
            listed["_id"]
            for status in ("pending", "failed", "authorized", "refunding")
            async for listed in payments.find({"status": status}, {"_id": 1})
        ]
        found = [mended for mended in await _at_once(open_payments, self._mend) if mended is not None]
        for mended in found:
            MENDED.labels(mended.was, mended.became).inc()
            log.warning("mended payment %s of order %s: %s -> %s", *astuple(mended))
        return found

    async def _mend(self, payment_id: Any) -> Mended | None:
        with _one_of_many(f"payment {payment_id}"):
            known = await _stored(payment_id)
            payment = await self.advance(known)
            if payment.version != known.version:
                return Mended(known.key, known.order_id, known.status, payment.status)
        return None

    async def _begin(self, order: Order, token: str | None) -> Payment:
        """The order's payment: a new one, the one under way, or another attempt after a decline."""
        payment = Payment(
            order_id=order.key,
            user_id=order.user_id,
            amount=order.price_minor,
            currency=self.currency,
            token=token,
            page_until=rules.page_until(order, now()) if token is None else None,
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
            case Step.OPEN:
                return await self._record(payment, await gateway.open_page(payment, order.ticket_title))
            case Step.LOOK:
                return await self._record(payment, await gateway.look(payment))
            case Step.CAPTURE:
                return await self._record(payment, await gateway.capture(payment))
            case Step.VOID:
                return await self._record(payment, await gateway.void(payment))
            case Step.CLOSE:
                return await self._record(payment, await gateway.close_page(payment))
            case Step.REFUND:
                return await self._record(payment, await gateway.refund(payment))
            case Step.ABANDON:
                return await self._abandon(payment)
            case Step.WAIT:
                return payment

    async def _look(self, payment: Payment) -> Payment:
        outcome = await self.gateway.look(payment)
        if rules.is_of_an_earlier_attempt(payment, outcome):
            return payment
        return await self._record(payment, outcome)

    async def _record(self, payment: Payment, outcome: Outcome) -> Payment:
        if not rules.matches(payment, outcome):
            alert(
                "amount",
                "intent %s of order %s holds %s %s, not the price",
                outcome.intent_id,
                payment.order_id,
                outcome.amount,
                outcome.currency,
            )
            raise Unavailable
        return await change(
            lambda: Payment.find_one({"_id": payment.id}),
            lambda known: rules.learn(known, outcome, payment.attempt),
        )

    async def _abandon(self, payment: Payment) -> Payment:
        """Void what Stripe doesn't know of. Whoever is creating its intent right now finds it voided."""
        changes = rules.abandon(payment)
        if changes is None:
            return payment
        abandoned = await payment.publish(changes, intent_id=None, session_id=None)
        return abandoned or await _reload(payment)


def known_of(order: OrderEvent) -> dict[str, Any]:
    """What payments remembers of an order."""
    return {
        "status": order.status,
        "user_id": order.user_id,
        "price_minor": to_minor_units(order.ticket.price),
        "ticket_title": order.ticket.title,
        "expires_at": order.expires_at,
    }


async def _at_once(things: Sequence[A], do: Callable[[A], Awaitable[B]]) -> list[B]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(thing: A) -> B:
        async with room:
            return await do(thing)

    return await asyncio.gather(*map(one, things))


@contextmanager
def _one_of_many(what: str) -> Iterator[None]:
    """One that can't be settled now, or not even be read, must not keep the others from it."""
    try:
        yield
    except (Unavailable, NotFound) as error:
        log.warning("%s isn't settled yet: %s", what, error)
    except DatabaseError:
        raise
    except Exception:
        log.exception("%s can't be settled", what)


async def _reload(payment: Payment) -> Payment:
    return await _stored(payment.id)


async def _stored(payment_id: Any) -> Payment:
    found = await Payment.find_one({"_id": payment_id})
    assert found is not None, "payments are never deleted"
    return found
