"""The auth process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from litestar import Litestar

import settings
from contracts.events import SessionEnded
from kit.rate_limits import RateCounter
from kit.tokens import Sessions, Signer
from services.auth.actions import Auth
from services.auth.api import API
from services.auth.attempts import Attempts
from services.auth.devices import Devices
from services.auth.documents import Failures, Session, User
from services.auth.keys import private_key
from services.auth.passwords import Passwords
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
    state.auth = Auth(passwords, signer, ended, lifetime, Attempts(settings), Devices(key, settings))
    yield
    passwords.close()


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
