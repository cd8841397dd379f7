"""The guards of the marketplace. Removing one must lead to violations, which proves that the checker works.

A guard is removed by patching a process before it starts, in tests/resilience/chaos/process.py.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4


@dataclass(frozen=True)
class Guard:
    remove: Callable[[], None]
    faults: tuple[str, ...]
    """The faults that reveal the absence of the guard. Empty if the load alone reveals it."""
    detected_by: tuple[str, ...]
    """The invariants that are violated without the guard. A slow run alone is no proof."""
    links: tuple[tuple[str, str], ...] = ()
    """The links that network faults break. Empty for all links."""

    def is_detected(self, wrong: Iterable[str]) -> bool:
        """Whether one of the violations is due to the absence of the guard."""
        return any(words.partition(":")[0] in self.detected_by for words in wrong)


def _module(name: str) -> Any:
    # The module is imported late, because the clock is patched before the modules of a service are imported.
    return importlib.import_module(name)


def unique_index() -> None:
    """Allow several live orders of one ticket."""
    documents = _module("services.orders.documents")
    settings = documents.Order.Settings
    settings.indexes = [
        index for index in settings.indexes if index.document["name"] != documents.ONE_ORDER_A_TICKET
    ]


def version_guard() -> None:
    """Write without comparing versions."""
    aggregates = _module("kit.aggregates")

    async def save_and_publish(self: Any, changes: Any, **_: Any) -> Any:
        changed = self.model_copy(update={**changes, "version": self.version + 1})
        update = {
            "$set": {**changes, "version": changed.version},
            "$push": {"outbox": aggregates._entry(changed.event())},
        }
        await self.get_pymongo_collection().update_one({"_id": self.id}, update)
        changed._written()
        return changed

    aggregates.Aggregate.save_and_publish = save_and_publish


def outbox() -> None:
    """Publish each event once after the write, and forget it if the bus is down."""
    relay = _module("streams.relay").Relay
    careful = relay._publish

    async def publish(self: Any, event: Any) -> bool:
        # Without this check, nats-py would buffer the event until the bus is back.
        if self._publishers.broker.connection.is_connected:
            with suppress(Exception):
                await careful(self, event)
        return True  # published or not

    relay._publish = publish


def message_id() -> None:
    """Give an event a new message id each time, so the stream can't deduplicate it."""
    cloudevents = _module("streams.cloudevents")
    headers = cloudevents.headers

    def careless(**given: Any) -> dict[str, str]:
        return {**headers(**given), cloudevents.Header.MSG_ID: str(uuid4())}

    cloudevents.headers = careless


def idempotency_key() -> None:
    """Use a new key for each request, so Stripe takes a repeated request for a new one."""
    http_client = _module("stripe").AIOHTTPClient
    request = http_client.request_async

    async def careless(self: Any, method: str, url: str, headers: Any, *given: Any, **more: Any) -> Any:
        if "Idempotency-Key" in headers:
            headers = {**headers, "Idempotency-Key": str(uuid4())}
        return await request(self, method, url, headers, *given, **more)

    http_client.request_async = careless


def arbiter() -> None:
    """Complete every order with an authorized payment, even a cancelled one."""
    rules = _module("services.orders.rules")
    follow_payment = rules.follow_payment

    def careless(order: Any, payment: Any, longer: Any) -> Any:
        if payment.status in ("authorized", "captured"):
            return None if order.status in ("complete", "refunded") else rules.move_to("complete")
        return follow_payment(order, payment, longer)

    rules.follow_payment = careless


def hold_confirmation() -> None:
    """Complete an order as soon as its price is authorized, whatever tickets says."""
    rules = _module("services.orders.rules")
    follow_payment = rules.follow_payment

    def careless(order: Any, payment: Any, longer: Any) -> Any:
        return follow_payment(order.model_copy(update={"held": None}), payment, longer)

    rules.follow_payment = careless


