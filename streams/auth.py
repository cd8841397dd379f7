"""The auth process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from faststream import FastStream
from litestar import Litestar

import settings
from contracts.events import (
    LinkCreated,
    LinkUpdated,
    SessionEnded,
    SessionStarted,
    UserCreated,
    UserUpdated,
)
from kit.background import running
from kit.devices import Devices
from kit.periodic import every
from kit.rate_limits import RateCounter
from kit.sessions import EndedSessions
from kit.tokens import Sessions, Signer
from services.auth.accounts import Accounts
from services.auth.accounts_api import ACCOUNTS_API
from services.auth.actions import Auth
from services.auth.api import API
from services.auth.attempts import Attempts
from services.auth.challenges import Challenges
from services.auth.departures import SWEEP_SECONDS, Departures
from services.auth.departures_api import DEPARTURES_API
from services.auth.documents import Failures, Link, Session, UsedChallenge, User
from services.auth.export import Exporter
from services.auth.idle_sessions import end_idle_sessions
from services.auth.keys import private_key, verification_keys
from services.auth.links import LinkKeys
from services.auth.neighbors import Neighbors
from services.auth.passkeys import Passkeys
from services.auth.passkeys_api import PASSKEYS_API
from services.auth.passwords import Passwords
from settings import Settings
from streams.app import Service, ServiceState, service_app, stream_app
from streams.delivery import Listener


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Add the use cases to the state, and verify tokens with this process's own keys."""
    settings = state.settings
    keys = private_key(settings), verification_keys(settings)
    signer, link_keys = Signer(*keys), LinkKeys(*keys)
    passwords = Passwords(network_share=settings.network_share)
    ended = state.sessions.ended
    state.sessions = Sessions(signer.own_keys, ended)
    lifetime = timedelta(seconds=settings.session_lifetime_seconds)
    use_interval = timedelta(seconds=settings.session_use_seconds / 5)
    attempts, devices = Attempts(settings), Devices(settings)
    common = passwords, signer, ended, lifetime, attempts, devices, use_interval
    state.auth = Auth(*common)
    state.accounts = Accounts(*common, link_keys)
    state.passkeys = Passkeys(*common, Challenges(settings))
    neighbors = Neighbors(settings, signer)
    departures = state.departures = Departures(*common, link_keys, neighbors)
    state.exporter = Exporter(neighbors)
    async with (
        running(_end_idle_sessions(settings, ended)),
        running(every(SWEEP_SECONDS, departures.finish_deletions)),
        running(every(SWEEP_SECONDS, departures.finish_ending_sessions)),
    ):
        yield
    passwords.close()


async def _end_idle_sessions(settings: Settings, ended: EndedSessions) -> None:
    """End idle sessions now and then. Never ends.

    While no instance of auth was running, other processes couldn't report which sessions were in use. They do
    so within two intervals.
    """
    if not settings.session_idle_seconds:
        await asyncio.Event().wait()
    await asyncio.sleep(2 * settings.session_use_seconds)
    idle = timedelta(seconds=settings.session_idle_seconds + settings.session_use_seconds)
    await every(settings.session_use_seconds / 5, partial(end_idle_sessions, idle, ended))


service = Service(
    name="auth",
    summary="Users and their sessions",
    listener=Listener("auth"),
    publishes=(UserCreated, UserUpdated, LinkCreated, LinkUpdated, SessionStarted, SessionEnded),
    api=[*API, *ACCOUNTS_API, *PASSKEYS_API, *DEPARTURES_API],
    documents=[User, Session, Link, UsedChallenge, Failures, RateCounter],
    lifespan=lifespan,
    provides=["auth", "accounts", "passkeys", "departures", "exporter"],
)


def app() -> Litestar:
    return service_app(service, settings.load())


def stream() -> FastStream:
    return stream_app(service, settings.load())
