"""A service as tests use it: its own app in this process, on a real database, without a bus."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import count
from typing import Any, cast
from unittest.mock import patch

import httpx
from argon2 import PasswordHasher
from bson import ObjectId
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import Litestar
from pymongo import AsyncMongoClient

import settings
from contracts.identity import Identity
from contracts.problems import PROBLEM_JSON, Problem
from contracts.wire import now
from services.auth.passwords import Passwords
from services.kit.mongo import Database
from services.kit.tokens import Sessions, Signer
from settings import ServiceName, Settings
from tests.people import PATIENCE

ADDRESS = "203.0.113.7"
"""Where requests come from: no proxy of ours."""

INTERNALS = ("Traceback", "pymongo", "beanie", "pydantic", "litestar", "services.", "hash", "outbox", "$")
"""What no answer may tell."""

SIGNER = Signer(Ed25519PrivateKey.generate())

_counter = count(1)


def new_id() -> str:
    return str(ObjectId())


def old_id() -> str:
    """An id that was made yesterday: no event about it can still be on its way."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return str(ObjectId.from_datetime(yesterday))[:16] + f"{next(_counter):08x}"


def token_for(user: str, *, lifetime: timedelta = timedelta(hours=1), signer: Signer = SIGNER) -> str:
    """What auth gives out, for a user who needs no account."""
    return signer.sign(Identity(id=user, email=f"{user}@example.com", session_id=new_id()), now() + lifetime)


@dataclass(frozen=True)
class Served:
    """A running service."""

    app: Litestar
    http: httpx.AsyncClient

    async def ask(self, method: str, path: str, *, by: str | None = None, **request: Any) -> httpx.Response:
        """Send a request, signed in `by` a user or by nobody."""
        headers = dict(request.pop("headers", {}))
        if by is not None:
            headers["Authorization"] = f"Bearer {token_for(by)}"
        return await self.http.request(method, path, headers=headers, **request)

    @property
    def database(self) -> Database:
        database: Database = self.app.state.database
        return database

    async def outbox(self, collection: str, key: str) -> list[tuple[str, dict[str, Any]]]:
        """The events that a document has to tell: their subjects and bodies."""
        found = await self.database[collection].find_one({"_id": ObjectId(key)})
        assert found is not None
        return [(entry["subject"], json.loads(entry["body"])) for entry in found["outbox"]]


@asynccontextmanager
async def serving(
    name: ServiceName, conf: Settings, *, address: str = ADDRESS, fresh: bool = True
) -> AsyncIterator[Served]:
    """The service as its process starts it, on a database that is empty unless it isn't `fresh`."""
    if fresh:
        await _drop(conf.database, name)
    app = _app(name, conf)
    app.state.sessions = Sessions(SIGNER.own_keys, app.state.sessions.ended)
    # An error that nothing translated reaches the client as a 500, as it does from a real server.
    transport = httpx.ASGITransport(cast("Any", app), raise_app_exceptions=False, client=(address, 40000))
    async with _alive(app), httpx.AsyncClient(transport=transport, base_url="http://stagedoor.test") as http:
        yield Served(app, http)


def cheap_passwords() -> Passwords:
    """Takes no time, and protects nothing."""
    return Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def refusal(answer: httpx.Response, status: int) -> list[tuple[str | None, str]]:
    """The (field, message) pairs of a well-formed refusal that tells nothing internal."""
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


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = PATIENCE) -> None:
    """Wait for something that comes true by itself."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it didn't come true in time"
        await asyncio.sleep(0.01)


def _app(name: ServiceName, conf: Settings) -> Litestar:
    # An app points the log at stdout, which is pytest's: what it had is put back.
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with patch.object(settings, "load", lambda: conf):
            app: Litestar = import_module(f"streams.{name}").app()
            return app
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@asynccontextmanager
async def _alive(app: Litestar) -> AsyncIterator[None]:
    """The app between its start and its shutdown, which have to happen in one task."""
    started, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            started.set()
            await over.wait()

    task = asyncio.create_task(live())
    starting = asyncio.create_task(started.wait())
    await asyncio.wait({task, starting}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if started.is_set():
            yield
    finally:
        over.set()
        starting.cancel()
        await task


async def _drop(url: str, name: str) -> None:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(url)
    async with client:
        await client.drop_database(name)
