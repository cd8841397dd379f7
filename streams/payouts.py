"""The payouts process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from faststream import FastStream
from litestar import Litestar

import settings
from contracts.events import (
    OrderCancelled,
    OrderCreated,
    OrderUpdated,
    PaymentUpdated,
    PayoutCreated,
    PayoutUpdated,
)
from kit.background import running
from kit.periodic import every
from kit.rate_limits import RateCounter
from kit.secrets import accepted_payouts_webhook_secrets
from kit.stripe.budget import Budget, StripeUse
from services.payouts.actions import Onboarding, Payouts, Terms
from services.payouts.api import API
from services.payouts.documents import (
    LedgerEntry,
    OrderReplica,
    PaymentReplica,
    PayoutAccount,
    Sale,
    WebhookEvent,
)
from services.payouts.inbox import WebhookInbox
from services.payouts.reconciler import Reconciler
from services.payouts.rules import basis_points
from services.payouts.stripe_gateway.client import Gateway
from services.payouts.transfers import Transfers
from services.payouts.users_api import USERS_API
from streams.app import Service, ServiceState, service_app, stream_app
from streams.delivery import Listener

listener = Listener("payouts")


@listener.on(OrderCreated)
async def add_order(event: OrderCreated, payouts: Payouts) -> None:
    """Add the order's replica, with the fee of its time."""
    await payouts.follow_order(event)


@listener.on(OrderUpdated)
async def date_sale(event: OrderUpdated, payouts: Payouts) -> None:
    """Decide anew when the sale of the order is due."""
    await payouts.follow_order(event)


@listener.on(OrderCancelled)
async def end_order(event: OrderCancelled, payouts: Payouts) -> None:
    """Store that the order ended."""
    await payouts.follow_order(event)


@listener.on(PaymentUpdated)
async def follow_money(event: PaymentUpdated, payouts: Payouts) -> None:
    """Hold the money of a captured payment, freeze it during a dispute, or give it back after a refund."""
    await payouts.follow_payment(event)


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Add the use cases to the state, and run the reconciler and the webhook inbox in the background."""
    configured = state.settings
    seconds = configured.reconcile_seconds
    budget = Budget(configured.stripe_requests_per_second)
    gateway = Gateway(configured, budget)
    in_background = Gateway(configured, budget, in_background=True)
    terms = Terms(timedelta(hours=configured.payout_hours), basis_points(configured.fee_percent))
    payouts = Payouts(terms)
    transfers = Transfers(in_background, Onboarding(in_background, configured.payout_countries))
    inbox = WebhookInbox(transfers, accepted_payouts_webhook_secrets(configured))
    state.payouts = payouts
    state.onboarding = Onboarding(gateway, configured.payout_countries)
    state.transfers = transfers
    state.inbox = inbox
    state.bus.provided["payouts"] = payouts
    async with (
        running(every(seconds, Reconciler(transfers).reconcile)),
        running(every(seconds, inbox.process_inbox, wake=inbox.received)),
        running(every(1, budget.report)),
    ):
        yield
    await gateway.close()
    await in_background.close()


service = Service(
    name="payouts",
    summary="Payouts to sellers through Stripe Connect",
    listener=listener,
    publishes=(PayoutCreated, PayoutUpdated),
    repairs_gaps=True,
    api=[*API, *USERS_API],
    documents=[
        Sale,
        LedgerEntry,
        PayoutAccount,
        OrderReplica,
        PaymentReplica,
        WebhookEvent,
        RateCounter,
        StripeUse,
    ],
    lifespan=lifespan,
    provides=["payouts", "inbox", "onboarding"],
)


def app() -> Litestar:
    return service_app(service, settings.load())


def stream() -> FastStream:
    return stream_app(service, settings.load())
