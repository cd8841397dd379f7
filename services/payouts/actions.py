"""Follow orders and payments, and let sellers set up their accounts."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from pymongo.errors import DuplicateKeyError

from contracts.events import OrderEvent, PaymentEvent
from contracts.wire import now
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import Conflict, Invalid, NotFound
from services.payouts import rules, schedule
from services.payouts.documents import OrderReplica, PaymentReplica, PayoutAccount, Sale
from services.payouts.stripe_gateway.client import AccountAtStripe, Gateway

log = logging.getLogger(__name__)


class CountryUnsupported(Conflict):
    message = "We can't pay sellers in this country"


class CountryInvalid(Invalid):
    message = "Country must be a code of two letters, such as US"


class AccountRejected(Conflict):
    message = "Stripe has refused to pay you. Your sales stay yours: write to us, so that we find another way"


@dataclass(frozen=True)
class Terms:
    """What the marketplace promises to sellers."""

    delay: timedelta
    """From the event's start until the money is due."""
    fee_basis_points: int = 0
    """The platform's fee for new orders, in hundredths of a percent."""


@dataclass(frozen=True)
class Payouts:
    """The use cases of payouts that other services' events cause."""

    terms: Terms

    async def follow_order(self, event: OrderEvent) -> None:
        """Store an order's newest state, and change its sale accordingly."""
        await OrderReplica.follow(event.id, event.version, order_fields(event))
        await self._apply(event.id)

    async def follow_payment(self, event: PaymentEvent) -> None:
        """Store a payment's newest state, and add or change the sale of its order accordingly."""
        await PaymentReplica.follow(event.order_id, event.version, payment_fields(event))
        await self._apply(event.order_id)

    async def write_off(self, order_id: str, seen: int | None = None) -> Sale:
        """Give up what a seller owes for an order. A repeated or concurrent call gives up nothing twice.

        Args:
            seen: the debt that the operator has read, if known.

        Raises:
            NotFound, NothingOwed, DebtChanged
        """
        sale = await change(partial(Sale.load, order_id), lambda stored: rules.write_off(stored, now(), seen))
        await sale.book()
        log.info("what the seller of order %s owes was written off", order_id)
        return sale

    async def _apply(self, order_id: str) -> None:
        await OrderReplica.keep_fee(order_id, self.terms.fee_basis_points)
        if await Sale.load(order_id) is None and not await self._add(order_id):
            return
        newest = _Newest(order_id, self.terms)
        sale = await change(newest.load, newest.decide)
        await sale.book()

    async def _add(self, order_id: str) -> bool:
        """Add the order's sale. Return False if it isn't paid yet, or if its seller isn't known."""
        try:
            order, payment = await OrderReplica.stored(order_id), await PaymentReplica.stored(order_id)
        except NotFound:
            return False
        if order.seller_id is None or not payment.was_captured:
            return False
        state = rules.new_sale(order, payment, self.terms.delay, now())
        sale = Sale.model_validate({**dict(state), "_id": order.id})
        sale.next_look_at = schedule.next_look(sale, now())
        try:
            await sale.add()
        except DuplicateKeyError:  # another process has added it
            return True
        await sale.book()
        return True


class _Newest:
    """A sale with the newest state of its order and its payment.

    They are read after the sale. So if a concurrent process knows a newer state, then either it writes the
    sale later, or the guarded write of this process fails and is decided anew.
    """

    def __init__(self, order_id: str, terms: Terms) -> None:
        self._order_id = order_id
        self._terms = terms

    async def load(self) -> Sale | None:
        sale = await Sale.load(self._order_id)
        self._order = await OrderReplica.stored(self._order_id)
        self._payment = await PaymentReplica.stored(self._order_id)
        return sale

    def decide(self, sale: Sale) -> Changes | None:
        changes = rules.facts(sale, self._order, self._payment, self._terms.delay, now())
        return scheduled(sale, changes)


