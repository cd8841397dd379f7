"""What holds it together. Each guard can be taken away, to see that the checker notices: what proves that
the proof proves something.

They are patches of a process, made before it starts; tests/chaos/process.py applies them.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4


@dataclass(frozen=True)
class Guard:
    take_away: Callable[[], None]
    faults: tuple[str, ...]
    """What makes its absence felt; nothing, where plain use does."""
    noticed_by: tuple[str, ...]
    """Invariants that fail without it. That something merely took too long shows nothing."""
    links: tuple[tuple[str, str], ...] = ()
    """The links that faults of the network strike, from whom to whom; all, if none are named."""

    def is_missed(self, wrong: Iterable[str]) -> bool:
        """Whether its absence is among what is wrong."""
        return any(words.partition(":")[0] in self.noticed_by for words in wrong)


def _module(name: str) -> Any:
    # Imported late: a process's clock is shifted before its modules are.
    return importlib.import_module(name)


def unique_index() -> None:
    """Two buyers may hold one ticket."""
    documents = _module("services.orders.documents")
    settings = documents.Order.Settings
    settings.indexes = [
        index for index in settings.indexes if index.document["name"] != documents.ONE_ORDER_A_TICKET
    ]


def version_guard() -> None:
    """Who writes doesn't look whether somebody else wrote meanwhile."""
    aggregates = _module("services.kit.aggregates")

    async def publish(self: Any, changes: Any, **_: Any) -> Any:
        changed = self.model_copy(update={**changes, "version": self.version + 1})
        update = {
            "$set": {**changes, "version": changed.version},
            "$push": {"outbox": aggregates._entry(changed.event())},
        }
        await self.get_pymongo_collection().update_one({"_id": self.id}, update)
        type(self).wake_relay()
        return changed

    aggregates.Aggregate.publish = publish


def outbox() -> None:
    """An event is published once, after the write; if the bus is away just then, nobody hears of it."""
    relay = _module("streams.relay").Relay
    careful = relay._publish

    async def publish(self: Any, event: Any) -> bool:
        # Else nats-py would keep it until the bus is back: an outbox that dies with its process.
        if self._broker.connection.is_connected:
            with suppress(Exception):
                await careful(self, event)
        return True  # forget it

    relay._publish = publish


def message_id() -> None:
    """The stream can't tell that an event came before."""
    cloudevents = _module("streams.cloudevents")
    headers = cloudevents.headers

    def careless(**given: Any) -> dict[str, str]:
        return {**headers(**given), cloudevents.Header.MSG_ID: str(uuid4())}

    cloudevents.headers = careless


def idempotency_key() -> None:
    """Stripe takes each repeat for a new request."""
    httpx_client = _module("stripe").HTTPXClient
    request = httpx_client.request_async

    async def careless(self: Any, method: str, url: str, headers: Any, *given: Any, **more: Any) -> Any:
        if "Idempotency-Key" in headers:
            headers = {**headers, "Idempotency-Key": str(uuid4())}
        return await request(self, method, url, headers, *given, **more)

    httpx_client.request_async = careless


def arbiter() -> None:
    """Whatever is authorized completes its order, also one that was cancelled."""
    rules = _module("services.orders.rules")
    follow_payment = rules.follow_payment

    def careless(order: Any, payment: Any, longer: Any) -> Any:
        if payment.status in ("authorized", "captured"):
            return None if order.status in ("complete", "refunded") else rules.move_to("complete")
        return follow_payment(order, payment, longer)

    rules.follow_payment = careless


def hold_register() -> None:
    """A ticket believes whatever it hears last."""
    rules = _module("services.tickets.rules")
    follow_order = rules.follow_order

    def careless(ticket: Any, order: Any) -> Any:
        return follow_order(ticket.model_copy(update={"hold": 0, "order_version": -1}), order)

    rules.follow_order = careless


def offer_key() -> None:
    """A ticket that is offered twice is there twice."""
    settings = _module("services.tickets.documents").Ticket.Settings
    settings.indexes = [index for index in settings.indexes if not index.document.get("unique")]


def copies() -> None:
    """What a service knows of others is what it heard last."""
    copy = _module("services.kit.copies")

    async def follow(cls: Any, key: str, version: int, state: Any, *, learns: bool = False) -> None:
        await cls.get_pymongo_collection().update_one(
            {"_id": copy.object_id(key)}, {"$set": {**state, "version": version}}, upsert=True
        )

    copy.Copy.follow = classmethod(follow)


def late_ack() -> None:
    """A message is acknowledged before it is handled."""
    delivery = _module("streams.delivery").Delivery

    async def on_receive(self: Any) -> None:
        await self.msg.ack()

    async def after_processed(self: Any, *_: Any) -> bool:
        return True

    delivery.on_receive, delivery.after_processed = on_receive, after_processed


SAID = ("every_change_is_said_once",)
TAKEN_TWICE = ("one_order_a_ticket", "holds_are_counted")
REVIVED = ("nothing_comes_back_to_life",)
MONEY = ("money_follows_orders", "orders_are_paid_once", "payments_are_as_stripe_has_them")
KNOWN = ("copies_are_up_to_date", "tickets_follow_orders")

SAYING = (("tickets", "nats"), ("orders", "nats"), ("payments", "nats"))
STORING = (("tickets", "mongo"), ("orders", "mongo"), ("payments", "mongo"))
PAYING = (("payments", "stripe"),)

GUARDS: Mapping[str, Guard] = {
    "unique-index": Guard(unique_index, (), TAKEN_TWICE),
    "version-guard": Guard(version_guard, ("copies", "replay", "kill"), SAID),
    "outbox": Guard(outbox, ("cut", "reset"), SAID, SAYING),
    "message-id": Guard(message_id, ("half-open",), SAID, SAYING),
    "idempotency-key": Guard(idempotency_key, ("half-open", "slow"), MONEY, PAYING),
    "arbiter": Guard(arbiter, ("slow", "silent"), (*TAKEN_TWICE, *MONEY, *REVIVED), SAYING),
    "hold-register": Guard(hold_register, ("replay", "echo"), ("tickets_follow_orders",)),
    "offer-key": Guard(offer_key, (), ("offers_are_as_told",)),
    "copies": Guard(copies, ("replay", "echo"), ("copies_are_up_to_date",)),
    "late-ack": Guard(late_ack, ("reset", "cut", "silent"), KNOWN, STORING),
}
