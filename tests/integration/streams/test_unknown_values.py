"""A message with a value that only newer processes know waits for one of them."""

import asyncio
import json
import logging
from datetime import timedelta
from typing import Any, Literal
from unittest.mock import ANY

import pytest
from nats.js import JetStreamContext
from pydantic import BaseModel, ValidationError

from contracts.events import TicketCreated
from kit.alerts import ALERTS
from ops.provision import provision
from streams import delivery, topology
from streams.delivery import DeadLetter, Handler
from tests.integration.streams.conftest import TICKET, Nats, listening, publish, stored, unacknowledged
from tests.support.polling import TIMEOUT, until

MANY = 1_001
"""More messages than JetStream delivers by default while none is acknowledged."""


class NewerTicketCreated(TicketCreated):
    """The contract of the next version: tickets may be lent."""

    status: Literal["available", "reserved", "sold", "withdrawn", "lent"]  # type: ignore[assignment]


def written_by_a_newer_process(**changes: Any) -> bytes:
    return json.dumps({**json.loads(TICKET.to_json()), "status": "lent", **changes}).encode()


@pytest.fixture
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short times until another attempt, also of a message that a process had when it stopped."""
    monkeypatch.setattr(delivery, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "MAX_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(topology, "ACK_WAIT", timedelta(seconds=3))


@pytest.fixture
def one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No message is retried during the test."""
    monkeypatch.setattr(delivery, "FIRST_DELAY_SECONDS", 600)
    monkeypatch.setattr(delivery, "MAX_DELAY_SECONDS", 600)


async def fail(_: TicketCreated) -> None:
    raise AssertionError("this version can't read the event")


async def wait_until_acknowledged(js: JetStreamContext) -> None:
    await until(lambda: unacknowledged(js), lambda count: count == 0)


async def wait_until_redelivered(js: JetStreamContext) -> None:
    await until(
        lambda: js.consumer_info("EVENTS", "orders-ticket-created"), lambda info: info.num_redelivered
    )


@pytest.mark.usefixtures("short_delays")
async def test_an_event_with_a_new_value_waits_until_an_upgraded_process_takes_it(
    server: Nats, js: JetStreamContext
) -> None:
    handled: list[str] = []

    async def lend(event: NewerTicketCreated) -> None:
        handled.append(event.status)

    async with listening(server.url, fail):
        await publish(js, written_by_a_newer_process())
        await wait_until_redelivered(js)
    async with listening(server.url, lend, event=NewerTicketCreated):
        await wait_until_acknowledged(js)
    assert handled == ["lent"]
    assert await stored(js, "DEAD") == []


@pytest.mark.usefixtures("short_delays")
async def test_an_upgraded_process_takes_events_with_a_new_value_while_old_ones_still_run(
    server: Nats, js: JetStreamContext
) -> None:
    handled: list[int] = []

    async def lend(event: NewerTicketCreated) -> None:
        handled.append(event.version)

    async with (
        listening(server.url, fail),
        listening(server.url, fail),
        listening(server.url, lend, event=NewerTicketCreated),
    ):
        for version in range(20):
            await publish(js, written_by_a_newer_process(version=version))
        await wait_until_acknowledged(js)
    assert sorted(handled) == list(range(20))
    assert await stored(js, "DEAD") == []


