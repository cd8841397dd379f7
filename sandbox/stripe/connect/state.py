"""The stored objects of Connect, and those of the platform's balance."""

from dataclasses import dataclass, field
from typing import Literal

PLATFORM = ""
"""The account of the platform itself, in fields that name the owner of an object."""

Progress = Literal["new", "unfinished", "checking", "complete", "rejected"]
Interval = Literal["daily", "manual"]


@dataclass(frozen=True)
class Account:
    """An Express account of a person to whom the platform transfers money."""

    id: str
    created: int
    country: str
    currency: str
    email: str | None = None
    business_type: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    """The capabilities that the platform requested."""
    progress: Progress = "new"
    """How far the person has come on the onboarding page."""
    rejection: str | None = None
    """The reason of a rejection, as in `requirements.disabled_reason`."""
    bank: str | None = None
    """The id of the bank account, if there is one."""
    bank_refuses: bool = False
    """Whether payouts to the bank account fail."""
    bank_failed: bool = False
    """Whether a payout has failed, so that Stripe waits for another bank account."""
    interval: Interval = "daily"

    @property
    def payouts_enabled(self) -> bool:
        return self.progress == "complete" and not self.bank_failed

    def has_active(self, capability: str) -> bool:
        return capability in self.capabilities and self.progress == "complete"


@dataclass(frozen=True)
class LoginLink:
    """The address of the dashboard of an Express account. It works once, too."""

    id: str
    created: int
    account: str
    is_used: bool = False


@dataclass(frozen=True)
class AccountLink:
    """The address of the onboarding page. Like Stripe's, it works once and only for a few minutes."""

    id: str
    created: int
    expires_at: int
    account: str
    return_url: str
    refresh_url: str
    is_used: bool = False


TransactionType = Literal[
    "adjustment",
    "charge",
    "payment",
    "payment_refund",
    "payout",
    "payout_failure",
    "refund",
    "refund_failure",
    "transfer",
    "transfer_refund",
]


@dataclass(frozen=True)
class BalanceTransaction:
    """Money that came into a balance or left it, in the currency of the balance."""

    id: str
    created: int
    account: str
    """Whose balance it is: a connected account's, or `PLATFORM`."""
    type: TransactionType
    source: str
    """The id of the object that moved the money."""
    amount: int
    """Gross. Negative if money left the balance."""
    fee: int
    currency: str
    available_on: int
    exchange_rate: float | None = None
    description: str | None = None

    @property
    def net(self) -> int:
        return self.amount - self.fee


@dataclass(frozen=True)
class Transfer:
    id: str
    created: int
    amount: int
    currency: str
    destination: str
    destination_payment: str
    balance_transaction: str
    source_transaction: str | None = None
    transfer_group: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    amount_reversed: int = 0


@dataclass(frozen=True)
class TransferReversal:
    id: str
    created: int
    amount: int
    currency: str
    transfer: str
    balance_transaction: str
    destination_payment_refund: str
    metadata: dict[str, str] = field(default_factory=dict)


PayoutStatus = Literal["in_transit", "paid", "failed"]


@dataclass(frozen=True)
class Payout:
    """Money on its way from a balance to a bank account."""

    id: str
    created: int
    account: str
    """Whose balance it is: a connected account's, or `PLATFORM`."""
    amount: int
    currency: str
    automatic: bool
    arrives_at: int
    destination: str
    balance_transaction: str
    status: PayoutStatus = "in_transit"
    failure_balance_transaction: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    statement_descriptor: str | None = None
    method: str = "standard"


ConnectStored = Account | AccountLink | LoginLink | BalanceTransaction | Transfer | TransferReversal | Payout
