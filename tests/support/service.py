"""A service's app in this process, on a real database and without a bus."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import count
from typing import Any
from unittest.mock import patch

import httpx
from argon2 import PasswordHasher
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar
from litestar.types import ASGIApp

import settings
from contracts.identity import Identity
from contracts.problems import PROBLEM_JSON, Problem
from contracts.wire import now
from kit.mongo import Database, Documents, connect
from kit.tokens import Sessions, Signer
from ops.migrate import create_indexes
from services.auth.passwords import Passwords
from services.tickets.list_cache import ListCache
from settings import ServiceName, Settings
from tests.support.asgi import ADDRESS, alive, client_of
from tests.support.documented import documented

INTERNALS = ("Traceback", "pymongo", "beanie", "pydantic", "litestar", "services.", "hash", "outbox", "$")
"""Words that reveal internals and must not appear in a response."""

SIGNER = Signer(Ed25519PrivateKey.generate())

SettingsWith = Callable[..., Settings]
"""A function that makes the settings of a service from the given changes."""

_counter = count(1)


def new_id() -> str:
    return str(ObjectId())


def old_id() -> str:
    """An id created yesterday, so every event about its entity must have been delivered."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return str(ObjectId.from_datetime(yesterday))[:16] + f"{next(_counter):08x}"


def token_for(
    user: str,
    *,
    lifetime: timedelta = timedelta(hours=1),
    signer: Signer = SIGNER,
    unconfirmed: bool = False,
    unidentified: bool = False,
    signed_in: timedelta = timedelta(),
) -> str:
    """A session token as auth signs it, for a user without an account.

    Args:
        signed_in: how long ago the session began.
    """
    identity = Identity(
        id=user,
        email=f"{user}@example.com",
        session_id=new_id(),
        unconfirmed=unconfirmed,
        unidentified=unidentified,
        signed_in_at=now() - signed_in,
    )
    return signer.sign(identity, now() + lifetime)


@dataclass(frozen=True)
class Served:
    """A running service."""

    app: Litestar
    http: httpx.AsyncClient
    asgi: ASGIApp
    """What receives requests: `app`, or an app in front of it."""

    async def ask(self, method: str, path: str, *, by: str | None = None, **request: Any) -> httpx.Response:
        """Send a request, signed in as the user `by` if given."""
        headers = dict(request.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {token_for(by)}"
        return await self.http.request(method, path, headers=headers, **request)

    @property
    def database(self) -> Database:
        database: Database = self.app.state.database
        return database

    async def outbox(self, collection: str, key: str) -> list[tuple[str, dict[str, Any]]]:
        """Subjects and bodies of the outbox messages of a document."""
        found = await self.database[collection].find_one({"_id": ObjectId(key)})
        assert found is not None
        return [(entry["subject"], json.loads(entry["body"])) for entry in found["outbox"]]


@asynccontextmanager
async def serving(
    name: ServiceName,
    conf: Settings,
    *,
    address: str = ADDRESS,
    fresh: bool = True,
    with_indexes: bool = True,
) -> AsyncIterator[Served]:
    """Start the service as its process does.

    Args:
        fresh: empty the database first.
        with_indexes: create the missing indexes of the database.
    """
    await _prepare(conf.database, name, fresh=fresh, with_indexes=with_indexes)
    asgi = _app(name, conf)
    app = asgi.app if isinstance(asgi, ListCache) else asgi
    app.state.sessions = Sessions(SIGNER.own_keys, app.state.sessions.ended)
    async with alive(app), client_of(asgi, address, check=documented(name)) as http:
        yield Served(app, http, asgi)


def cheap_passwords(*, network_share: int = 0) -> Passwords:
    """A fast, insecure password hash."""
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    return Passwords(hasher, network_share=network_share)


def refusal(answer: httpx.Response, status: int) -> list[tuple[str | None, str]]:
    """The (field, message) pairs of an error response, which must be well-formed and reveal no internals."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    problem = Problem.model_validate_json(answer.content)
    assert problem.status == status
    assert problem.type == "about:blank" or problem.type.startswith("/problems/")
    assert problem.title
    assert problem.errors
    for word in INTERNALS:
        assert word not in answer.text
    return [(error.field, error.message) for error in problem.errors]


def messages(answer: httpx.Response, status: int) -> list[str]:
    return [message for _, message in refusal(answer, status)]


def documents_of(name: ServiceName) -> Documents:
    """The documents that the service binds to its database."""
    documents: Documents = import_module(f"streams.{name}").service.documents
    return documents


def _app(name: ServiceName, conf: Settings) -> Litestar | ListCache:
    # Creating an app redirects the root logger to stdout. Restore pytest's handlers.
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with patch.object(settings, "load", lambda: conf):
            app: Litestar | ListCache = import_module(f"streams.{name}").app()
            return app
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


async def _prepare(url: str, name: ServiceName, *, fresh: bool, with_indexes: bool) -> None:
    async with connect(url) as client:
        if fresh:
            await client.drop_database(name)
        if with_indexes:
            await create_indexes(client.get_database(name), documents_of(name))
