"""The expiration process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream import FastStream
from litestar import Litestar

import settings
from contracts.events import ExpirationComplete, OrderCancelled, OrderCreated, OrderUpdated
from services.expiration import actions
from streams.app import Service, ServiceState, service_app, stream_app
from streams.delivery import Listener
from streams.timers import JetStreamTimers
from streams.topology import DUE_TIMERS, TIMERS

listener = Listener("expiration")


@listener.on(OrderCreated)
async def start_timer(event: OrderCreated, timers: JetStreamTimers) -> None:
    """Set the order's timer."""
    await actions.follow_order(event, timers)


@listener.on(OrderUpdated)
async def follow_order(event: OrderUpdated, timers: JetStreamTimers) -> None:
    """Set the timer of an extended order or of a due delivery, or clear the order's timers."""
    await actions.follow_order(event, timers)


@listener.on(OrderCancelled)
async def clear_timer(event: OrderCancelled, timers: JetStreamTimers) -> None:
    """Clear the order's timer."""
    await actions.follow_order(event, timers)


@listener.on(ExpirationComplete, stream=TIMERS, subject=DUE_TIMERS)
async def announce(event: ExpirationComplete, timers: JetStreamTimers) -> None:
    """Publish that the time to pay or to deliver is over."""
    await timers.announce(event)


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Make the timers available to the subscribers."""
    state.bus.provided["timers"] = JetStreamTimers(state.publishers)
    yield


service = Service(
    name="expiration",
    summary="Timers for the deadlines of orders",
    listener=listener,
    publishes=(ExpirationComplete,),
    lifespan=lifespan,
)


def app() -> Litestar:
    return service_app(service, settings.load())


def stream() -> FastStream:
    return stream_app(service, settings.load())
