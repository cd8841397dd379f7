"""Compare what payouts knows of an order with its payment, the ledger, and the transfers at Stripe.

All functions but `transfers` are pure.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from kit.stripe.client import StripeApi
from services.payouts.ledger import Amounts, total
from services.payouts.rules import CAPTURED, SaleState
from services.payouts.stripe_gateway.client import TransferAtStripe, transfers_since


class PendingEntry(BaseModel):
    """An entry that is stored in its sale, and on its way to the ledger."""

    model_config = ConfigDict(frozen=True)

    key: str
    change: Amounts


class SaleEntry(SaleState):
    """A stored sale."""

    model_config = ConfigDict(populate_by_name=True)

    order_id: Annotated[str, BeforeValidator(str)] = Field(alias="_id")
    unbooked: list[PendingEntry] = []


class BookedEntry(BaseModel):
    """An entry of the ledger."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    key: str = Field(alias="_id")
    order_id: str
    currency: str
    change: Amounts


class Books(BaseModel):
    """What payouts and Stripe's transfers say about one order."""

    model_config = ConfigDict(frozen=True)

    sale: SaleEntry | None = None
    booked: tuple[BookedEntry, ...] = ()
    transfers: tuple[TransferAtStripe, ...] = ()

    @property
    def entries(self) -> Mapping[str, Amounts]:
        """All entries by their keys. One on its way may be in the ledger already."""
        pending = {entry.key: entry.change for entry in (self.sale.unbooked if self.sale else ())}
        return {**pending, **{entry.key: entry.change for entry in self.booked}}

    @property
    def balances(self) -> Amounts:
        return total(self.entries.values())


async def transfers(api: StripeApi, since: datetime | None) -> Mapping[str, Sequence[TransferAtStripe]]:
    """All transfers of ours by order, in memory: some hundred bytes each.

    Raises:
        OutcomeUnknown, RequestRefused
    """
    found: defaultdict[str, list[TransferAtStripe]] = defaultdict(list)
    async for transfer in transfers_since(api, since):
        if order_id := transfer.metadata.get("order_id"):
            found[order_id].append(transfer)
    return found


def is_captured(status: str) -> bool:
    return status in CAPTURED


def differences(books: Books, amount: int | None, refunded: int, currency: str | None) -> Iterator[str]:
    """Compare the books of an order with its captured payment.

    Args:
        amount: what was captured. None if nothing was.
        refunded: what the buyer got back.
    """
    sale = books.sale
    if sale is None:
        if books.booked:
            yield "the ledger has entries of an order without a sale"
        for transfer in books.transfers:
            yield f"Stripe has the transfer {transfer.id} of an order without a sale"
        return
    if amount is None:
        yield "payouts has a sale, but no payment is captured"
    elif (sale.gross, sale.currency) != (amount, currency):
        yield f"the sale is over {sale.gross} {sale.currency}, but the payment over {amount} {currency}"
    if amount is not None and sale.returned != refunded:
        yield f"the buyer got {refunded} back, but payouts knows of {sale.returned}"
    yield from _ledger(books, sale)
    yield from _transfers(books, sale)


def _ledger(books: Books, sale: SaleEntry) -> Iterator[str]:
    for key, change in books.entries.items():
        if not change.is_balanced:
            yield f"the entry {key} isn't balanced"
    # A debt that another sale settles is one entry, which the debtor has: see `services.payouts.rules.entry`.
    offsets = sum(part.amount for part in sale.offsets)
    settled = sum(part.amount for part in sale.settled_by)
    expected = sale.accounts + Amounts(held=offsets - settled)
    difference = books.balances - expected
    for name in Amounts.model_fields:
        if wrong := getattr(difference, name):
            yield f"the ledger's {name} differs from the sale's by {wrong}"


def _transfers(books: Books, sale: SaleEntry) -> Iterator[str]:
    made = {transfer.id: transfer for transfer in books.transfers}
    known = {transfer.id: transfer for transfer in sale.transfers}
    for transfer_id in made.keys() - known.keys():
        if sale.planned is None:
            yield f"payouts doesn't know the transfer {transfer_id}"
    for transfer_id in known.keys() - made.keys():
        yield f"Stripe doesn't have the transfer {transfer_id}"
    for transfer_id in known.keys() & made.keys():
        ours, theirs = known[transfer_id], made[transfer_id]
        if (ours.sent, ours.sent_currency) != (theirs.amount, theirs.currency):
            yield f"the transfer {transfer_id} is over {theirs.amount} {theirs.currency} at Stripe"
        reversed_there = ours.amount * theirs.amount_reversed // theirs.amount
        if ours.reversed != reversed_there:
            yield f"Stripe reversed {reversed_there} of {transfer_id}, payouts knows of {ours.reversed}"
    alive = [transfer for transfer in books.transfers if transfer.amount_reversed < transfer.amount]
    if len(alive) > 1:
        yield f"the sale has {len(alive)} transfers that aren't reversed"
    if sale.state == "paid" and not alive and not sale.offsets and sale.written_off == 0:
        yield "the sale is paid, but Stripe has no transfer"


def notes(books: Books) -> Iterator[str]:
    """What operators may want to know although nothing is wrong."""
    if books.sale is not None and books.sale.owed:
        yield f"the seller owes {books.sale.owed} {books.sale.currency}"
