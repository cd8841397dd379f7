"""Databases and streams without services, to be saved and put back."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js import JetStreamContext
from pymongo import AsyncMongoClient

from contracts.events import TicketCreated, TicketUpdated
from contracts.wire import now
from sandbox.testing import free_port, mongo_server, nats_server
from services.kit.mongo import database
from services.tickets.documents import Ticket
from settings import SERVICES, Settings
from streams.backup import DATABASES
from streams.backup.folder import FORMAT, MANIFEST, Manifest, draft
from streams.topology import provision


@dataclass(frozen=True)
class Stored:
    """A database server and a provisioned NATS server."""

    settings: Settings
    connection: Client

    @property
    def js(self) -> JetStreamContext:
        return self.connection.jetstream(timeout=10)

    async def emptied(self) -> Self:
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.settings.database)
        async with client:
            for name in DATABASES:
                await client.drop_database(name)
        for stream in await self.js.streams_info():
            await self.js.delete_stream(str(stream.config.name))
        await provision(self.js)
        return self

    async def offer(self, title: str = "Low Roar") -> Ticket:
        """A ticket in the database of tickets, and its event in the stream."""
        async with database(self.settings.database, "tickets", [Ticket]):
            ticket = Ticket(title=title, price_minor=1999, user_id="b" * 24)
            await ticket.add()
        await self.say(ticket)
        return ticket

    async def say(self, ticket: Ticket, *, version: int = 0, title: str | None = None) -> None:
        """Publish that the ticket is so."""
        kind = TicketUpdated if version else TicketCreated
        event = kind(
            id=ticket.key,
            version=version,
            title=title or ticket.title,
            price=Decimal("19.99"),
            user_id=ticket.user_id,
            status="available",
        )
        headers = {"Nats-Msg-Id": f"{ticket.key}-{version}"}
        await self.js.publish(event.subject, event.to_json().encode(), headers=headers)


@asynccontextmanager
async def servers(folder: Path) -> AsyncIterator[Stored]:
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(nats_server(folder / "nats"))
        mongo = await stack.enter_async_context(mongo_server(folder / "mongo"))
        ports = {f"{service}_port": free_port() for service in SERVICES}
        connection = await nats.connect(bus)
        stack.push_async_callback(connection.close)
        await provision(connection.jetstream())
        settings = Settings.model_validate({"nats_url": bus, "mongo_url": mongo, "data_dir": folder, **ports})
        yield Stored(settings, connection)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pairs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stored, Stored]]:
    folder = tmp_path_factory.mktemp("pairs")
    async with servers(folder / "a") as first, servers(folder / "b") as second:
        yield first, second


@pytest_asyncio.fixture(loop_scope="session")
async def stored(pairs: tuple[Stored, Stored]) -> Stored:
    """With nothing in it."""
    return await pairs[0].emptied()


@pytest_asyncio.fixture(loop_scope="session")
async def others(pairs: tuple[Stored, Stored]) -> Stored:
    """Two more servers, with nothing in them."""
    return await pairs[1].emptied()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A folder that looks like a backup."""
    folder = tmp_path / "looks"
    with draft(folder) as partial:
        for name in (
            "databases/tickets/tickets.bson",
            "databases/tickets/tickets.metadata.json",
            "streams/EVENTS/stream.tar.s2",
            "streams/EVENTS/backup.json",
        ):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(b"what was saved")
        manifest = Manifest(
            format=FORMAT,
            made_at=now(),
            at_rest=True,
            nats_server="",
            databases={},
            streams={},
            events_since=0,
        )
        (partial / MANIFEST).write_text(manifest.model_dump_json())
    return folder
