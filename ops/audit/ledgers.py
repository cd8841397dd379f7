"""Reads the records of orders, payments and Stripe. Writes nothing, so that read access is sufficient."""

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from bson import ObjectId
from pydantic import BaseModel, ValidationError
from pymongo import DESCENDING

from kit.errors import Unavailable
from kit.mongo import Database, DatabaseError, Unusable, database
from kit.stripe.client import StripeApi
from ops.audit.accounts import Account, OrderEntry, PaymentEntry, accounts
from ops.audit.payouts import BookedEntry, Books, SaleEntry, transfers
from ops.errors import CommandError, explain
from services.payments.stripe_gateway.ledger import StripeRecord, find_record, records, records_of_order
from services.payouts.stripe_gateway.client import TransferAtStripe
from settings import Settings

Entry = TypeVar("Entry", bound=BaseModel)

READ_AT_ONCE = 1_000
"""Number of documents that the database returns at once."""

BATCH = 200
"""Number of accounts whose sales are read at once."""


class Unreadable(CommandError):
    """Orders, payments or Stripe can't be read. The message names the source and the reason."""

    exit_code = 2


class UnknownOrder(CommandError):
    exit_code = 2


@dataclass(frozen=True)
class Period:
    """The time in which orders were made, to the second. None is no bound."""

    since: datetime | None = None
    """The first second."""
    until: datetime | None = None
    """The second after the last one."""

    def ids(self) -> dict[str, ObjectId]:
        """The range of the ids of these orders, as operators of a filter."""
        bounds = {"$gte": self.since, "$lt": self.until}
        return {name: ObjectId.from_datetime(bound) for name, bound in bounds.items() if bound is not None}

    def contains(self, order_id: str) -> bool:
        ids = self.ids()
        return ("$gte" not in ids or order_id >= str(ids["$gte"])) and (
            "$lt" not in ids or order_id < str(ids["$lt"])
        )