def scheduled(sale: Sale, changes: Changes | None) -> Changes | None:
    """The changes of a sale with the time of the next look that follows from them."""
    if changes is None:
        return None
    changed = sale.model_copy(update=dict(changes))
    return {**changes, "next_look_at": schedule.next_look(changed, now())}


@dataclass(frozen=True)
class Onboarding:
    """How sellers get an account at Stripe."""

    gateway: Gateway
    countries: list[str]

    async def begin(self, seller: str, country: str) -> str:
        """The address of Stripe's page on which the seller gives the details, or of the dashboard there.

        Repeated and concurrent calls create one account.

        Raises:
            CountryInvalid, CountryUnsupported, AccountRejected, OutcomeUnknown, RequestRefused
        """
        account = await PayoutAccount.of_seller(seller)
        if account is None or account.stripe_id is None:
            account = await self._open(seller, self._checked(country))
        else:
            account = await self.refresh(account)
        if account.state == "rejected":
            raise AccountRejected
        assert account.stripe_id is not None, "the account is open"
        if account.state == "active":  # onboarding shows nothing that could be changed
            return await self.gateway.dashboard_page(account.stripe_id)
        return await self.gateway.onboarding_page(account.stripe_id)

    async def refresh(self, account: PayoutAccount) -> PayoutAccount:
        """Read the account at Stripe. If it may receive money now, what is due is transferred.

        Raises:
            OutcomeUnknown, RequestRefused
        """
        if account.stripe_id is None:
            return account
        return await self._record(account, await self.gateway.account(account.stripe_id))

    def _checked(self, country: str) -> str:
        code = country.strip().upper()
        if len(code) != 2 or not code.isascii() or not code.isalpha():
            raise CountryInvalid(field="country")
        if code not in self.countries:
            where = ", ".join(self.countries)
            raise CountryUnsupported(
                f"We can't pay sellers in {code}: Stripe pays from our account only to {where}."
                " You can still buy tickets",
                field="country",
            )
        return code

    async def _open(self, seller: str, country: str) -> PayoutAccount:
        account = await PayoutAccount.opened(seller, country)
        if account.stripe_id is not None:  # another request was faster
            return await self.refresh(account)
        found = await self.gateway.open_account(str(account.id), seller, account.country)
        account = await account.open(found.id)
        log.info("seller %s has the account %s", seller, account.stripe_id)
        return (
            await self._record(account, found)
            if account.stripe_id == found.id
            else await self.refresh(account)
        )

    async def _record(self, account: PayoutAccount, found: AccountAtStripe) -> PayoutAccount:
        changed = await account.record(
            {
                "stripe_id": found.id,
                "state": found.state,
                "may_receive": found.may_receive,
                "payouts_enabled": found.payouts_enabled,
                "checked_at": now(),
            }
        )
        # Not only when that is new: a process may have died after the write above.
        if changed.may_receive:
            await Sale.make_due({"seller_id": account.seller_id, "state": "due"})
        return changed


def order_fields(event: OrderEvent) -> dict[str, Any]:
    """The fields that a replica of this order stores."""
    return {
        "status": event.status,
        "seller_id": event.seller_id,
        "title": event.ticket.title,
        "code": event.code,
        "ticket_id": event.ticket.id,
        "seat": event.ticket.seat,
        "event_starts_at": event.ticket.starts_at,
        "time_zone": event.ticket.time_zone,
        # The money waits as long as the buyer may report a problem.
        "starts_at": event.latest_starts_at or event.ticket.starts_at,
        "paid_at": event.paid_at,
        "delivered_at": event.delivered_at,
        "delivery": event.delivery,
        "problem": event.problem,
        "refund_due": event.refund_due,
    }


def payment_fields(event: PaymentEvent) -> dict[str, Any]:
    """The fields that a replica of this payment stores."""
    return {
        "payment_id": event.id,
        "status": event.status,
        "amount": event.amount,
        "currency": event.currency,
        "refunded_amount": event.refunded_amount,
        "lost_amount": min(event.lost_amount, event.refunded_amount),
        "dispute": event.dispute,
        "intent_id": event.stripe_id,
    }
