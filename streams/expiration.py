"""The expiration process: tells when the time to pay for an order is over."""

from faststream.nats.annotations import NatsBroker
from litestar import Litestar

import settings
from contracts.events import ExpirationComplete, OrderCancelled, OrderCreated, OrderUpdated
from services.expiration import actions
from streams.app import Service, service_app
from streams.delivery import Listener
from streams.timers import JetStreamTimers
from streams.topology import DUE_TIMERS, TIMERS, Consumer

listener = Listener("expiration")


@listener.on(OrderCreated)
async def start_timer(event: OrderCreated, broker: NatsBroker) -> None:
    """Set the timer of the order."""
    await actions.follow_order(event, JetStreamTimers(broker))


@listener.on(OrderUpdated)
async def follow_order(event: OrderUpdated, broker: NatsBroker) -> None:
    """Clear the timer of a complete order, set that of one with more time."""
    await actions.follow_order(event, JetStreamTimers(broker))


@listener.on(OrderCancelled)
async def clear_timer(event: OrderCancelled, broker: NatsBroker) -> None:
    """Clear the timer of the order."""
    await actions.follow_order(event, JetStreamTimers(broker))


@listener.listen_to(Consumer("expiration", TIMERS, DUE_TIMERS), description="The time of a timer has come.")
async def announce(event: ExpirationComplete, broker: NatsBroker) -> None:
    """Say that the time to pay is over."""
    await JetStreamTimers(broker).announce(event)


def app() -> Litestar:
    service = Service(name="expiration", summary="When the time to pay is over", listener=listener)
    return service_app(service, settings.load())
