"""The tickets process: holds, sells and frees tickets as orders says."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar

import settings
from contracts.events import OrderCancelled, OrderCreated, OrderUpdated
from services.tickets import actions
from services.tickets.api import API
from services.tickets.catalogue import Catalogue
from services.tickets.documents import Ticket
from streams.app import Service, service_app
from streams.delivery import Listener

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
async def keep_catalogue(app: Litestar) -> AsyncIterator[None]:
    """Have what can be bought in memory before the first search."""
    catalogue = Catalogue()
    await catalogue.on_sale()
    app.state.catalogue = catalogue
    Ticket.written = catalogue.wrote
    yield


def app() -> Litestar:
    service = Service(
        name="tickets",
        summary="What is for sale",
        listener=listener,
        api=API,
        documents=[Ticket],
        lifespan=keep_catalogue,
    )
    return service_app(service, settings.load())
