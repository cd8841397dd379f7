"""The ledger entries of orders, payments and Stripe, grouped by order."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contracts.events import OrderStatus, PaymentStatus
from contracts.money import from_minor_units
from services.payments.stripe_gateway.ledger import StripeRecord


class OrderEntry(BaseModel):
    """A stored order. All amounts in this module are in minor units."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    order_id: Annotated[str, BeforeValidator(str)] = Field(alias="_id")
    ticket_id: str
    status: OrderStatus
    price: int = Field(alias="price_minor")
    expires_at: datetime


class PaymentEntry(BaseModel):
    """A stored payment."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    order_id: str
    status: PaymentStatus
    amount: int
    currency: str
    attempts: int = Field(alias="attempt")
    intent_id: str | None = None
    refund_requested_at: datetime | None = None


Entry = TypeVar("Entry", PaymentEntry, StripeRecord)


@dataclass(frozen=True)
class Account:
    """All entries of one order."""

    order_id: str
    order: OrderEntry | None = None
    payments: tuple[PaymentEntry, ...] = ()
    intents: tuple[StripeRecord, ...] = ()

    @property
    def authorized(self) -> int:
        return sum(intent.authorized for intent in self.intents)

    @property
    def captured(self) -> int:
        return sum(intent.captured for intent in self.intents)

    @property
    def refunded(self) -> int:
        return sum(intent.refunded for intent in self.intents)

    @property
    def approved(self) -> tuple[StripeRecord, ...]:
        """The intents that a bank has ever approved."""
        return tuple(intent for intent in self.intents if intent.was_approved)


def accounts(
    orders: Iterable[OrderEntry], payments: Iterable[PaymentEntry], intents: Iterable[StripeRecord]
) -> list[Account]:
    """One account for each order that occurs in any source, newest last."""
    by_order = {order.order_id: order for order in orders}
    of_payments, of_intents = _by_order(payments), _by_order(intents)
    # Ids start with their creation time.
    return [
        Account(key, by_order.get(key), tuple(of_payments.get(key, ())), tuple(of_intents.get(key, ())))
        for key in sorted({*by_order, *of_payments, *of_intents})
    ]


def money(minor: int) -> str:
    """An amount as a decimal: 1999 is 19.99."""
    return str(from_minor_units(minor))


def _by_order(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.order_id].append(entry)
    return found
