"""Sales, the entries of the ledger, sellers' accounts at Stripe, and replicas of orders and payments."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from beanie import Document, PydanticObjectId
from pydantic import BaseModel, Field
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError
from typing_extensions import TypeAliasType

from contracts.events import PayoutCreated, PayoutEvent, PayoutUpdated
from contracts.wire import Id, Moment, now
from kit.aggregates import OUTBOX_INDEX, Aggregate
from kit.changes import Changes
from kit.errors import Unavailable
from kit.mongo import object_id
from kit.replicas import Replica
from kit.tracing import Attributes
from services.payouts import rules
from services.payouts.ledger import Amounts
from services.payouts.rules import Debt, Offset, OrderFacts, PaymentFacts, SaleState

ONE_ACCOUNT_A_SELLER = "one_account_a_seller"

FIRST_DELAY = timedelta(seconds=5)
MAX_DELAY = timedelta(hours=1)
"""Maximum time between two attempts to process a webhook event."""

KEPT_SECONDS = 30 * 24 * 3600
"""How long webhook events are kept. That must be longer than Stripe repeats them, which is three days."""

MAX_DEBTS = 50
"""How many debts of a seller one sale settles at most. Later sales settle the others."""

AccountState = TypeAliasType(
    "AccountState", Literal["incomplete", "checking", "active", "restricted", "rejected"]
)
"""Whether a seller may be paid: Stripe waits for details, checks them, accepts the seller, needs more, or
refuses the seller for good."""


class OrderReplica(OrderFacts, Replica):
    """The replica of an order."""

    class Settings:
        name = "orders"

    @classmethod
    async def keep_fee(cls, key: str, basis_points: int) -> None:
        """Store the platform's fee, unless one is stored: that of the order's first event counts."""
        without = {"_id": object_id(key), "fee_basis_points": {"$exists": False}}
        await cls.get_pymongo_collection().update_one(without, {"$set": {"fee_basis_points": basis_points}})


class PaymentReplica(PaymentFacts, Replica):
    """The replica of an order's only payment, stored under the order's id."""

    class Settings:
        name = "payments"


class PendingEntry(BaseModel):
    """An entry of the ledger that is written together with what causes it."""

    key: str
    change: Amounts
    at: Moment


class Sale(SaleState, Aggregate):
    """What the seller gets for one order. Its id is the order's id, so each order has one sale.

    A change of the sale, its entry of the ledger and its event are one guarded write. `book` then moves the
    entry to the ledger.
    """

    next_look_at: Moment | None = None
    """When to look at the sale next. None if nothing is to be done before the next event.

    A process claims a sale by moving this time forward before it looks at the sale. If the process dies, the
    claim lapses at this time, and another process looks at the sale.
    """
    unbooked: list[PendingEntry] = []
    in_debt: bool = False
    """Whether the seller owes money for this order. An index has only these sales."""

    class Settings:
        name = "sales"
        indexes = [
            OUTBOX_INDEX,
            IndexModel([("seller_id", ASCENDING), ("_id", DESCENDING)], name="of_seller"),
            IndexModel(
                [("seller_id", ASCENDING), ("state", ASCENDING), ("_id", DESCENDING)],
                name="of_seller_by_state",
            ),
            IndexModel(
                [("seller_id", ASCENDING), ("_id", ASCENDING)],
                name="debts_of_seller",
                partialFilterExpression={"in_debt": True},
            ),
            IndexModel([("next_look_at", ASCENDING)], name="next_look"),
            IndexModel([("settled_by.order_id", ASCENDING)], name="settled_by", sparse=True),
            IndexModel([("unbooked.key", ASCENDING)], name="unbooked", sparse=True),
            IndexModel([("frozen_at", ASCENDING)], name="frozen"),
        ]

    @classmethod
    async def load(cls, key: str) -> Self | None:
        """The sale of an order as it is stored now."""
        return await cls.first({"_id": object_id(key)})

    async def add(self, *, private: bool = False) -> None:
        """Insert the sale with its first entry and its first event.

        Raises:
            DuplicateKeyError: the order has a sale.
        """
        self.unbooked = _entries([], None, self, self.key, 0)
        await super().add(private=private)

    async def save_and_publish(self, changes: Changes, **expected: Any) -> Self | None:
        """Write the changes with their entry of the ledger and their event, in one guarded write."""
        changed = self.model_copy(update=dict(changes))
        unbooked = _entries(self.unbooked, self, changed, self.key, self.version + 1)
        stored = {**changes, "unbooked": unbooked, "in_debt": changed.owed > 0}
        return await super().save_and_publish(stored, **expected)

    @classmethod
    async def to_look_at(cls, moment: datetime, limit: int) -> list[PydanticObjectId]:
        """The ids of sales that are due for a look, those first that have been due for longest."""
        due = {"next_look_at": {"$lte": moment}}
        found = cls.get_pymongo_collection().find(
            due, {"_id": 1}, sort=[("next_look_at", ASCENDING)], limit=limit
        )
        return [sale["_id"] for sale in await found.to_list()]

    @classmethod
    async def claim(cls, sale_id: PydanticObjectId, moment: datetime, until: datetime) -> bool:
        """Claim a due sale until the given time. Return False if another process was faster."""
        claimed = await cls.get_pymongo_collection().update_one(
            {"_id": sale_id, "next_look_at": {"$lte": moment}}, {"$set": {"next_look_at": until}}
        )
        return claimed.matched_count == 1

    async def schedule(self, look_at: datetime | None) -> None:
        """Set the time of the next look, unless another process has set it meanwhile."""
        guard = {"_id": self.id, "next_look_at": self.next_look_at}
        await self.get_pymongo_collection().update_one(guard, {"$set": {"next_look_at": look_at}})

    @classmethod
    async def not_before(cls, sale_id: PydanticObjectId | None, soonest: datetime) -> None:
        """Postpone the next look at the sale to this time, if it is sooner."""
        sooner = {"_id": sale_id, "next_look_at": {"$lt": soonest}}
        await cls.get_pymongo_collection().update_one(sooner, {"$set": {"next_look_at": soonest}})

    @classmethod
    async def make_due(cls, which: Mapping[str, Any]) -> None:
        """Let any process look at these sales now."""
        await cls.get_pymongo_collection().update_many(which, {"$set": {"next_look_at": now()}})

    @classmethod
    async def indebted_of(cls, seller: str, limit: int, **which: Any) -> list[Self]:
        """A seller's sales for which the seller owes money, oldest first."""
        indebted = {"seller_id": seller, "in_debt": True, **which}
        found = cls.get_pymongo_collection().find(
            indebted, {"outbox": 0}, sort=[("_id", ASCENDING)], limit=limit
        )
        return [cls.model_validate(raw) async for raw in found]

    @classmethod
    async def debts_of(cls, seller: str, currency: str, besides: str) -> list[Debt]:
        """What a seller owes in a currency for other orders, oldest first."""
        others = {"currency": currency, "_id": {"$ne": object_id(besides)}}
        return [Debt(sale.key, sale.owed) for sale in await cls.indebted_of(seller, MAX_DEBTS, **others)]

    @classmethod
    async def open_of(cls, seller: str, limit: int) -> list[Self]:
        """A seller's sales whose money isn't paid yet, newest first."""
        which = {"seller_id": seller, "state": {"$in": ["held", "due", "frozen"]}}
        found = cls.get_pymongo_collection().find(
            which, {"outbox": 0}, sort=[("_id", DESCENDING)], limit=limit
        )
        return [cls.model_validate(raw) async for raw in found]

    @classmethod
    async def of_orders(cls, seller: str, order_ids: Sequence[str]) -> list[Self]:
        """The seller's sales of these orders, newest first."""
        which = {"seller_id": seller, "_id": {"$in": [object_id(key) for key in order_ids]}}
        found = cls.get_pymongo_collection().find(which, {"outbox": 0}, sort=[("_id", DESCENDING)])
        return [cls.model_validate(raw) async for raw in found]

    @classmethod
    async def due_of(cls, seller: str) -> dict[str, tuple[int, int]]:
        """How much of a seller's money is due, and how much of that waits for an account, by currency."""
        which = {"seller_id": seller, "state": "due"}
        found: dict[str, tuple[int, int]] = {}
        async for raw in cls.get_pymongo_collection().find(which, {"outbox": 0}):
            sale = cls.model_validate(raw)
            due, waiting = found.get(sale.currency, (0, 0))
            found[sale.currency] = (due + sale.held, waiting + sale.held * sale.needs_account)
        return found

    @classmethod
    async def balances_of(cls, seller: str) -> dict[str, Amounts]:
        """The balances of a seller's sales, by currency."""
        return await LedgerEntry.balances({"seller_id": seller})

    @classmethod
    async def settled_with(cls, key: str) -> list[Offset]:
        """The debts that this sale has settled, as the debtors' sales say. They are the truth."""
        found = cls.get_pymongo_collection().find({"settled_by.order_id": key}, {"settled_by": 1})
        return [
            Offset(order_id=str(raw["_id"]), amount=part["amount"])
            async for raw in found
            for part in raw["settled_by"]
            if part["order_id"] == key
        ]

    async def book(self) -> None:
        """Move the sale's new entries to the ledger. A repeated or concurrent call books nothing twice."""
        for pending in self.unbooked:
            await LedgerEntry.book(self, pending)
        keys = [pending.key for pending in self.unbooked]
        if keys:
            booked = {"$pull": {"unbooked": {"key": {"$in": keys}}}}
            await self.get_pymongo_collection().update_one({"_id": self.id}, booked)

    @classmethod
    async def unbooked_ones(cls, limit: int) -> list[PydanticObjectId]:
        """The ids of sales whose entries aren't in the ledger yet."""
        found = cls.get_pymongo_collection().find({"unbooked.key": {"$gt": ""}}, {"_id": 1}, limit=limit)
        return [sale["_id"] async for sale in found]

    @property
    def span_attributes(self) -> Attributes:
        """The ids that a span about the sale has."""
        return {"stagedoor.order.id": self.key, "stagedoor.payment.id": self.payment_id}

    def event(self) -> PayoutEvent:
        kind = PayoutCreated if self.version == 0 else PayoutUpdated
        return kind(
            id=self.key,
            version=self.version,
            seller_id=self.seller_id,
            title=self.title,
            code=self.code,
            ticket_id=self.ticket_id,
            seat=self.seat,
            starts_at=self.event_starts_at,
            time_zone=self.time_zone,
            state=self.state,
            amount=self.gross,
            fee=self.kept_fee,
            refunded_amount=self.returned,
            net=max(self.net, 0),
            paid_out=self.paid_out,
            owed=self.owed,
            currency=self.currency,
            due_at=self.due_at,
            paid_at=self.paid_at,
            needs_account=self.needs_account,
            reminders=self.reminders,
            reminded_at=self.reminded_at,
        )


