"""The payments process: hears what becomes of orders, and settles their payments accordingly."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated

from faststream import Context
from litestar import Litestar

import settings
from contracts.events import OrderCancelled, OrderCreated, OrderUpdated
from services.kit.limits import RateCounter
from services.kit.mongo import DatabaseError
from services.payments.actions import Payments
from services.payments.api import API
from services.payments.documents import Notice, Order, Payment
from services.payments.gateway import Gateway
from settings import Settings
from streams.app import Service, running, service_app
from streams.delivery import Listener

log = logging.getLogger(__name__)

listener = Listener("payments")

UseCases = Annotated[Payments, Context("payments")]


@listener.on(OrderCreated)
async def know_order(event: OrderCreated, payments: UseCases) -> None:
    """Let the order be paid for."""
    await payments.follow_order(event)


@listener.on(OrderUpdated)
async def capture_payment(event: OrderUpdated, payments: UseCases) -> None:
    """Capture what was authorized for a complete order."""
    await payments.follow_order(event)


@listener.on(OrderCancelled)
async def void_payment(event: OrderCancelled, payments: UseCases) -> None:
    """Give back what was authorized for a cancelled order."""
    await payments.follow_order(event)


@asynccontextmanager
async def use_cases(app: Litestar) -> AsyncIterator[None]:
    configured: Settings = app.state.settings
    gateway = Gateway(configured)
    payments = Payments(gateway, configured.currency, at_checkout=configured.pays_at_checkout)
    app.state.payments = payments
    app.state.bus.broker.context.set_global("payments", payments)
    seconds = configured.reconcile_seconds
    async with running(reconcile(payments, seconds)), running(read_inbox(payments, seconds)):
        yield
    await gateway.close()


async def reconcile(payments: Payments, seconds: float) -> None:
    """At start and every so many seconds, settle what was left open."""
    while True:
        try:
            await payments.reconcile()
        except DatabaseError as error:
            log.warning("payments can't be reconciled now: %s", error)
        except Exception:
            log.exception("payments can't be reconciled now")
        await asyncio.sleep(seconds)


async def read_inbox(payments: Payments, seconds: float) -> None:
    """At start, whenever a webhook came, and every so many seconds for what was left in the inbox."""
    while True:
        payments.noticed.clear()
        try:
            while await payments.handle_notices():
                pass
        except DatabaseError as error:
            log.warning("webhooks can't be handled now: %s", error)
        except Exception:
            log.exception("webhooks can't be handled now")
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await payments.noticed.wait()


def app() -> Litestar:
    service = Service(
        name="payments",
        summary="Money: authorized, captured, given back",
        listener=listener,
        api=API,
        documents=[Payment, Order, Notice, RateCounter],
        lifespan=use_cases,
    )
    return service_app(service, settings.load())
