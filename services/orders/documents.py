"""Orders, and replicas of tickets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from beanie import PydanticObjectId
from bson import ObjectId
from pydantic import Field, TypeAdapter
from pymongo import ASCENDING, DESCENDING, IndexModel

from contracts.events import GRACE, OrderCancelled, OrderCreated, OrderedTicket, OrderEvent, OrderUpdated
from contracts.money import from_minor_units
from contracts.wire import now
from kit.aggregates import OUTBOX_INDEX, WITHOUT_OUTBOX, Aggregate
from kit.changes import Changes
from kit.paging import newest_first
from kit.replicas import Replica
from services.orders import delivery, problems
from services.orders.rules import PRIVATE, OrderState, ReservableTicket, times_of

ONE_ORDER_A_TICKET = "one_order_a_ticket"
ONE_ORDER_A_HOLD = "one_order_a_hold"
ONE_ORDER_A_SLOT = "one_order_a_slot"
ONE_ORDER_A_CODE = "one_order_a_code"
ONE_ORDER_A_NETWORK_SLOT = "one_order_a_network_slot"
ONE_ORDER_A_WIDE_SLOT = "one_order_a_wide_slot"


class TicketReplica(ReservableTicket, Replica):
    """The replica of a ticket."""

    class Settings:
        name = "tickets"


def _one_live_order(network: str, slot: str, name: str) -> IndexModel:
    """An index that lets each slot of a network have at most one live order."""
    return IndexModel(
        [(network, ASCENDING), (slot, ASCENDING)],
        name=name,
        unique=True,
        partialFilterExpression={"live": True, slot: {"$gt": 0}},
    )


class Order(OrderState, Aggregate):
    """An order: first a hold of a ticket, then a purchase."""

    active: bool = True
    live: bool = True
    slot: int
    """The number, from 1 to `MAX_LIVE_RESERVATIONS`, that no other live order of the buyer has."""
    network: str | None = None
    """A keyed hash of the buyer's network (`NetworkHasher`). It is never published."""
    network_slot: int | None = None
    """The number, from 1 to `MAX_LIVE_PER_NETWORK`, that no other live order from this network has."""
    wide_network: str | None = None
    wide_slot: int | None = None

    class Settings:
        name = "orders"
        # These unique indexes guarantee one active order per ticket, and no more live orders per buyer than
        # allowed, however many requests run concurrently.
        indexes = [
            OUTBOX_INDEX,
            IndexModel(
                [("ticket_id", ASCENDING)],
                name=ONE_ORDER_A_TICKET,
                unique=True,
                partialFilterExpression={"active": True},
            ),
            IndexModel([("ticket_id", ASCENDING), ("hold", ASCENDING)], name=ONE_ORDER_A_HOLD, unique=True),
            IndexModel(
                [("user_id", ASCENDING), ("slot", ASCENDING)],
                name=ONE_ORDER_A_SLOT,
                unique=True,
                partialFilterExpression={"live": True},
            ),
            _one_live_order("network", "network_slot", ONE_ORDER_A_NETWORK_SLOT),
            _one_live_order("wide_network", "wide_slot", ONE_ORDER_A_WIDE_SLOT),
            IndexModel([("user_id", ASCENDING), ("_id", DESCENDING)], name="of_buyer"),
            IndexModel([("expires_at", ASCENDING)], name="overdue", partialFilterExpression={"live": True}),
            IndexModel(
                [("delivery_acts_at", ASCENDING)],
                name="delivery",
                partialFilterExpression={"delivery_acts": True},
            ),
            IndexModel(
                [("reported_at", ASCENDING)],
                name="reports",
                partialFilterExpression={"report_open": True},
            ),
            IndexModel([("report.decided_at", ASCENDING)], name="decided_reports", sparse=True),
            IndexModel(
                [("code", ASCENDING)],
                name=ONE_ORDER_A_CODE,
                unique=True,
                partialFilterExpression={"code": {"$gt": ""}},
            ),
        ]

    @classmethod
    async def overdue(cls, moment: datetime, limit: int) -> list[ObjectId]:
        """The ids of live orders whose time is over, oldest deadline first.

        An order whose timer should have fired is among them only after another `GRACE`, so that most often
        its timer has cancelled it.
        """
        ended = [{"kept_until": None}, {"kept_until": {"$lte": moment}}]
        which = {"live": True, "expires_at": {"$lte": moment - 2 * GRACE}, "$or": ended}
        oldest_first = [("expires_at", ASCENDING)]
        found = cls.get_pymongo_collection().find(which, {"_id": 1}, sort=oldest_first, limit=limit)
        return [order["_id"] for order in await found.to_list()]

    @classmethod
    async def with_delivery_to_look_at(cls, moment: datetime, limit: int) -> list[tuple[ObjectId, datetime]]:
        """The ids of orders whose seller has to be reminded, or whose delivery has become overdue or
        confirmed by itself, longest ago first, and when that was.

        Most often the timer of an overdue one has ended it, so it is among them only after another `GRACE`.
        """
        which = {"delivery_acts": True, "delivery_acts_at": {"$lte": moment - 2 * GRACE}}
        oldest_first = [("delivery_acts_at", ASCENDING)]
        fields = {"delivery_acts_at": 1}
        found = cls.get_pymongo_collection().find(which, fields, sort=oldest_first, limit=limit)
        return [(order["_id"], order["delivery_acts_at"]) for order in await found.to_list()]

    @classmethod
    async def postpone_delivery(cls, key: ObjectId, seen: datetime, until: datetime) -> None:
        """Look at a delivery again later, unless its time has changed since it was `seen`.

        The order may be unreadable.
        """
        guard = {"_id": key, "delivery_acts_at": seen}
        await cls.get_pymongo_collection().update_one(guard, {"$set": {"delivery_acts_at": until}})

    @classmethod
    async def reported(cls, limit: int) -> list[Self]:
        """Orders with a report that nobody has decided yet, longest ago first."""
        found = cls.get_pymongo_collection().find(
            {"report_open": True}, WITHOUT_OUTBOX, sort=[("reported_at", ASCENDING)], limit=limit
        )
        return [cls.model_validate(raw) async for raw in found]

    @property
    def reserved_at(self) -> datetime:
        """Time of the reservation, to the second. It is part of the id."""
        assert self.id is not None
        return self.id.generation_time

    async def write(self, changes: Changes) -> Self | None:
        """Write the changes, and publish them unless they are all private.

        A private change doesn't change the version, so private fields are part of the guard. Otherwise, of
        two facts that together complete an order, each could be stored without regard to the other.
        """
        expected = {name: getattr(self, name) for name in PRIVATE}
        if changes.keys() <= PRIVATE:
            return await self.save_private(changes, **expected)
        moment = now()
        changes = {**changes, **times_of(self, changes, moment)}
        followed = {
            **delivery.follow_status(self, changes, moment),
            **problems.follow_status(self, changes, moment),
        }
        return await self.save_and_publish({**changes, **followed}, **expected)

    def event(self) -> OrderEvent:
        return self._kind_of_event()(
            id=self.key,
            version=self.version,
            status=self.status,
            user_id=self.user_id,
            seller_id=self.seller_id,
            paid_at=self.paid_at,
            refunded_at=self.refunded_at,
            cancel_reason=self.cancel_reason,
            hold_refused=self.hold_refused,
            cancelled_by_operator=self.cancelled_by_operator,
            relisted=self.relisted,
            refunded_amount=self.refunded_minor,
            dispute=self.dispute,
            delivery=self.delivery,
            deliver_by=self.deliver_by,
            delivered_at=self.delivered_at,
            confirmed_at=self.confirmed_at,
            overdue_at=self.overdue_at,
            reminded_at=self.reminded_at,
            **self._problem(),
            refund_due=self.refund_due_minor,
            date_changes=self.date_changes,
            date_changed_at=self.date_changed_at,
            former_starts_at=self.former_starts_at,
            latest_starts_at=self.latest_starts_at,
            expires_at=self.expires_at,
            hold=self.hold,
            code=self.code,
            ticket=OrderedTicket(
                id=self.ticket_id,
                title=self.ticket_title,
                price=from_minor_units(self.price_minor),
                **dict(self.details),
            ),
        )

    def _problem(self) -> Mapping[str, Any]:
        """What an event says about the report. It has none of the texts."""
        report = self.report
        if report is None:
            return {}
        return {
            "problem": report.state,
            "problem_kind": report.kind,
            "problem_at": report.reported_at,
            "problem_answer_by": report.answer_by,
            "problem_answered_at": report.answered_at,
            "problem_decided_at": report.decided_at,
        }

    def _kind_of_event(self) -> type[OrderEvent]:
        if self.status == "cancelled":
            return OrderCancelled
        return OrderCreated if self.version == 0 else OrderUpdated