@pytest.mark.usefixtures("short_delays")
async def test_an_event_with_a_new_value_is_dead_lettered_after_its_last_attempt(
    server: Nats, js: JetStreamContext, caplog: pytest.LogCaptureFixture
) -> None:
    def alerts() -> float:
        return float(ALERTS.labels("unknown_value")._value.get())

    before = alerts()
    async with listening(server.url, fail, logging.getLogger("bus")):
        await publish(js, written_by_a_newer_process())
        await wait_until_acknowledged(js)
    (letter,) = await stored(js, "DEAD")
    headers = letter.headers or {}
    assert headers[DeadLetter.ATTEMPTS] == str(delivery.MAX_UPGRADE_ATTEMPTS)
    assert "status" in headers[DeadLetter.ERROR]
    assert alerts() - before == 6
    warnings = [record.levelname for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["WARNING", *["ERROR"] * 6, ANY], "once at first, six alerts, and the dead letter"


def test_an_event_with_a_new_value_waits_for_about_an_hour() -> None:
    minutes = [sum(map(delivery.backoff, range(1, delivery.MAX_UPGRADE_ATTEMPTS))) / 60 for _ in range(100)]
    assert 50 < min(minutes) <= max(minutes) < 70
    until_alert = sum(map(delivery.backoff, range(1, delivery.ATTEMPTS_BETWEEN_ALERTS))) / 60
    assert 2 < until_alert < 5


@pytest.mark.usefixtures("one_attempt")
@pytest.mark.parametrize(
    "body",
    [
        written_by_a_newer_process(version=-1),
        written_by_a_newer_process(title=None),
        written_by_a_newer_process(status=None),
        written_by_a_newer_process(status=["lent"]),
        written_by_a_newer_process(status=5),
        written_by_a_newer_process(id=""),
        b'{"status": "lent"}',
        written_by_a_newer_process()[:-1],
    ],
)
async def test_an_event_that_no_version_can_read_is_dead_lettered_at_once(
    server: Nats, js: JetStreamContext, body: bytes
) -> None:
    async with listening(server.url, fail):
        await publish(js, body)
        await wait_until_acknowledged(js)
    (letter,) = await stored(js, "DEAD")
    assert (letter.headers or {})[DeadLetter.ATTEMPTS] == "1"


class StoredTicket(BaseModel):
    """A document as an old process knows it."""

    status: Literal["available", "reserved"]


def document_of_a_newer_process() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        StoredTicket.model_validate({"status": "lent"})
    return caught.value


@pytest.mark.usefixtures("short_delays")
async def test_a_message_waits_if_a_stored_document_contains_a_new_value(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MAX_ATTEMPTS", 2)
    errors = [document_of_a_newer_process()] * 5

    async def load_document(_: TicketCreated) -> None:
        if errors:
            raise errors.pop()

    async with listening(server.url, load_document):
        await publish(js)
        await wait_until_acknowledged(js)
    assert errors == []
    assert await stored(js, "DEAD") == []


async def publish_many_that_wait(js: JetStreamContext) -> None:
    """Publish messages that no process of this version can read."""
    body = written_by_a_newer_process()
    for start in range(0, MANY, 100):
        await asyncio.gather(*(publish(js, body) for _ in range(start, min(start + 100, MANY))))


def handler_that_sets(handled: asyncio.Event) -> Handler:
    async def handle(_: TicketCreated) -> None:
        handled.set()

    return handle


async def waiting(js: JetStreamContext) -> int:
    return (await js.consumer_info("EVENTS", "orders-ticket-created")).num_ack_pending or 0


@pytest.mark.usefixtures("one_attempt")
async def test_many_messages_that_wait_for_an_upgrade_do_not_block_others(
    server: Nats, js: JetStreamContext
) -> None:
    handled = asyncio.Event()
    await publish_many_that_wait(js)
    await publish(js)
    async with listening(server.url, handler_that_sets(handled)), asyncio.timeout(TIMEOUT):
        await handled.wait()
    assert await waiting(js) == MANY


@pytest.mark.usefixtures("one_attempt")
async def test_control_with_jetstreams_default_many_waiting_messages_block_all_others(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "MAX_WAITING", 1000)
    await provision(js)
    handled = asyncio.Event()
    await publish_many_that_wait(js)
    await publish(js)
    async with listening(server.url, handler_that_sets(handled)):
        await until(lambda: waiting(js), lambda count: count == 1000)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2 * delivery.PULL_SECONDS):
                await handled.wait()
