"""The orders process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from faststream import FastStream
from litestar import Litestar

import settings
from contracts.events import (
    ExpirationComplete,
    OrderCancelled,
    OrderCreated,
    OrderUpdated,
    PaymentCreated,
    PaymentUpdated,
    TicketCreated,
    TicketUpdated,
    UserUpdated,
)
from kit.background import running
from kit.closed_users import ClosedUser
from kit.images.upload_queue import UploadQueue
from kit.lease import Lease
from kit.networks import NetworkHasher
from kit.owners import Owner
from kit.periodic import every
from kit.rate_limits import RateCounter
from kit.sealing import Keys
from kit.secrets import ticket_file_keys
from services.orders import actions, leaving
from services.orders.api import API
from services.orders.documents import Order, TicketReplica
from services.orders.evidence import storing
from services.orders.evidence.api import EVIDENCE_API
from services.orders.evidence.documents import PhotoChunk, SealedPhoto
from services.orders.users_api import USERS_API
from streams.app import Service, ServiceState, service_app, stream_app
from streams.delivery import Listener

SWEEP_SECONDS = 5.0
"""How often one of the orders processes looks for orders whose timers were lost."""

SWEEP_LEASE = timedelta(seconds=15)
"""How long the other processes wait before one of them continues the sweeps of a process that died."""

listener = Listener("orders")


@listener.on(TicketCreated)
async def add_ticket(event: TicketCreated) -> None:
    """Add the ticket's replica, so that it can be reserved."""
    await actions.follow_ticket(event)


@listener.on(TicketUpdated)
async def follow_ticket(event: TicketUpdated) -> None:
    """Update the ticket's replica, which reservations use, and deliver its files to the buyer."""
    await actions.follow_ticket(event)


@listener.on(ExpirationComplete)
async def expire_order(event: ExpirationComplete, tickets: Owner) -> None:
    """Cancel the order if it is still unpaid, or end its delivery if that is overdue."""
    await actions.expire(event, tickets)


@listener.on(PaymentCreated)
async def record_payment(event: PaymentCreated, window: timedelta) -> None:
    """Complete the order if its price is authorized and it isn't cancelled. Extend it during a bank check."""
    await actions.follow_payment(event, window)


@listener.on(PaymentUpdated)
async def follow_payment(event: PaymentUpdated, window: timedelta) -> None:
    """Complete the order if its price is authorized and it isn't cancelled, or mark it refunded."""
    await actions.follow_payment(event, window)


@listener.on(UserUpdated)
async def follow_user(event: UserUpdated) -> None:
    """Forget the networks and photos of a user who was deleted."""
    await leaving.follow_user(event)


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Make the time to pay available to the subscribers and the rest to the HTTP handlers, and sweep."""
    state.upload_queue = UploadQueue(state.settings)
    keys = state.photo_keys = Keys(ticket_file_keys(state.settings))
    window = timedelta(seconds=state.settings.expiration_window_seconds)
    state.bus.provided["window"] = window
    tickets = state.tickets = Owner(state.settings.url_of("tickets"))
    state.bus.provided["tickets"] = tickets
    state.networks = NetworkHasher(state.settings)
    assert state.database is not None
    lease = Lease(state.database, "expiry", SWEEP_LEASE)

    async def sweep() -> None:
        """End overdue orders and deliveries, unless events that may still complete them can't arrive or are
        waiting."""
        if await lease.hold() and await state.bus.is_idle():
            await actions.sweep()
            await actions.sweep_deliveries(tickets)

    sweep_photos = partial(storing.sweep, keys, state.settings.file_days)
    async with (
        running(every(SWEEP_SECONDS, sweep)),
        running(every(storing.SWEEP_SECONDS, sweep_photos)),
    ):
        yield


service = Service(
    name="orders",
    summary="Reservations and purchases of tickets",
    listener=listener,
    publishes=(OrderCreated, OrderUpdated, OrderCancelled),
    repairs_gaps=True,
    api=[*API, *EVIDENCE_API, *USERS_API],
    documents=[Order, TicketReplica, SealedPhoto, PhotoChunk, ClosedUser, RateCounter],
    lifespan=lifespan,
    provides=["tickets", "networks", "upload_queue", "photo_keys"],
)


def app() -> Litestar:
    return service_app(service, settings.load())


def stream() -> FastStream:
    return stream_app(service, settings.load())