def _entries(
    known: Sequence[PendingEntry], before: SaleState | None, after: SaleState, key: str, version: int
) -> list[PendingEntry]:
    entry = rules.entry(before, after, key, version)
    added = [PendingEntry(key=entry.key, change=entry.change, at=now())] if entry is not None else []
    return [*known, *added]


class LedgerEntry(Document):
    """An entry of the ledger. It is never changed or deleted, and the balances are sums of entries."""

    id: str  # type: ignore[assignment] # the cause is its key
    order_id: Id
    seller_id: Id
    currency: str
    change: Amounts
    at: Moment

    class Settings:
        name = "ledger"
        indexes = [
            IndexModel([("order_id", ASCENDING)], name="of_order"),
            IndexModel([("seller_id", ASCENDING), ("currency", ASCENDING)], name="of_seller"),
        ]

    @classmethod
    async def book(cls, sale: Sale, pending: PendingEntry) -> None:
        """Add an entry, unless it is there.

        Raises:
            Unavailable: no majority has the entry yet.
        """
        entry = cls(
            id=pending.key,
            order_id=sale.key,
            seller_id=sale.seller_id,
            currency=sale.currency,
            change=pending.change,
            at=pending.at,
        )
        entries = cls.get_pymongo_collection()
        try:
            await entries.insert_one(entry.model_dump(by_alias=True))
        except DuplicateKeyError:
            if await entries.find_one({"_id": entry.id}, {"_id": 1}) is None:
                raise Unavailable from None

    @classmethod
    async def balances(cls, which: Mapping[str, Any] | None = None) -> dict[str, Amounts]:
        """The balances of all accounts by currency, added up by the database.

        Args:
            which: a filter, such as the entries of one seller.
        """
        sums: dict[str, Any] = {name: {"$sum": f"$change.{name}"} for name in Amounts.model_fields}
        steps = [{"$match": dict(which or {})}, {"$group": {"_id": "$currency", **sums}}]
        found = await cls.get_pymongo_collection().aggregate(steps)
        return {raw["_id"]: Amounts.model_validate(raw) async for raw in found}


