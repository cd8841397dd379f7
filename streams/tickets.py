"""The tickets process: holds, sells and frees tickets as orders says."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar

import settings
from contracts.events import OrderCancelled, OrderCreated, OrderUpdated
from services.kit.limits import RateCounter
from services.kit.mongo import DatabaseError
from services.tickets import actions, pictures
from services.tickets.api import API
from services.tickets.catalogue import Catalogue
from services.tickets.documents import Picture, Ticket
from streams.app import Service, running, service_app
from streams.delivery import Listener

log = logging.getLogger(__name__)

listener = Listener("tickets")


@listener.on(OrderCreated)
async def hold_ticket(event: OrderCreated) -> None:
    """Take the ticket off sale while its buyer has time to pay."""
    await actions.follow_order(event)


@listener.on(OrderUpdated)
async def sell_ticket(event: OrderUpdated) -> None:
    """Mark the ticket sold once its order is complete."""
    await actions.follow_order(event)


@listener.on(OrderCancelled)
async def free_ticket(event: OrderCancelled) -> None:
    """Put the ticket back on sale."""
    await actions.follow_order(event)


@asynccontextmanager
async def shelves(app: Litestar) -> AsyncIterator[None]:
    """Have what can be bought in memory before the first search, and no pictures of nothing."""
    catalogue = Catalogue()
    await catalogue.on_sale()
    app.state.catalogue = catalogue
    Ticket.written = catalogue.wrote
    async with running(_sweep_pictures()):
        yield


async def _sweep_pictures() -> None:
    while True:
        try:
            await pictures.sweep()
        except DatabaseError as error:
            log.warning("pictures are swept later: %s", error)
        except Exception:
            log.exception("pictures are swept later")
        await asyncio.sleep(pictures.SWEEP_SECONDS)


def app() -> Litestar:
    service = Service(
        name="tickets",
        summary="What is for sale",
        listener=listener,
        api=API,
        documents=[Ticket, Picture, RateCounter],
        lifespan=shelves,
    )
    return service_app(service, settings.load())
