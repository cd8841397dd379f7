"""The requests that payouts sends to Stripe Connect. Every method may be repeated.

All methods raise OutcomeUnknown if there is no answer, and RequestRefused if Stripe rejects the request.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import stripe
from stripe.params import AccountCreateParams, TransferCreateParams, TransferListParams

from kit.errors import Unavailable
from kit.stripe.budget import Budget
from kit.stripe.client import StripeApi
from kit.stripe.errors import KeyExhausted, KeyMismatch, refused
from kit.stripe.shapes import Shape
from services.payouts.documents import AccountState
from services.payouts.rules import PlannedTransfer
from settings import Settings

BEFORE_PLAN = timedelta(minutes=10)
"""How long before its plan the search for a transfer begins, because clocks differ."""

REJECTED = "rejected."
"""Stripe's reasons begin with this if it refuses a person for good."""


class _Requirements(Shape):
    disabled_reason: str | None = None
    currently_due: list[str] = []
    pending_verification: list[str] = []


class AccountAtStripe(Shape):
    """A seller's Express account."""

    id: str
    country: str = ""
    details_submitted: bool = False
    payouts_enabled: bool = False
    capabilities: dict[str, str] = {}
    requirements: _Requirements = _Requirements()

    @property
    def may_receive(self) -> bool:
        """Whether Stripe accepts transfers to the account."""
        return self.capabilities.get("transfers") == "active"

    @property
    def state(self) -> AccountState:
        if (self.requirements.disabled_reason or "").startswith(REJECTED):
            return "rejected"
        if not self.details_submitted:
            return "incomplete"
        if self.may_receive and self.payouts_enabled:
            return "active"
        return "restricted" if self.requirements.currently_due else "checking"


class _BalanceTransaction(Shape):
    amount: int
    currency: str


class _Charge(Shape):
    id: str
    amount: int
    balance_transaction: _BalanceTransaction | None = None


class _Intent(Shape):
    latest_charge: _Charge | None = None


class TransferAtStripe(Shape):
    id: str
    amount: int
    currency: str
    amount_reversed: int = 0
    metadata: Mapping[str, str] = {}


@dataclass(frozen=True)
class SettledCharge:
    """A charge, and what the platform's balance got for it."""

    id: str
    amount: int
    settled: int
    """Before Stripe's fee."""
    currency: str
    """The settlement currency, which may differ from that of the charge."""

    def share(self, amount: int) -> int:
        """The part of what was settled that belongs to a part of the charge, rounded down."""
        return amount * self.settled // self.amount


class EmptyBalance(Exception):
    """The account has too little money for a transfer or a reversal."""


class CannotReceive(Exception):
    """The seller's account doesn't accept transfers."""