class ShownOrder(OrderState):
    """The fields of a stored order that its buyer sees. They are read faster than a whole document."""

    id: PydanticObjectId = Field(alias="_id")
    version: int

    @property
    def key(self) -> str:
        """The id as text."""
        return str(self.id)

    @property
    def reserved_at(self) -> datetime:
        """Time of the reservation, to the second. It is part of the id."""
        return self.id.generation_time

    @classmethod
    async def find(cls, order_id: ObjectId) -> "ShownOrder | None":
        """The order with this id, if there is one."""
        found = await Order.get_pymongo_collection().find_one({"_id": order_id}, _SHOWN_FIELDS)
        return None if found is None else cls.model_validate(found)

    @classmethod
    async def of_seller(cls, seller: str, order_ids: Sequence[str]) -> "list[ShownOrder]":
        """Those of these orders that are this seller's sales, in one read."""
        ids = [ObjectId(order_id) for order_id in order_ids]
        which = {"_id": {"$in": ids}, "seller_id": seller}
        found = await Order.get_pymongo_collection().find(which, _SHOWN_FIELDS).to_list()
        return _SHOWN_ORDERS.validate_python(found)

    @classmethod
    async def of_buyer(
        cls, buyer: str, after: str | None, limit: int
    ) -> "tuple[list[ShownOrder], str | None]":
        """A page of a buyer's orders, newest first, and the cursor of the next page, if any.

        Raises:
            BadCursor: `after` isn't a cursor.
        """
        found, following = await newest_first(Order, {"user_id": buyer}, _SHOWN_FIELDS, after, limit)
        return _SHOWN_ORDERS.validate_python(found), following


_SHOWN_FIELDS = dict.fromkeys(ShownOrder.model_fields.keys() - {"id"}, 1)
_SHOWN_ORDERS = TypeAdapter(list[ShownOrder])
