"""Database and NATS servers whose data tests back up and restore. No service runs."""

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
from kit.mongo import database
from ops.backup.folder import FORMAT, MANIFEST, Manifest, draft
from ops.provision import provision
from sandbox.testing import free_port, mongo_server, nats_server
from services.tickets.documents import Ticket
from settings import SERVICES, Settings
from streams.processes import DATABASES
from tests.support.event_loop import use_one_event_loop


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)


@dataclass(frozen=True)
class Servers:
    """A database server and a provisioned NATS server."""

    settings: Settings
    connection: Client

    @property
    def js(self) -> JetStreamContext:
        return self.connection.jetstream(timeout=10)

    async def empty(self) -> Self:
        """Delete all databases and streams, and provision the streams again."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.settings.database)
        async with client:
            for name in DATABASES:
                await client.drop_database(name)
        for stream in await self.js.streams_info():
            await self.js.delete_stream(str(stream.config.name))
        await provision(self.js)
        return self

    async def add_ticket(self, title: str = "Low Roar") -> Ticket:
        """Store a ticket in the database of the tickets service, and its event in the stream."""
        async with database(self.settings.database, "tickets", [Ticket]):
            ticket = Ticket(title=title, price_minor=1999, user_id="b" * 24)
            await ticket.add()
        await self.publish_event(ticket)
        return ticket

    async def publish_event(self, ticket: Ticket, *, version: int = 0, title: str | None = None) -> None:
        """Publish the event of this version of the ticket."""
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
async def start_servers(folder: Path) -> AsyncIterator[Servers]:
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(nats_server(folder / "nats"))
        mongo = await stack.enter_async_context(mongo_server(folder / "mongo"))
        ports = {f"{service}_port": free_port() for service in SERVICES}
        connection = await nats.connect(bus)
        stack.push_async_callback(connection.close)
        await provision(connection.jetstream())
        settings = Settings.model_validate({"nats_url": bus, "mongo_url": mongo, "data_dir": folder, **ports})
        yield Servers(settings, connection)


@pytest_asyncio.fixture(scope="session")
async def server_pairs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Servers, Servers]]:
    folder = tmp_path_factory.mktemp("pairs")
    async with start_servers(folder / "a") as first, start_servers(folder / "b") as second:
        yield first, second


@pytest_asyncio.fixture(loop_scope="session")
async def servers(server_pairs: tuple[Servers, Servers]) -> Servers:
    """A database server and a NATS server without data."""
    return await server_pairs[0].empty()


@pytest_asyncio.fixture(loop_scope="session")
async def other_servers(server_pairs: tuple[Servers, Servers]) -> Servers:
    """A second database server and a second NATS server without data, on which a test restores a backup."""
    return await server_pairs[1].empty()


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A folder with the files of a complete backup."""
    folder = tmp_path / "backup"
    with draft(folder) as partial:
        for name in (
            "databases/tickets/tickets.bson",
            "databases/tickets/tickets.metadata.json",
            "streams/EVENTS/stream.tar.s2",
            "streams/EVENTS/backup.json",
        ):
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(b"content")
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
