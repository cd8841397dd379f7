"""The auth process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from litestar import Litestar

import settings
from contracts.events import SessionEnded
from kit.background import running
from kit.devices import Devices
from kit.periodic import every
from kit.rate_limits import RateCounter
from kit.sessions import EndedSessions
from kit.tokens import Sessions, Signer
from services.auth.actions import Auth
from services.auth.api import API
from services.auth.attempts import Attempts
from services.auth.documents import Failures, Session, User
from services.auth.idle_sessions import end_idle_sessions
from services.auth.keys import private_key
from services.auth.passwords import Passwords
from settings import Settings
from streams.app import Service, ServiceState, service_app
from streams.delivery import Listener


@asynccontextmanager
async def lifespan(state: ServiceState) -> AsyncIterator[None]:
    """Add the use cases to the state, and verify tokens with this process's own keys."""
    settings = state.settings
    key = private_key(settings)
    signer = Signer(key)
    passwords = Passwords(network_share=settings.network_share)
    ended = state.sessions.ended
    state.sessions = Sessions(signer.own_keys, ended)
    lifetime = timedelta(seconds=settings.session_lifetime_seconds)
    use_interval = timedelta(seconds=settings.session_use_seconds / 5)
    attempts, devices = Attempts(settings), Devices(settings)
    state.auth = Auth(passwords, signer, ended, lifetime, attempts, devices, use_interval)
    async with running(_end_idle_sessions(settings, ended)):
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
    publishes=(SessionEnded,),
    api=API,
    documents=[User, Session, Failures, RateCounter],
    lifespan=lifespan,
    provides=["auth"],
)


def app() -> Litestar:
    return service_app(service, settings.load())
