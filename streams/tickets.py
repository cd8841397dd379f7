"""The tickets process."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from faststream import FastStream, StreamMessage
from litestar.types import ASGIApp
from nats.aio.msg import Msg
from pydantic import ValidationError

import settings
from contracts.events import (
    AlertMatched,
    OrderCancelled,
    OrderCreated,
    OrderUpdated,
    TicketCreated,
    TicketEvent,
    TicketUpdated,
    UserUpdated,
)
from kit.background import running
from kit.closed_users import ClosedUser
from kit.lease import Lease
from kit.periodic import every
from kit.rate_limits import RateCounter
from kit.secrets import ticket_file_keys
from services.tickets import actions, leaving, pictures
from services.tickets.alerts import waves
from services.tickets.alerts.api import ALERTS_API
from services.tickets.alerts.documents import Alert, Match
from services.tickets.alerts.waves import Waves
from services.tickets.api import API
from services.tickets.catalogue import Catalogue
from services.tickets.documents import FailedSale, Picture, Ticket
from services.tickets.files import retention
from services.tickets.files.documents import CodeClaim, FileAccess, FileChunk, FileKey, SealedFile
from services.tickets.files.inspection_queue import InspectionQueue
from services.tickets.files.vault import Vault
from services.tickets.list_cache import ListCache
from services.tickets.reports import actions as reports
from services.tickets.reports.documents import ListingCase
from services.tickets.shows import merging, popularity
from services.tickets.shows.api import SHOWS_API
from services.tickets.shows.documents import Show
from services.tickets.shows.offers_api import OFFERS_API
from services.tickets.users_api import USERS_API
from streams.app import Service, ServiceState, service_app, stream_app
from streams.delivery import Listener

log = logging.getLogger(__name__)

listener = Listener("tickets", live={"ticket.*": "Keep the catalogue of all instances up to date."})


@listener.on(OrderCreated)
async def hold_ticket(event: OrderCreated) -> None:
    """Take the ticket off sale while its buyer has time to pay."""
    await actions.follow_order(event)


@listener.on(OrderUpdated)
async def sell_ticket(event: OrderUpdated) -> None:
    """Mark the ticket sold when its order is complete."""
    await actions.follow_order(event)


@listener.on(OrderCancelled)
async def free_ticket(event: OrderCancelled) -> None:
    """Put the ticket back on sale."""
    await actions.follow_order(event)


@listener.on(UserUpdated)
async def follow_user(event: UserUpdated) -> None:
    """Take the tickets of a deleted user off sale, and forget their notes."""
    await leaving.follow_user(event)


async def decode(message: StreamMessage[Msg]) -> TicketEvent | None:
    """A live event of a ticket; None if it violates its contract."""
    try:
        return TicketUpdated.model_validate_json(message.body)
    except ValidationError as error:
        log.warning("a message on %s violates its contract: %s", message.raw_message.subject, error)
        return None


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Fill the catalogue and keep it up to date, accept uploads, delete unused pictures, let tickets follow
    their shows, rank events, withdraw reported listings, and tell people of tickets."""
    state.upload_queue = InspectionQueue(state.settings)
    state.vault = Vault(ticket_file_keys(state.settings))
    catalogue = state.catalogue = Catalogue(state.bus.last_position)
    state.preparing["search"] = lambda: not catalogue.is_loaded
    state.bus.feed(catalogue, "ticket.*", decode)
    async with AsyncExitStack() as stack:
        stack.callback(catalogue.close)
        stack.enter_context(Ticket.on_write(catalogue.wrote))
        await stack.enter_async_context(running(catalogue.run()))
        await stack.enter_async_context(running(every(pictures.SWEEP_SECONDS, pictures.sweep)))
        await stack.enter_async_context(running(every(merging.SWEEP_SECONDS, merging.sweep)))
        rank = partial(popularity.refresh, catalogue)
        await stack.enter_async_context(running(every(popularity.REFRESH_SECONDS, rank)))
        await stack.enter_async_context(running(every(reports.SWEEP_SECONDS, reports.sweep)))
        await stack.enter_async_context(running(every(waves.SWEEP_SECONDS, waves_of(state).sweep)))
        await stack.enter_async_context(running(every(waves.PURGE_SECONDS, waves.purge)))
        sweep_files = partial(retention.sweep, state.settings.file_days)
        await stack.enter_async_context(running(every(retention.SWEEP_SECONDS, sweep_files)))
        await stack.enter_async_context(running(every(retention.SWEEP_SECONDS, state.vault.check)))
        yield


def waves_of(state: ServiceState) -> Waves:
    """What announces tickets, as the settings say."""
    assert state.database is not None, "tickets has a database"
    configured = state.settings
    interval = timedelta(seconds=configured.alert_wave_seconds)
    return Waves(configured.alert_wave_size, interval, Lease(state.database, "alerts", waves.LEASE))


service = Service(
    name="tickets",
    summary="Tickets, their listings and pictures",
    listener=listener,
    publishes=(TicketCreated, TicketUpdated, AlertMatched),
    repairs_gaps=True,
    api=[*API, *SHOWS_API, *OFFERS_API, *ALERTS_API, *USERS_API],
    documents=[
        *(Ticket, FailedSale, Picture, Show, SealedFile, FileChunk, CodeClaim, FileAccess, FileKey),
        *(ListingCase, Alert, Match, ClosedUser, RateCounter),
    ],
    lifespan=lifespan,
    provides=["catalogue", "upload_queue", "vault"],
)


def app() -> ASGIApp:
    return ListCache(service_app(service, settings.load()))


def stream() -> FastStream:
    return stream_app(service, settings.load())
