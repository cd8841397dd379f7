"""The double-entry ledger: accounts, and postings that change them.

What came in, and what others owe, is on the left side. What it is for is on the right side. Each posting
changes both sides by the same sum, so both are always equal:

    received + owed by sellers + written off
        = held + paid out + platform fees + refunded + lost disputes

Amounts are in minor units of one currency. Stripe's fees are an expense of the platform, and no part of this.
"""

from collections.abc import Iterable
from typing import Self

from pydantic import BaseModel, ConfigDict

LEFT = ("received", "owed", "written_off")
RIGHT = ("held", "paid_out", "fees", "refunded", "lost")


class Amounts(BaseModel):
    """The balances of the accounts, or changes of them."""

    model_config = ConfigDict(frozen=True)

    received: int = 0
    """What buyers have paid."""
    owed: int = 0
    """What sellers owe, because a buyer got money back that the seller has already got."""
    written_off: int = 0
    """Debts of sellers that operators have given up."""
    held: int = 0
    """What belongs to sellers and isn't transferred yet."""
    paid_out: int = 0
    """What was transferred to sellers and not reversed."""
    fees: int = 0
    """What the platform keeps of its fees."""
    refunded: int = 0
    """What buyers got back in refunds."""
    lost: int = 0
    """What buyers got back from their banks in disputes."""

    def __add__(self, other: Self) -> Self:
        return self._combined(other, 1)

    def __sub__(self, other: Self) -> Self:
        return self._combined(other, -1)

    @property
    def left(self) -> int:
        return sum(getattr(self, name) for name in LEFT)

    @property
    def right(self) -> int:
        return sum(getattr(self, name) for name in RIGHT)

    @property
    def is_balanced(self) -> bool:
        return self.left == self.right

    @property
    def is_zero(self) -> bool:
        return not any(getattr(self, name) for name in (*LEFT, *RIGHT))

    def _combined(self, other: Self, sign: int) -> Self:
        names = (*LEFT, *RIGHT)
        return type(self)(**{name: getattr(self, name) + sign * getattr(other, name) for name in names})


class Unbalanced(AssertionError):
    """A posting would change both sides by different sums. That is a mistake in the rules."""


class Posting(BaseModel):
    """One entry: what changed, and why. It is never changed."""

    model_config = ConfigDict(frozen=True)

    key: str
    """The cause, such as `capture:<payment>`. No other entry has it."""
    change: Amounts


def posting(key: str, change: Amounts) -> Posting | None:
    """The entry about a change. None if nothing changes.

    Raises:
        Unbalanced
    """
    if not change.is_balanced:
        raise Unbalanced(f"{key}: {change!r}")
    return None if change.is_zero else Posting(key=key, change=change)


def total(changes: Iterable[Amounts]) -> Amounts:
    """The balances after these changes."""
    result = Amounts()
    for change in changes:
        result = result + change
    return result
