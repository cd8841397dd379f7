"""The payments process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from faststream import FastStream
from litestar import Litestar

import settings
from contracts.events import OrderCancelled, OrderCreated, OrderUpdated, PaymentCreated, PaymentUpdated
from kit.background import running
from kit.owners import Owner
from kit.periodic import every
from kit.rate_limits import RateCounter
from kit.secrets import accepted_webhook_secrets
from kit.stripe.budget import Budget, StripeUse
from services.payments.actions import Payments
from services.payments.api import API
from services.payments.documents import OrderReplica, Payment, WebhookEvent
from services.payments.inbox import WebhookInbox
from services.payments.reconciler import Reconciler, measure_undecided
from services.payments.schedule import Schedule
from services.payments.settlement import Settlement
from services.payments.stripe_gateway.client import Gateway
from services.payments.users_api import USERS_API
from streams.app import Service, ServiceState, service_app, stream_app
from streams.delivery import Listener
from streams.metrics import MEASURE_SECONDS

listener = Listener("payments")


@listener.on(OrderCreated)
async def add_order(event: OrderCreated, payments: Payments) -> None:
    """Add the order's replica, so that it can be paid."""
    await payments.follow_order(event)


@listener.on(OrderUpdated)
async def capture_payment(event: OrderUpdated, payments: Payments) -> None:
    """Capture the payment of a complete order."""
    await payments.follow_order(event)


@listener.on(OrderCancelled)
async def void_payment(event: OrderCancelled, payments: Payments) -> None:
    """Void or refund the payment of a cancelled order."""
    await payments.follow_order(event)


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Add the use cases to the state, and run the reconciler and the webhook inbox in the background."""
    configured = state.settings
    seconds = configured.reconcile_seconds
    times = Schedule(timedelta(seconds=seconds), configured.pay_after_start)
    budget = Budget(configured.stripe_requests_per_second)
    gateway = Gateway(configured, budget)
    in_background = Gateway(configured, budget, in_background=True)
    settlement = Settlement(gateway, times)
    background = Settlement(in_background, times)
    orders = Owner(configured.url_of("orders"))
    payments = Payments(settlement, orders, configured.currency, at_checkout=configured.pays_at_checkout)
    inbox = WebhookInbox(background, accepted_webhook_secrets(configured))
    state.payments = payments
    state.inbox = inbox
    state.bus.provided["payments"] = payments
    async with (
        running(every(seconds, Reconciler(background).reconcile)),
        running(every(MEASURE_SECONDS, measure_undecided)),
        running(every(seconds, inbox.process_received, wake=inbox.received)),
        running(every(1, budget.report)),
    ):
        yield
    await gateway.close()
    await in_background.close()


service = Service(
    name="payments",
    summary="Payments of orders through Stripe",
    listener=listener,
    publishes=(PaymentCreated, PaymentUpdated),
    repairs_gaps=True,
    api=[*API, *USERS_API],
    documents=[Payment, OrderReplica, WebhookEvent, RateCounter, StripeUse],
    lifespan=lifespan,
    provides=["payments", "inbox"],
)


def app() -> Litestar:
    return service_app(service, settings.load())


def stream() -> FastStream:
    return stream_app(service, settings.load())
