"""The auth process: signs users in, and tells everybody when a session ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from litestar import Litestar

import settings
from services.auth.actions import Auth
from services.auth.api import API
from services.auth.documents import Session, User
from services.auth.keys import private_key
from services.auth.passwords import Passwords
from services.kit.limits import RateCounter
from services.kit.tokens import Sessions, Signer
from settings import Settings
from streams.app import Service, service_app
from streams.delivery import Listener


@asynccontextmanager
async def use_cases(app: Litestar) -> AsyncIterator[None]:
    configured: Settings = app.state.settings
    signer = Signer(private_key(configured))
    passwords = Passwords()
    sessions = Sessions(signer.own_keys, app.state.sessions.ended)
    app.state.sessions = sessions
    lifetime = timedelta(seconds=configured.session_lifetime_seconds)
    app.state.auth = Auth(passwords, signer, sessions, lifetime)
    yield
    passwords.close()


def app() -> Litestar:
    service = Service(
        name="auth",
        summary="Who is who",
        listener=Listener("auth"),
        api=API,
        documents=[User, Session, RateCounter],
        lifespan=use_cases,
    )
    return service_app(service, settings.load())