class WebhookEvent(Document):
    """An inbox message: a webhook event, stored once under Stripe's event id."""

    id: str  # type: ignore[assignment] # Stripe's own id is its key
    type: str
    account_id: str | None
    """The connected account that the event is about."""
    order_id: str | None
    """The order of the transfer that the event is about."""
    received_at: Moment
    happened_at: Moment | None = None
    """When Stripe made the event. None if that isn't known."""
    due: Moment
    """When to process the event next. The delay grows with each failure."""
    failures: int = 0
    processed: bool = False

    class Settings:
        name = "webhook_events"
        indexes = [
            IndexModel([("processed", ASCENDING), ("due", ASCENDING)], name="due"),
            IndexModel([("received_at", ASCENDING)], name="expiry", expireAfterSeconds=KEPT_SECONDS),
        ]

    async def add(self) -> bool:
        """Store the event. Return False if it is stored already.

        Raises:
            Unavailable: no majority has the event yet. Stripe sends it again.
        """
        events = self.get_pymongo_collection()
        try:
            await events.insert_one(self.model_dump(by_alias=True))
        except DuplicateKeyError:
            if await events.find_one({"_id": self.id}, {"_id": 1}) is None:
                raise Unavailable from None
            return False
        return True

    @classmethod
    async def due_at(cls, moment: datetime, limit: int) -> list[dict[str, Any]]:
        """Unprocessed events that are due, as they are stored: some may be unreadable."""
        due = {"processed": False, "due": {"$lte": moment}}
        return await cls.get_pymongo_collection().find(due, sort=[("due", ASCENDING)], limit=limit).to_list()

    @classmethod
    async def close(cls, event_id: str) -> None:
        """Mark the event processed."""
        await cls.get_pymongo_collection().update_one({"_id": event_id}, {"$set": {"processed": True}})

    @classmethod
    async def postpone(cls, event_id: Any, failures: Any) -> None:
        """Schedule the event for later, even if it is unreadable, so that it doesn't block the others."""
        failures = failures if isinstance(failures, int) else 0
        delay = min(FIRST_DELAY * 2.0 ** min(failures, 20), MAX_DELAY)
        changes = {"due": now() + delay, "failures": failures + 1}
        await cls.get_pymongo_collection().update_one({"_id": event_id}, {"$set": changes})


