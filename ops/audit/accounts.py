"""The ledger entries of orders, payments and Stripe, grouped by order."""

from bisect import insort
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from bson import ObjectId
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contracts.events import OPEN_PROBLEMS, DeliveryState, OrderStatus, ProblemState
from contracts.money import from_minor_units
from ops.audit.payouts import Books
from services.payments.money_back import Dispute, MoneyBack
from services.payments.refunds import OTHER_WAY
from services.payments.stripe_gateway.ledger import CLOCK_SKEW, StripeRecord


class ReportEntry(BaseModel):
    """The report of a problem in a stored order."""

    model_config = ConfigDict(frozen=True)

    state: ProblemState
    decided_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_PROBLEMS


class OrderEntry(BaseModel):
    """A stored order. All amounts in this module are in minor units."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    order_id: Annotated[str, BeforeValidator(str)] = Field(alias="_id")
    ticket_id: str
    status: OrderStatus
    price: int = Field(alias="price_minor")
    refunded: int = Field(default=0, alias="refunded_minor")
    expires_at: datetime
    seller_id: str | None = None
    delivery: DeliveryState | None = None
    refund_due: int = Field(default=0, alias="refund_due_minor")
    """How much the buyer gets back altogether by an operator's decision."""
    report: ReportEntry | None = None


class PaymentEntry(MoneyBack):
    """A stored payment."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    order_id: str
    currency: str
    attempts: int = Field(alias="attempt")
    intent_id: str | None = None
    ended: tuple[str, ...] = ()
    refund_requested_at: datetime | None = None

    @property
    def returned_otherwise(self) -> int:
        """How much operators returned without Stripe."""
        return sum(each.amount for each in self.refunds if each.id.startswith(OTHER_WAY))


@dataclass(frozen=True)
class Account:
    """All entries of one order."""

    order_id: str
    order: OrderEntry | None = None
    payments: tuple[PaymentEntry, ...] = ()
    intents: tuple[StripeRecord, ...] = ()
    books: Books | None = None
    """What payouts says. None if the marketplace has no payouts."""

    @property
    def is_known(self) -> bool:
        """Whether any source has an entry of the order."""
        sale = self.books.sale if self.books is not None else None
        return bool(self.order or self.payments or self.intents or sale)

    @property
    def authorized(self) -> int:
        return sum(intent.authorized for intent in self.intents)

    @property
    def captured(self) -> int:
        return sum(intent.captured for intent in self.intents)

    @property
    def refunded(self) -> int:
        """What the buyer got back: through Stripe, from the bank, or from an operator."""
        otherwise = sum(payment.returned_otherwise for payment in self.payments)
        return otherwise + sum(intent.refunded for intent in self.intents)

    @property
    def disputes(self) -> tuple[Dispute, ...]:
        return tuple(dispute for intent in self.intents for dispute in intent.disputes)

    @property
    def approved(self) -> tuple[StripeRecord, ...]:
        """The intents that a bank has ever approved, except for those that ended before the last attempt."""
        ended = {intent_id for payment in self.payments for intent_id in payment.ended}
        return tuple(each for each in self.intents if each.was_approved and each.intent_id not in ended)


async def accounts(
    orders: AsyncIterator[OrderEntry],
    payments: AsyncIterator[PaymentEntry],
    intents: AsyncIterator[StripeRecord],
) -> AsyncGenerator[Account, None]:
    """One account for each order that occurs in any source, newest first.

    Each source is read once. Only intents that are newer than the current order are kept in memory: mostly
    those of about an hour.

    Args:
        orders, payments: with descending ids of the orders.
        intents: newest first.
    """
    waiting = _Waiting(intents)
    # Intents are read first and orders last, because an order is created before its payment and intent.
    await waiting.begin()
    payment, order = await anext(payments, None), await anext(orders, None)
    while key := max((entry.order_id for entry in (order, payment) if entry), default=""):
        await waiting.read_since(ObjectId(key).generation_time - CLOCK_SKEW)
        for stray, of_stray in waiting.take_newer_than(key):
            yield Account(stray, intents=of_stray)
        of_order = []
        while payment and payment.order_id == key:
            of_order.append(payment)
            payment = await anext(payments, None)
        found = None
        if order and order.order_id == key:
            found, order = order, await anext(orders, None)
        yield Account(key, found, tuple(of_order), waiting.take(key))
    await waiting.read_since(datetime.min.replace(tzinfo=UTC))
    for stray, of_stray in waiting.take_newer_than(""):
        yield Account(stray, intents=of_stray)


class _Waiting:
    """Intents that were read, but whose order wasn't reached yet."""

    def __init__(self, intents: AsyncIterator[StripeRecord]) -> None:
        self._intents = intents
        self._next: StripeRecord | None = None
        self._by_order: dict[str, list[StripeRecord]] = {}
        self._orders: list[str] = []
        """The keys of `_by_order`, sorted."""

    async def begin(self) -> None:
        """Read the newest intent."""
        self._next = await anext(self._intents, None)

    async def read_since(self, moment: datetime) -> None:
        """Read all intents that were created at or after this time."""
        while self._next and datetime.fromtimestamp(self._next.created, UTC) >= moment:
            key = self._next.order_id
            if key not in self._by_order:
                self._by_order[key] = []
                insort(self._orders, key)
            self._by_order[key].append(self._next)
            self._next = await anext(self._intents, None)

    def take(self, order_id: str) -> tuple[StripeRecord, ...]:
        """The intents of an order, which is at least as new as all others."""
        if self._orders and self._orders[-1] == order_id:
            self._orders.pop()
        return tuple(self._by_order.pop(order_id, ()))

    def take_newer_than(self, order_id: str) -> Iterator[tuple[str, tuple[StripeRecord, ...]]]:
        """The intents of newer orders, the newest order first."""
        while self._orders and (newest := self._orders[-1]) > order_id:
            yield newest, self.take(newest)


def money(minor: int) -> str:
    """An amount as a decimal: 1999 is 19.99."""
    return str(from_minor_units(minor))
