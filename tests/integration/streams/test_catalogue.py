"""The search of the tickets service follows the events of other replicas, and repairs what it missed."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import nats
import pytest
from bson import ObjectId
from nats.js import JetStreamContext
from pydantic import SecretStr

from contracts.api import POSITION, VALID_UNTIL
from contracts.events import TicketEvent, TicketUpdated
from contracts.wire import now
from ops.provision import provision
from services.tickets import catalogue
from services.tickets.documents import Ticket
from settings import Settings
from tests.integration.streams.conftest import TICKET, Nats
from tests.support.polling import until
from tests.support.service import Served, serving


def settings_of(mongo: str, server: Nats, folder: Path) -> Settings:
    return Settings(
        _env_file=None,
        data_dir=folder,
        mongo_url=SecretStr(mongo),
        nats_url=SecretStr(server.url),
        log_level="WARNING",
    )


@pytest.fixture
async def tickets(
    mongo: str, server: Nats, js: JetStreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Served]:
    """A tickets service that is connected to NATS and doesn't sweep on its own."""
    async with serving("tickets", settings_of(mongo, server, tmp_path)) as served:
        await until(lambda: missing(served), lambda parts: parts == [])
        monkeypatch.setattr(catalogue, "SWEEP_SECONDS", 3600.0)
        yield served


async def missing(tickets: Served) -> list[str]:
    answer: dict[str, list[str]] = (await tickets.ask("GET", "/health/ready")).json()
    return answer.get("missing", [])


async def publish(js: JetStreamContext, event: TicketEvent) -> int:
    """Publish an event as another replica does, and return its sequence number."""
    body = event.to_json().encode()
    return (await js.publish(event.subject, body, headers={"content-type": "application/json"})).seq


async def listed(tickets: Served) -> list[str]:
    return [ticket["title"] for ticket in (await tickets.ask("GET", "/api/tickets")).json()]


async def position(tickets: Served, path: str = "/api/tickets") -> int:
    return int((await tickets.ask("GET", path)).headers.get(POSITION, 0))


async def test_events_of_another_replica_are_listed_and_advance_the_position(
    tickets: Served, js: JetStreamContext
) -> None:
    sequence = await publish(js, TICKET)
    await until(lambda: listed(tickets), lambda titles: titles == [TICKET.title], seconds=5)
    await until(lambda: position(tickets), lambda reached: reached == sequence, seconds=5)
    renamed = TicketUpdated.model_validate({**dict(TICKET), "version": 1, "title": "Lear"})
    sequence = await publish(js, renamed)
    await until(lambda: listed(tickets), lambda titles: titles == ["Lear"], seconds=5)
    await until(lambda: position(tickets), lambda reached: reached == sequence, seconds=5)
    await publish(js, TICKET)  # late
    reserved = renamed.model_copy(update={"version": 2, "status": "reserved"})
    sequence = await publish(js, reserved)
    await until(lambda: listed(tickets), lambda titles: titles == [], seconds=5)
    for path in ("/api/tickets", "/api/tickets/facets", f"/api/tickets/sellers/{TICKET.user_id}"):
        assert await position(tickets, path) == sequence


async def test_a_malformed_event_is_skipped(tickets: Served, js: JetStreamContext) -> None:
    await js.publish("ticket.created", b'{"id": 7}', headers={"content-type": "application/json"})
    sequence = await publish(js, TICKET)
    await until(lambda: listed(tickets), lambda titles: titles == [TICKET.title], seconds=5)
    await until(lambda: position(tickets), lambda reached: reached == sequence, seconds=5)


async def test_a_process_starts_at_the_last_position_of_the_stream(
    mongo: str, server: Nats, js: JetStreamContext, tmp_path: Path
) -> None:
    sequence = await publish(js, TICKET)
    async with serving("tickets", settings_of(mongo, server, tmp_path)) as tickets:
        await until(lambda: position(tickets), lambda found: found == sequence, seconds=5)


async def test_what_was_missed_during_an_outage_is_repaired_after_it(
    mongo: str, server: Nats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "OUTAGE_SWEEP_SECONDS", 0.1)
    process, first_server = AsyncExitStack(), AsyncExitStack()
    async with first_server:
        await first_server.enter_async_context(server.running())
        connection = await nats.connect(server.url)
        await provision(connection.jetstream())
        tickets = await process.enter_async_context(serving("tickets", settings_of(mongo, server, tmp_path)))
        await until(lambda: missing(tickets), lambda parts: parts == [])
        before = await publish(connection.jetstream(), TICKET)
        await until(lambda: position(tickets), lambda found: found == before, seconds=5)
        await connection.close()
    # Another replica writes while the bus is down.
    await add_ticket("during the outage")
    both = [TICKET.title, "during the outage"]
    await until(lambda: listed(tickets), lambda titles: sorted(titles) == both)
    assert await position(tickets) == before
    async with server.running(), process:
        connection = await nats.connect(server.url)
        after = await publish(connection.jetstream(), TICKET.model_copy(update={"version": 1}))
        await until(lambda: position(tickets), lambda found: found >= after)
        await connection.close()


async def test_responses_state_until_when_they_are_valid(tickets: Served, js: JetStreamContext) -> None:
    starts, held_until = now() + timedelta(hours=2), now() + timedelta(hours=1)
    key = await add_ticket("Hamlet", starts_at=starts, held_until=held_until)
    valid = (await tickets.ask("GET", f"/api/tickets/{key}")).headers[VALID_UNTIL]
    assert valid == held_until.isoformat()
    assert VALID_UNTIL not in (await tickets.ask("GET", "/api/tickets")).headers
    await publish(js, TICKET.model_copy(update={"starts_at": starts}))
    await until(lambda: listed(tickets), lambda titles: titles == [TICKET.title], seconds=5)
    for path in ("/api/tickets", "/api/tickets/facets", f"/api/tickets/{key}/similar"):
        assert (await tickets.ask("GET", path)).headers[VALID_UNTIL] == starts.isoformat()
    today = (await tickets.ask("GET", "/api/tickets?when=today")).headers[VALID_UNTIL]
    assert today <= starts.isoformat()


async def add_ticket(title: str, **fields: object) -> str:
    """Store a ticket as another process does, so that this one isn't informed."""
    ticket = Ticket(user_id="b" * 24, title=title, price_minor=1000, **fields)  # type: ignore[arg-type]
    stored = {**ticket.model_dump(by_alias=True), "_id": ObjectId(), "outbox": []}
    await Ticket.get_pymongo_collection().insert_one(stored)
    return str(stored["_id"])