class PayoutAccount(Document):
    """A seller's account at Stripe, which receives the transfers. Stripe keeps the seller's details."""

    id: PydanticObjectId | None = Field(default_factory=PydanticObjectId)
    seller_id: Id
    country: str
    stripe_id: str | None = None
    """None until Stripe has answered. A request for the same country is repeated with the same key."""
    state: AccountState = "incomplete"
    may_receive: bool = False
    """Whether Stripe accepts transfers to the account."""
    payouts_enabled: bool = False
    """Whether Stripe pays the account's balance to the seller's bank."""
    payout_failed: bool = False
    """Whether the last payout to the seller's bank failed."""
    payout_told_at: Moment | None = None
    """When Stripe made the newest event about a payout. An older one changes nothing."""
    created_at: Moment
    checked_at: Moment | None = None

    class Settings:
        name = "payout_accounts"
        indexes = [
            IndexModel([("seller_id", ASCENDING)], name=ONE_ACCOUNT_A_SELLER, unique=True),
            IndexModel([("stripe_id", ASCENDING)], name="at_stripe"),
        ]

    @classmethod
    async def of_seller(cls, seller: str) -> Self | None:
        return await cls._first({"seller_id": seller})

    @classmethod
    async def at_stripe(cls, stripe_id: str) -> Self | None:
        return await cls._first({"stripe_id": stripe_id})

    @classmethod
    async def opened(cls, seller: str, country: str) -> Self:
        """The seller's account, or a new one. Concurrent calls make one.

        Until Stripe has opened the account, the seller may choose another country: Stripe may have refused
        the first one.

        Raises:
            Unavailable: no majority has the account yet.
        """
        account = cls(seller_id=seller, country=country, created_at=now())
        try:
            await cls.get_pymongo_collection().insert_one(account.model_dump(by_alias=True))
        except DuplicateKeyError:
            found = await cls.of_seller(seller)
            if found is None:
                raise Unavailable from None
            return await found._in_country(country)
        return account

    async def _in_country(self, country: str) -> Self:
        if self.stripe_id is None and self.country != country:
            not_open = {"_id": self.id, "stripe_id": None}
            await self.get_pymongo_collection().update_one(not_open, {"$set": {"country": country}})
        return await self._newest()

    async def open(self, stripe_id: str) -> Self:
        """Store the account that Stripe has opened, unless another request was faster.

        Raises:
            Unavailable: the seller has chosen another country meanwhile.
        """
        still = {"_id": self.id, "stripe_id": None, "country": self.country}
        await self.get_pymongo_collection().update_one(still, {"$set": {"stripe_id": stripe_id}})
        account = await self._newest()
        if account.stripe_id is None:
            raise Unavailable
        return account

    async def _newest(self) -> Self:
        account = await self._first({"_id": self.id})
        assert account is not None, "accounts are never deleted"
        return account

    async def record(self, changes: Changes) -> Self:
        """Store what Stripe says about the account. The newest answer wins."""
        await self.get_pymongo_collection().update_one({"_id": self.id}, {"$set": dict(changes)})
        saved: Self = self.model_copy(update=dict(changes))
        return saved

    async def record_payout(self, *, failed: bool, at: datetime) -> bool:
        """Store whether a payout failed. Return False if a newer event is known."""
        newest = {"$or": [{"payout_told_at": None}, {"payout_told_at": {"$lte": at}}]}
        changes = {"payout_failed": failed, "payout_told_at": at}
        recorded = await self.get_pymongo_collection().update_one(
            {"_id": self.id, **newest}, {"$set": changes}
        )
        return recorded.matched_count == 1

    @classmethod
    async def _first(cls, which: Mapping[str, Any]) -> Self | None:
        raw = await cls.get_pymongo_collection().find_one(which)
        return None if raw is None else cls.model_validate(raw)
