"""The orders process: hears of tickets to reserve, of payments, and of time that is over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated

from faststream import Context
from litestar import Litestar

import settings
from contracts.events import (
    ExpirationComplete,
    PaymentCreated,
    PaymentUpdated,
    TicketCreated,
    TicketUpdated,
)
from services.kit.limits import RateCounter
from services.orders import actions
from services.orders.api import API
from services.orders.documents import Order, Ticket
from streams.app import Service, service_app
from streams.delivery import Listener

listener = Listener("orders")

Window = Annotated[timedelta, Context("window")]
"""Time to pay."""


@listener.on(TicketCreated)
async def know_ticket(event: TicketCreated) -> None:
    """Let the ticket be reserved."""
    await actions.follow_ticket(event)


@listener.on(TicketUpdated)
async def follow_ticket(event: TicketUpdated) -> None:
    """Reserve the ticket at its newest price from now on, or not at all once it's withdrawn."""
    await actions.follow_ticket(event)


@listener.on(ExpirationComplete)
async def expire_order(event: ExpirationComplete) -> None:
    """Cancel the order if it is still unpaid."""
    await actions.expire(event)


@listener.on(PaymentCreated)
async def hear_of_payment(event: PaymentCreated, window: Window) -> None:
    """Complete the order if its price is authorized and it wasn't cancelled."""
    await actions.follow_payment(event, window)


@listener.on(PaymentUpdated)
async def follow_payment(event: PaymentUpdated, window: Window) -> None:
    """Complete the order if its price is authorized and it wasn't cancelled; note a refund."""
    await actions.follow_payment(event, window)


@asynccontextmanager
async def terms(app: Litestar) -> AsyncIterator[None]:
    window = timedelta(seconds=app.state.settings.expiration_window_seconds)
    app.state.bus.broker.context.set_global("window", window)
    yield


def app() -> Litestar:
    service = Service(
        name="orders",
        summary="Who holds and who owns which ticket",
        listener=listener,
        api=API,
        documents=[Order, Ticket, RateCounter],
        lifespan=terms,
    )
    return service_app(service, settings.load())