@dataclass(frozen=True)
class Ledgers:
    """The records of orders, payments and Stripe. `opened` creates them."""

    api: StripeApi
    orders: Database
    payments: Database
    payouts: Database | None = None
    """None if the database is empty: a marketplace from before payouts, or without it."""

    def of_period(self, period: Period) -> AsyncGenerator[Account, None]:
        """The accounts of the orders that were made in a period, newest first. Everything is read once."""
        return self._with_books(self._of_period(period), period.since)

    def _of_period(self, period: Period) -> AsyncGenerator[Account, None]:
        ids = period.ids()
        keys = {name: str(bound) for name, bound in ids.items()}
        return accounts(
            _read(self.orders["orders"], OrderEntry, "_id", ids),
            _read(self.payments["payments"], PaymentEntry, "order_id", keys),
            self._intents(period),
        )

    async def _intents(self, period: Period) -> AsyncIterator[StripeRecord]:
        async for record in records(self.api, period.since, period.until):
            if period.contains(record.order_id):
                yield record

    async def of_orders(self, order_ids: Iterable[str]) -> AsyncGenerator[Account, None]:
        """The accounts of single orders. For each, Stripe lists the intents of about a day.

        Raises:
            UnknownOrder
        """
        for order_id in order_ids:
            intents = await records_of_order(self.api, order_id)
            [account] = await self.again([Account(order_id, intents=tuple(intents))])
            if not account.is_known:
                raise UnknownOrder(f"Orders, payments and Stripe have no order {order_id}.")
            yield account

    async def again(self, before: Sequence[Account]) -> list[Account]:
        """These accounts as they are now. Stripe is asked for each known intent.

        The accounts contain no intents that were unknown before, unless they are those of the payments.
        """
        keys = [account.order_id for account in before]
        payments: defaultdict[str, list[PaymentEntry]] = defaultdict(list)
        async for payment in _read(self.payments["payments"], PaymentEntry, "order_id", {"$in": keys}):
            payments[payment.order_id].append(payment)
        intents = {account.order_id: await self._known(account, payments) for account in before}
        ids = [ObjectId(key) for key in keys if ObjectId.is_valid(key)]
        orders = {
            order.order_id: order
            async for order in _read(self.orders["orders"], OrderEntry, "_id", {"$in": ids})
        }
        found = [Account(key, orders.get(key), tuple(payments[key]), intents[key]) for key in keys]
        since = min((ObjectId(key).generation_time for key in keys if ObjectId.is_valid(key)), default=None)
        return [account async for account in self._with_books(_each(found), since)]

    async def _with_books(
        self, found: AsyncGenerator[Account, None], since: datetime | None
    ) -> AsyncGenerator[Account, None]:
        """The accounts with what payouts says. An order is older than its transfers."""
        if self.payouts is None:
            async with aclosing(found):
                async for account in found:
                    yield account
            return
        made = await transfers(self.api, since)
        batch: list[Account] = []
        async with aclosing(found):
            async for account in found:
                batch.append(account)
                if len(batch) == BATCH:
                    for complete in await self._complete(batch, made):
                        yield complete
                    batch.clear()
        for complete in await self._complete(batch, made):
            yield complete

    async def _complete(
        self, batch: Sequence[Account], made: Mapping[str, Sequence[TransferAtStripe]]
    ) -> list[Account]:
        assert self.payouts is not None
        keys = [account.order_id for account in batch]
        ids = [ObjectId(key) for key in keys if ObjectId.is_valid(key)]
        sales = {
            sale.order_id: sale async for sale in _read(self.payouts["sales"], SaleEntry, "_id", {"$in": ids})
        }
        booked: defaultdict[str, list[BookedEntry]] = defaultdict(list)
        async for entry in _read(self.payouts["ledger"], BookedEntry, "order_id", {"$in": keys}):
            booked[entry.order_id].append(entry)
        return [
            replace(
                account,
                books=Books(
                    sale=sales.get(account.order_id),
                    booked=tuple(booked[account.order_id]),
                    transfers=tuple(made.get(account.order_id, ())),
                ),
            )
            for account in batch
        ]

    async def _known(
        self, account: Account, payments: Mapping[str, Sequence[PaymentEntry]]
    ) -> tuple[StripeRecord, ...]:
        """The intents of the account and of the order's payments, as they are now."""
        ids = [intent.intent_id for intent in account.intents]
        ids += [payment.intent_id for payment in payments.get(account.order_id, ()) if payment.intent_id]
        found = [await find_record(self.api, intent_id) for intent_id in dict.fromkeys(ids)]
        return tuple(record for record in found if record and record.order_id == account.order_id)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Ledgers]:
    """Connect to the databases of orders and payments, and to Stripe, until the block ends.

    Raises:
        Unreadable: also if something can't be read within the block.
    """
    api = StripeApi(settings)
    try:
        async with (
            database(settings.database, "orders", []) as orders,
            database(settings.database, "payments", []) as payments,
            database(settings.database, "payouts", []) as payouts,
        ):
            has_payouts = bool(await payouts.list_collection_names(filter={"name": "sales"}))
            yield Ledgers(api, orders, payments, payouts if has_payouts else None)
    except Unavailable as error:
        where = settings.stripe_base or "https://api.stripe.com"
        reason = " ".join(str(error.__cause__ or error).split())
        raise Unreadable(f"Stripe's records can't be read at {where}: {reason}") from error
    except (DatabaseError, Unusable) as error:
        raise Unreadable(
            f"The databases orders, payments and payouts can't be read: {explain(error)}"
        ) from error
    except ValidationError as error:
        reason = "; ".join(f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors())
        raise Unreadable(f"A document of orders or payments can't be read: {reason}") from error
    finally:
        await api.close()


async def _each(found: Sequence[Account]) -> AsyncGenerator[Account, None]:
    for account in found:
        yield account


async def _read(
    collection: Any, entry: type[Entry], key: str, bounds: Mapping[str, Any]
) -> AsyncIterator[Entry]:
    """The entries with the highest keys first, read with one cursor."""
    fields = {field.alias or name: 1 for name, field in entry.model_fields.items()}
    which = {key: dict(bounds)} if bounds else {}
    async with collection.find(
        which, {"_id": 0, **fields}, sort=[(key, DESCENDING)], batch_size=READ_AT_ONCE
    ) as found:
        async for raw in found:
            yield entry.model_validate(raw)
