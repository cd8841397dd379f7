"""What a buyer gets back of a captured payment: refunds, and disputes that the bank decides for the buyer."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from contracts.events import DisputeStatus, PaymentStatus

RefundStatus = Literal["pending", "succeeded", "failed"]


class Refund(BaseModel):
    """One attempt to return money."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Stripe's id, or another one if an operator returned the money without Stripe."""
    amount: int
    """In minor units, such as cents."""
    status: RefundStatus
    failure: str | None = None
    """Stripe's reason for a failure, https://docs.stripe.com/refunds#failed-refunds"""


class Dispute(BaseModel):
    """A dispute: the buyer asked the bank for the money. A lost dispute returns it to the buyer."""

    model_config = ConfigDict(frozen=True)

    id: str
    amount: int
    status: DisputeStatus
    reason: str | None = None
    """Stripe's reason, https://docs.stripe.com/disputes/categories"""


class MoneyBack(BaseModel):
    """The fields of a payment that say how much its buyer got back."""

    status: PaymentStatus = "pending"
    amount: int
    """The amount in minor units, such as cents."""
    refunds: list[Refund] = []
    """All attempts to return money, in the order in which payments learned of them."""
    refund_attempts: int = 1
    """How many failures end the attempts. An operator can increase it."""
    refund_target: int | None = None
    """How much the buyer gets back altogether, if an operator has decided on a part. None for everything."""
    disputes: list[Dispute] = []

    @property
    def target(self) -> int:
        """How much the buyer has got back when the requested refund is complete."""
        return self.amount if self.refund_target is None else self.refund_target

    @property
    def refunded_amount(self) -> int:
        """How much the buyer got back. A refunded payment without a record of its refunds is an old one."""
        if self.status == "refunded" and not self.refunds and not self.disputes:
            return self.amount
        refunded = sum(refund.amount for refund in self.refunds if refund.status == "succeeded")
        return refunded + self.lost_amount

    @property
    def lost_amount(self) -> int:
        """How much of the refunded amount the bank returned in lost disputes."""
        return sum(dispute.amount for dispute in self.disputes if dispute.status == "lost")

    @property
    def failed_refunds(self) -> Sequence[Refund]:
        return [refund for refund in self.refunds if refund.status == "failed"]

    @property
    def refund_failed(self) -> bool:
        """Whether the last refund failed, so that an operator has to act.

        Stripe would return the money to the same card again, and most likely fail again.
        """
        is_pending = any(refund.status == "pending" for refund in self.refunds)
        is_owed = self.status in ("captured", "refunding") and self.refunded_amount < self.target
        return is_owed and not is_pending and len(self.failed_refunds) >= self.refund_attempts

    @property
    def dispute(self) -> DisputeStatus | None:
        """The state of the dispute that matters most, if there is one."""
        found = {dispute.status for dispute in self.disputes}
        order: Sequence[DisputeStatus] = ("open", "lost", "won")
        return next((status for status in order if status in found), None)


_RANK: Mapping[str, int] = {"pending": 0, "open": 0, "succeeded": 1, "won": 1, "lost": 1, "failed": 2}
"""A refund or dispute never returns to a lower rank. A refund may fail after its success."""

Item = TypeVar("Item", Refund, Dispute)


def merged(known: Sequence[Item], found: Iterable[Item]) -> list[Item]:
    """The known items and the found ones, each with its newest state. Outdated reads change nothing."""
    items = {item.id: item for item in known}
    for item in found:
        before = items.get(item.id)
        if before is None or _RANK[item.status] >= _RANK[before.status]:
            items[item.id] = item
    return list(items.values())
