"""Transfer what is due to sellers, and take back what their buyers got back."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from contracts.wire import now
from kit.aggregates import change
from kit.alerts import alert
from kit.changes import Changes
from kit.errors import Unavailable
from kit.stripe.errors import KeyExhausted
from services.payouts import rules
from services.payouts.actions import Onboarding, scheduled
from services.payouts.documents import PayoutAccount, Sale
from services.payouts.rules import PlannedTransfer, Transfer
from services.payouts.stripe_gateway.client import (
    CannotReceive,
    EmptyBalance,
    Gateway,
    SettledCharge,
    TransferAtStripe,
)

log = logging.getLogger(__name__)

UNDER_WAY = timedelta(minutes=2)
"""How long a request may be under way to Stripe. It is longer than a process looks at a sale."""

KEY_LIFETIME = timedelta(hours=24)
"""How long Stripe remembers an idempotency key at least."""


class SellerOwes(Exception):
    """The seller's account has too little money to take back what the buyer got back."""


@dataclass(frozen=True)
class Transfers:
    """Carries out what is due for one sale. Every step may be repeated, also by another process."""

    gateway: Gateway
    onboarding: Onboarding

    async def settle(self, sale: Sale) -> Sale:
        """Take all steps that are possible now.

        Raises:
            OutcomeUnknown, RequestRefused, Unavailable: try again later.
            SellerOwes
        """
        await sale.book()
        sale = await self._record_offsets(sale)
        sale = await self._changed(sale, _passed_time)
        if sale.planned is not None:
            sale = await self._resume(sale, sale.planned)
        if sale.planned is None and rules.may_transfer(sale, now()):
            sale = await self._pay(sale)
        if sale.reversible > 0:
            sale = await self._take_back(sale)
        return sale

    async def refresh(self, sale: Sale) -> Sale:
        """Read the sale's transfers at Stripe, where operators may have reversed them by hand.

        Raises:
            OutcomeUnknown, RequestRefused
        """
        for transfer in sale.transfers:
            sale = await self._record_reversal(sale, await self.gateway.transfer_now(transfer.id))
        return sale

    async def _pay(self, sale: Sale) -> Sale:
        account = await self._account_of(sale.seller_id)
        if account is None or not account.may_receive or account.stripe_id is None:
            return await self._wait_for_account(sale)
        sale = await self._settle_debts(sale)
        if not rules.may_transfer(sale, now()):
            return sale
        if sale.intent_id is None:
            raise Unavailable
        charge = await self.gateway.charge_of(sale.intent_id)
        planned = _plan(sale, account.stripe_id, charge)
        # Of concurrent processes, one stores its plan. After a dispute or a refund, none does.
        stored = await sale.save_private({"planned": planned, "plans": planned.number}, planned=None)
        if stored is None:
            return await self._newest(sale)
        return await self._send(stored, planned)

    async def _wait_for_account(self, sale: Sale) -> Sale:
        """Remind the seller, and look again later, or now if the account has become ready meanwhile."""
        sale = await self._changed(sale, lambda stored: rules.waits_for_account(stored, now()))
        account = await PayoutAccount.of_seller(sale.seller_id)
        if account is not None and account.may_receive:
            await Sale.make_due({"_id": sale.id})
        return sale

    async def _resume(self, sale: Sale, planned: PlannedTransfer) -> Sale:
        """Go on with a transfer whose outcome isn't known. It is searched first, and never made twice."""
        found = await self.gateway.find_transfer(sale.key, planned)
        if found is not None:
            return await self._record(sale, planned, found)
        is_outdated = not rules.may_transfer(sale, now()) or planned.amount != sale.held
        age = now() - planned.planned_at
        if (is_outdated and age > UNDER_WAY) or age > KEY_LIFETIME:
            return await self._drop(sale, planned)
        if is_outdated:
            raise Unavailable  # the request may still arrive at Stripe
        return await self._send(sale, planned)

    async def _send(self, sale: Sale, planned: PlannedTransfer) -> Sale:
        try:
            made = await self.gateway.transfer(sale.key, planned)
        except EmptyBalance:
            await self._drop(sale, planned)
            alert(
                "payout_failed", "the platform's balance is too low to pay the seller of order %s", sale.key
            )
            raise Unavailable from None
        except CannotReceive:
            sale = await self._drop(sale, planned)
            account = await PayoutAccount.of_seller(sale.seller_id)
            if account is not None:
                await self.onboarding.refresh(await account.record({"may_receive": False}))
            return await self._changed(sale, lambda stored: rules.waits_for_account(stored, now()))
        except KeyExhausted:
            # Stripe repeats its error for a day. Unless it made the transfer, another number is another key.
            if now() - planned.planned_at > UNDER_WAY:
                found = await self.gateway.find_transfer(sale.key, planned)
                if found is not None:
                    return await self._record(sale, planned, found)
                await self._drop(sale, planned)
            raise
        return await self._record(sale, planned, made)

    async def _record(self, sale: Sale, planned: PlannedTransfer, made: TransferAtStripe) -> Sale:
        transfer = Transfer(id=made.id, amount=planned.amount, sent=made.amount, sent_currency=made.currency)
        return await self._changed(sale, lambda stored: rules.transferred(stored, transfer, now()))

    async def _drop(self, sale: Sale, planned: PlannedTransfer) -> Sale:
        """Forget a plan that Stripe hasn't carried out. The next one has another number."""
        await sale.save_private({"planned": None}, **{"planned.number": planned.number})
        return await self._newest(sale)

    async def _take_back(self, sale: Sale) -> Sale:
        """Reverse as much of the transfers as the buyer got back.

        Raises:
            SellerOwes: the seller's account has too little. Later sales settle the debt.
        """
        for transfer in sale.transfers:
            made = await self.gateway.transfer_now(transfer.id)
            sale = await self._record_reversal(sale, made)
            amount = _left_to_reverse(sale, transfer.id)
            if amount > 0:
                try:
                    made = await self.gateway.reverse(made, amount)
                except EmptyBalance:
                    alert(
                        "seller_owes",
                        "the seller of order %s owes %s, and has too little",
                        sale.key,
                        sale.owed,
                    )
                    raise SellerOwes from None
                sale = await self._record_reversal(sale, made)
        return sale

    async def _record_reversal(self, sale: Sale, made: TransferAtStripe) -> Sale:
        return await self._changed(
            sale, lambda stored: rules.reversed_to(stored, made.id, made.amount_reversed, now())
        )

    async def _settle_debts(self, sale: Sale) -> Sale:
        """Let the sale pay what its seller owes for other orders.

        The debtors' sales are written first, and say what is settled. If this process dies before this sale
        is written, the next look finds that there.
        """
        debts = await Sale.debts_of(sale.seller_id, sale.currency, sale.key)
        if not debts:
            return sale
        # The write fails if the sale has changed. It also makes sure that there is a next look.
        if await sale.save_private({"next_look_at": now() + UNDER_WAY}) is None:
            return await self._newest(sale)
        for part in rules.offsets(sale, debts):
            settle = partial(_settled, by=sale.key, amount=part.amount)
            debtor = await change(partial(Sale.load, part.order_id), settle)
            await debtor.book()
        return await self._record_offsets(sale)

    async def _record_offsets(self, sale: Sale) -> Sale:
        settled = await Sale.settled_with(sale.key)
        if not settled:
            return sale
        return await self._changed(sale, lambda stored: rules.offset(stored, settled, now()))

    async def _account_of(self, seller: str) -> PayoutAccount | None:
        account = await PayoutAccount.of_seller(seller)
        if account is not None and not account.may_receive:
            account = await self.onboarding.refresh(account)  # a webhook may have been lost
        return account

    async def _changed(self, sale: Sale, decide: Callable[[Sale], Changes | None]) -> Sale:
        changed = await change(partial(Sale.load, sale.key), lambda stored: scheduled(stored, decide(stored)))
        await changed.book()
        return changed

    async def _newest(self, sale: Sale) -> Sale:
        found = await Sale.load(sale.key)
        assert found is not None, "sales are never deleted"
        return found


def _passed_time(sale: Sale) -> Changes | None:
    changes = rules.with_state(sale, {}, now())
    return None if changes["state"] == sale.state else changes


def _settled(debtor: Sale, *, by: str, amount: int) -> Changes | None:
    return scheduled(debtor, rules.settle(debtor, by, amount, now()))


def _plan(sale: Sale, destination: str, charge: SettledCharge) -> PlannedTransfer:
    same = charge.currency == sale.currency and charge.settled == charge.amount
    return PlannedTransfer(
        number=sale.plans + 1,
        amount=sale.held,
        destination=destination,
        charge=charge.id,
        sent=sale.held if same else charge.share(sale.held),
        sent_currency=charge.currency,
        planned_at=now(),
    )


def _left_to_reverse(sale: Sale, transfer_id: str) -> int:
    """How much of a transfer to reverse now, in its currency."""
    [transfer] = [each for each in sale.transfers if each.id == transfer_id]
    amount = min(sale.reversible, transfer.amount - transfer.reversed)
    return rules.to_send_back(transfer, amount) if amount > 0 else 0
