"""The mail process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from faststream import FastStream
from litestar import Litestar

import settings
from contracts.events import (
    AlertMatched,
    LinkCreated,
    OrderUpdated,
    PayoutUpdated,
    SessionStarted,
    UserUpdated,
)
from kit.background import running
from kit.periodic import every
from services.mail import leaving
from services.mail.actions import Outgoing
from services.mail.addresses import Addresses
from services.mail.api import API
from services.mail.documents import Message, OptOut
from services.mail.sender import Sender
from services.mail.smtp import MailServer
from services.mail.unsubscribing import Tokens
from services.mail.users_api import USERS_API
from streams.app import Service, ServiceState, service_app, stream_app
from streams.delivery import Listener
from streams.metrics import MEASURE_SECONDS

SEND_SECONDS = 2.0
"""How often to look for messages that another process has queued or that are due again."""

listener = Listener("mail")


@listener.on(OrderUpdated)
async def tell_about_order(event: OrderUpdated, outgoing: Outgoing) -> None:
    """Tell the buyer and the seller what became of the order, its delivery and a reported problem."""
    await outgoing.tell(event)


@listener.on(PayoutUpdated)
async def tell_about_money(event: PayoutUpdated, outgoing: Outgoing) -> None:
    """Tell the seller that the money was paid, or what keeps it from being paid."""
    await outgoing.tell(event)


@listener.on(AlertMatched)
async def tell_about_ticket(event: AlertMatched, outgoing: Outgoing) -> None:
    """Tell the user of a ticket that the user has waited for."""
    await outgoing.tell(event)


@listener.on(UserUpdated)
async def tell_about_account(event: UserUpdated, outgoing: Outgoing) -> None:
    """Tell the user that the password or a passkey changed. Forget a deleted user."""
    await outgoing.tell(event)
    await leaving.follow_user(event)


@listener.on(LinkCreated)
async def send_link(event: LinkCreated, outgoing: Outgoing) -> None:
    """Send the one-time link to whoever it is for."""
    await outgoing.tell(event)


@listener.on(SessionStarted)
async def tell_about_device(event: SessionStarted, outgoing: Outgoing) -> None:
    """Tell the user about a sign-in on a new device."""
    await outgoing.tell(event)


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Make the queue available to the subscribers, and send what is in it."""
    configured = state.settings
    outgoing = Outgoing(timedelta(days=configured.mail_max_age_days))
    server, addresses = MailServer(configured), Addresses(configured)
    sender = Sender(configured, server, addresses)
    state.bus.provided["outgoing"] = outgoing
    state.tokens = Tokens(configured)
    async with (
        running(every(SEND_SECONDS, sender.send_due, wake=outgoing.queued)),
        running(every(MEASURE_SECONDS, sender.measure)),
    ):
        yield
    await sender.finish()
    await server.close()
    await addresses.close()


service = Service(
    name="mail",
    summary="Emails about orders and accounts",
    listener=listener,
    api=[*API, *USERS_API],
    documents=[Message, OptOut],
    lifespan=lifespan,
    provides=["tokens"],
)


def app() -> Litestar:
    return service_app(service, settings.load())


def stream() -> FastStream:
    return stream_app(service, settings.load())
