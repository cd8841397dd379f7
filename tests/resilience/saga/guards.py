"""The guards of orders, tickets, payments and payouts. Removing one has to lead to violations."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from unittest.mock import patch

from contracts.events import PaymentEvent
from kit.changes import Changes
from services.orders import rules
from services.orders.rules import OrderState
from services.payments.documents import Payment
from services.payouts.rules import SaleState
from services.payouts.stripe_gateway.client import Gateway
from tests.resilience.saga.world import World


@contextmanager
def without_unique_index(world: World) -> Iterator[None]:
    """Allow several payments of one order."""
    payments = Payment.get_pymongo_collection()
    (index,) = (
        index for index in Payment.Settings.indexes if index.document["name"] == "one_payment_an_order"
    )
    world.run(payments.drop_index("one_payment_an_order"))
    try:
        yield
    finally:
        world.run(_delete_payments(world))
        world.run(payments.create_indexes([index]))


async def _delete_payments(world: World) -> None:
    await world.payments_db["payments"].delete_many({})


@contextmanager
def without_idempotency_keys(world: World) -> Iterator[None]:
    """Send requests without keys, so Stripe takes a repeated request for a new one."""
    with patch.object(world.transport, "keeps_keys", False):
        yield


@contextmanager
def without_arbiter(world: World) -> Iterator[None]:
    """Complete every order with an authorized payment, even a cancelled one."""
    follow_payment = rules.follow_payment

    def careless(order: OrderState, payment: PaymentEvent, longer: datetime) -> Changes | None:
        if payment.status in ("authorized", "captured"):
            return None if order.status == "complete" else rules.move_to("complete")
        return follow_payment(order, payment, longer)

    with patch.object(rules, "follow_payment", careless):
        yield


@contextmanager
def without_hold_confirmation(world: World) -> Iterator[None]:
    """Complete an order as soon as its price is authorized, whatever tickets says."""
    follow_payment = rules.follow_payment

    def careless(order: OrderState, payment: PaymentEvent, longer: datetime) -> Changes | None:
        return follow_payment(order.model_copy(update={"held": None}), payment, longer)

    with patch.object(rules, "follow_payment", careless):
        yield


@contextmanager
def without_delivery_timers(world: World) -> Iterator[None]:
    """Let the deadlines of deliveries pass without a timer and without the sweep."""
    with patch.object(world, "has_delivery_timers", False):
        yield


@contextmanager
def without_transfer_keys(world: World) -> Iterator[None]:
    """Send transfers without keys and without a search for earlier ones."""

    async def not_found(*_: object) -> None:
        return None

    with without_idempotency_keys(world), patch.object(Gateway, "find_transfer", not_found):
        yield


@contextmanager
def without_freeze(_: World) -> Iterator[None]:
    """Transfer the money of an order although a reported problem isn't decided."""
    with patch.object(SaleState, "is_frozen", property(lambda _: False)):
        yield


GUARDS: Mapping[str, Callable[[World], AbstractContextManager[None]]] = {
    "unique-index": without_unique_index,
    "idempotency-key": without_idempotency_keys,
    "arbiter": without_arbiter,
    "hold-confirmation": without_hold_confirmation,
    "delivery-timer": without_delivery_timers,
    "transfer-key": without_transfer_keys,
    "freeze": without_freeze,
}