def hold_register() -> None:
    """Apply every event of an order to its ticket, even an old one."""
    rules = _module("services.tickets.rules")
    follow_order = rules.follow_order

    def careless(ticket: Any, order: Any) -> Any:
        return follow_order(ticket.model_copy(update={"hold": 0, "order_version": -1}), order)

    rules.follow_order = careless


def listing_key() -> None:
    """Ignore idempotency keys of listings, so that a repeated listing creates another ticket."""
    settings = _module("services.tickets.documents").Ticket.Settings
    settings.indexes = [index for index in settings.indexes if not index.document.get("unique")]


def replicas() -> None:
    """Apply every event to its replica, even an old one."""
    module = _module("kit.replicas")

    async def follow(cls: Any, key: str, version: int, state: Any) -> None:
        await cls.get_pymongo_collection().update_one(
            {"_id": module.object_id(key)}, {"$set": {**state, "version": version}}, upsert=True
        )

    module.Replica.follow = classmethod(follow)


def late_ack() -> None:
    """Acknowledge a message before it is handled."""

    async def consume_scope(self: Any, call_next: Any, msg: Any) -> Any:
        await msg.ack()
        return await call_next(msg)

    _module("streams.delivery").Delivery.consume_scope = consume_scope


def mail_retry() -> None:
    """Give a message up if the mail server doesn't take it."""
    sender = _module("services.mail.sender")

    def careless(_self: Any, _message: Any, error: str) -> Any:
        return sender.Ended("failed", error)

    sender.Sender._after_failure = sender.Sender._after_outage = careless


PUBLISHED = ("every_change_is_published_once",)
HELD_TWICE = ("one_order_holds_a_ticket", "holds_are_numbered_without_gaps")
REVIVED = ("final_states_stay_final",)
MONEY = (
    "money_follows_orders",
    "orders_are_paid_once",
    "payments_match_stripe",
    "payment_pages_end_with_orders",
)
REPLICATED = ("replicas_are_up_to_date", "tickets_follow_orders")

TO_NATS = (("tickets", "nats"), ("orders", "nats"), ("payments", "nats"))
TO_MONGO = (("tickets", "mongo"), ("orders", "mongo"), ("payments", "mongo"))
OF_MAIL = ("people_are_told_about_their_orders", "messages_reach_their_recipients")

TO_STRIPE = (("payments", "stripe"),)

GUARDS: Mapping[str, Guard] = {
    "unique-index": Guard(unique_index, (), HELD_TWICE),
    "version-guard": Guard(version_guard, ("instances", "replay", "kill"), PUBLISHED),
    "outbox": Guard(outbox, ("cut", "reset"), PUBLISHED, TO_NATS),
    "message-id": Guard(message_id, ("half-open",), PUBLISHED, TO_NATS),
    "idempotency-key": Guard(idempotency_key, ("stripe", "half-open", "slow"), MONEY, TO_STRIPE),
    "arbiter": Guard(arbiter, ("slow", "silent"), (*HELD_TWICE, *MONEY, *REVIVED), TO_NATS),
    "hold-confirmation": Guard(
        hold_confirmation,
        ("slow", "silent", "cut"),
        ("orders_complete_after_their_holds", "holds_are_of_what_the_seller_offers"),
        (("tickets", "nats"),),
    ),
    "hold-register": Guard(hold_register, ("replay", "echo"), ("tickets_follow_orders",)),
    "listing-key": Guard(listing_key, (), ("listings_match_responses",)),
    "replicas": Guard(replicas, ("replay", "echo"), ("replicas_are_up_to_date",)),
    "mail-retry": Guard(mail_retry, ("mail-down", "mail-refuses"), OF_MAIL),
    "mail-late-ack": Guard(late_ack, ("reset", "cut", "silent"), OF_MAIL, (("mail", "mongo"),)),
    "late-ack": Guard(late_ack, ("reset", "cut", "silent"), REPLICATED, TO_MONGO),
}