class Gateway:
    """
    Args:
        budget: counts the requests.
        in_background: whether they wait until people leave something of the budget.
    """

    def __init__(
        self, settings: Settings, budget: Budget | None = None, *, in_background: bool = False
    ) -> None:
        self._api = StripeApi(settings, budget, in_background=in_background)
        self._page = f"{settings.site}/account/payouts"

    @property
    def is_paused(self) -> bool:
        """Whether background work has to wait, because Stripe has just answered 429."""
        return self._api.is_paused

    async def close(self) -> None:
        await self._api.close()

    async def open_account(self, key: str, seller: str, country: str) -> AccountAtStripe:
        """Create a seller's account. A repeated call returns the same account for at least a day.

        Stripe refuses other parameters under a known key, so the key contains the country.

        Args:
            key: identifies our record of the account.
        """
        idempotency_key = f"payout-account:{key}:{country}"
        params: AccountCreateParams = {
            "type": "express",
            "country": country,
            "capabilities": {"transfers": {"requested": True}},
            "metadata": {"seller_id": seller},
        }
        found = await self._api.send(
            lambda: self._api.v1.accounts.create_async(params, {"idempotency_key": idempotency_key}),
            keyed=True,
        )
        return AccountAtStripe.of(found)

    async def account(self, stripe_id: str) -> AccountAtStripe:
        found = await self._api.send(lambda: self._api.v1.accounts.retrieve_async(stripe_id))
        return AccountAtStripe.of(found)

    async def onboarding_page(self, stripe_id: str) -> str:
        """The address of Stripe's page, which works once and for a few minutes."""
        found = await self._api.send(
            lambda: self._api.v1.account_links.create_async(
                {
                    "account": stripe_id,
                    "type": "account_onboarding",
                    "return_url": f"{self._page}?back",
                    "refresh_url": f"{self._page}?again",
                }
            )
        )
        return found.url

    async def dashboard_page(self, stripe_id: str) -> str:
        """The address of the account's dashboard at Stripe, which works once.

        Stripe creates it only for an account that has given all details. There is no way back to this site.
        """
        found = await self._api.send(lambda: self._api.v1.accounts.login_links.create_async(stripe_id))
        return found.url

    async def charge_of(self, intent_id: str) -> SettledCharge:
        """The charge of a captured payment.

        Raises:
            Unavailable: Stripe hasn't settled the charge yet.
        """
        found = await self._api.send(
            lambda: self._api.v1.payment_intents.retrieve_async(
                intent_id, {"expand": ["latest_charge.balance_transaction"]}
            )
        )
        charge = _Intent.of(found).latest_charge
        if charge is None or charge.balance_transaction is None:
            raise Unavailable
        settled = charge.balance_transaction
        return SettledCharge(charge.id, charge.amount, settled.amount, settled.currency)

    async def find_transfer(self, order_id: str, planned: PlannedTransfer) -> TransferAtStripe | None:
        """The transfer of this plan, if Stripe has made it.

        It is found by the destination and our metadata: Stripe may choose the transfer group of a charge.
        """
        since = int((planned.planned_at - BEFORE_PLAN).timestamp())
        params: TransferListParams = {
            "destination": planned.destination,
            "created": {"gte": since},
            "limit": 100,
        }
        wanted = {"order_id": order_id, "number": str(planned.number)}
        async for found in self._api.list_all(self._api.v1.transfers.list_async, params):
            transfer = TransferAtStripe.of(found)
            if wanted.items() <= dict(transfer.metadata).items():
                return transfer
        return None

    async def transfer(self, order_id: str, planned: PlannedTransfer) -> TransferAtStripe:
        """Make the planned transfer. A repeated call returns the same transfer.

        Raises:
            EmptyBalance, CannotReceive
        """
        params: TransferCreateParams = {
            "amount": planned.sent,
            "currency": planned.sent_currency,
            "destination": planned.destination,
            "source_transaction": planned.charge,
            "transfer_group": order_id,
            "metadata": {"order_id": order_id, "number": str(planned.number)},
        }
        key = transfer_key(order_id, planned.number)
        try:
            found = await self._api.send(
                lambda: self._api.v1.transfers.create_async(params, {"idempotency_key": key}),
                stripe.InvalidRequestError,
                keyed=True,
            )
        except (KeyMismatch, KeyExhausted):
            made = await self.find_transfer(order_id, planned)
            if made is None:
                raise
            return made
        except stripe.InvalidRequestError as error:
            if error.code == "balance_insufficient":
                raise EmptyBalance from error
            if error.code == "insufficient_capabilities_for_transfer":
                raise CannotReceive from error
            raise refused(error) from error
        return TransferAtStripe.of(found)

    async def transfer_now(self, transfer_id: str) -> TransferAtStripe:
        """The transfer with what was reversed of it until now."""
        found = await self._api.send(lambda: self._api.v1.transfers.retrieve_async(transfer_id))
        return TransferAtStripe.of(found)

    async def reverse(self, transfer: TransferAtStripe, amount: int) -> TransferAtStripe:
        """Take a part of the transfer back. Call it with the transfer as it is now.

        The key contains what was reversed before. So of two processes that see the same transfer, only one
        takes the money, and an answer that was lost isn't needed: the next read shows the reversal.

        Raises:
            EmptyBalance: the seller's account has too little money.
        """
        key = f"payout-reversal:{transfer.id}:{transfer.amount_reversed}:{amount}"
        params: Any = {"amount": amount}
        try:
            await self._api.send(
                lambda: self._api.v1.transfers.reversals.create_async(
                    transfer.id, params, {"idempotency_key": key}
                ),
                stripe.InvalidRequestError,
                keyed=True,
            )
        except stripe.InvalidRequestError as error:
            if error.code == "balance_insufficient":
                raise EmptyBalance from error
            raise refused(error) from error
        return await self.transfer_now(transfer.id)


def transfer_key(order_id: str, number: int) -> str:
    """The idempotency key of an order's transfer.

    The next number is used only if Stripe has refused the transfer before, or if that was reversed.
    """
    return f"payout:{order_id}:{number}"


async def transfers_since(api: StripeApi, since: datetime | None) -> AsyncIterator[TransferAtStripe]:
    """The transfers that were made since a time, newest first. None is no bound.

    Raises:
        OutcomeUnknown, RequestRefused
    """
    params: TransferListParams = {"limit": 100}
    if since is not None:
        params["created"] = {"gte": int(since.timestamp())}
    async for found in api.list_all(api.v1.transfers.list_async, params):
        yield TransferAtStripe.of(found)
