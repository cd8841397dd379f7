"""The outcome of a handler decides whether its message is acknowledged, redelivered or dead-lettered."""

import asyncio
import json
import logging
from types import SimpleNamespace

import nats.errors
import pytest
from faststream import AckPolicy, BaseMiddleware
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from pydantic import ValidationError
from pymongo.errors import AutoReconnect, OperationFailure

from contracts.events import TicketCreated
from kit.errors import Unavailable
from ops import dead_letters
from ops.errors import CommandError
from ops.provision import provision
from settings import Settings
from streams import delivery
from streams.delivery import DeadLetter
from tests.integration.streams.conftest import TICKET, Nats, listening, publish, stored, unacknowledged
from tests.support.polling import TIMEOUT, until


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "MAX_DELAY_SECONDS", 0.05)


class Recorder:
    """A handler that raises the given errors, one per call, and then records the events that it receives."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.handled: list[TicketCreated] = []

    async def __call__(self, event: TicketCreated) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self.handled.append(event)


async def wait_until_acknowledged(js: JetStreamContext) -> None:
    await until(lambda: unacknowledged(js), lambda count: count == 0)


async def test_an_event_is_handled_and_acknowledged(server: Nats, js: JetStreamContext) -> None:
    handler = Recorder()
    async with listening(server.url, handler):
        await publish(js)
        await wait_until_acknowledged(js)
    assert handler.handled == [TICKET]


async def test_eight_events_are_handled_concurrently(server: Nats, js: JetStreamContext) -> None:
    """Concurrency matters because most handlers mostly wait for the database or for Stripe."""
    barrier = asyncio.Barrier(8)

    async def handle(event: TicketCreated) -> None:
        await barrier.wait()

    async with listening(server.url, handle):
        for _ in range(8):
            await publish(js)
        await wait_until_acknowledged(js)


async def test_an_event_whose_handler_raises_is_redelivered(server: Nats, js: JetStreamContext) -> None:
    handler = Recorder(RuntimeError("once"), RuntimeError("twice"))
    async with listening(server.url, handler):
        await publish(js)
        await wait_until_acknowledged(js)
    assert (handler.calls, handler.handled) == (3, [TICKET])
    assert await stored(js, "DEAD") == []


async def test_control_with_faststreams_default_policy_an_event_whose_handler_raises_is_lost(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy REJECT_ON_ERROR terminates a message whose handler raises."""
    monkeypatch.setattr(delivery, "Delivery", BaseMiddleware)
    monkeypatch.setattr(delivery, "AckPolicy", SimpleNamespace(NACK_ON_ERROR=AckPolicy.REJECT_ON_ERROR))
    handler = Recorder(RuntimeError("once"))
    async with listening(server.url, handler):
        await publish(js)
        await wait_until_acknowledged(js)
    assert handler.handled == []


async def test_a_body_that_is_not_json_is_dead_lettered_and_the_next_event_is_handled(
    server: Nats, js: JetStreamContext
) -> None:
    handler = Recorder()
    async with listening(server.url, handler):
        await publish(js, b"\x00 not json")
        await publish(js)
        await wait_until_acknowledged(js)
        await until(lambda: stored(js, "DEAD"), len)
    assert handler.handled == [TICKET]
    (letter,) = await stored(js, "DEAD")
    assert letter.data == b"\x00 not json"
    assert letter.subject == "dead.orders.ticket.created"
    assert letter.headers is not None
    assert letter.headers[DeadLetter.SUBJECT] == "ticket.created"
    assert letter.headers[DeadLetter.ATTEMPTS] == "1"
    assert letter.headers[DeadLetter.ERROR]


async def test_a_body_without_a_required_field_is_dead_lettered_at_once(
    server: Nats, js: JetStreamContext
) -> None:
    handler = Recorder()
    async with listening(server.url, handler):
        await publish(js, b'{"id": "aaaaaaaaaaaaaaaaaaaaaaaa"}')
        await wait_until_acknowledged(js)
    assert handler.calls == 0
    (letter,) = await stored(js, "DEAD")
    assert "version" in (letter.headers or {})[DeadLetter.ERROR]


@pytest.mark.parametrize(
    "error",
    [ValueError("never works"), OperationFailure("never works", code=2)],
    ids=lambda error: type(error).__name__,
)
async def test_an_event_that_always_fails_is_dead_lettered_after_its_last_attempt(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(delivery, "MAX_ATTEMPTS", 3)
    handler = Recorder(*[error] * 10)
    async with listening(server.url, handler):
        await publish(js)
        await wait_until_acknowledged(js)
    assert handler.calls == 3
    (letter,) = await stored(js, "DEAD")
    assert (letter.headers or {})[DeadLetter.ERROR] == f"{type(error).__name__}: never works"
    assert (letter.headers or {})[DeadLetter.ATTEMPTS] == "3"


def validation_error_of_a_stored_document() -> ValueError:
    with pytest.raises(ValidationError) as caught:
        TicketCreated.model_validate({"id": "a document from before the first release"})
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        validation_error_of_a_stored_document(),
        json.JSONDecodeError("a response that isn't JSON", "", 0),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "a response that isn't text"),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_valid_event_whose_handler_raises_a_decoding_error_is_redelivered(
    server: Nats, js: JetStreamContext, error: Exception
) -> None:
    handler = Recorder(error, error)
    async with listening(server.url, handler):
        await publish(js)
        await wait_until_acknowledged(js)
    assert (handler.calls, handler.handled) == (3, [TICKET])
    assert await stored(js, "DEAD") == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"version": ' + b"9" * 5_000 + b"}", b'"\xff"'])
async def test_a_body_that_cannot_be_decoded_is_dead_lettered_at_once(
    server: Nats, js: JetStreamContext, body: bytes
) -> None:
    handler = Recorder()
    async with listening(server.url, handler):
        await publish(js, body)
        await wait_until_acknowledged(js)
    assert handler.calls == 0
    (letter,) = await stored(js, "DEAD")
    assert (letter.headers or {})[DeadLetter.ATTEMPTS] == "1"


@pytest.mark.parametrize(
    "outage",
    [
        Unavailable(),
        AutoReconnect("the database is down"),
        OperationFailure("the database's disk is full", code=1),
        nats.errors.TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_never_dead_letters_an_event(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    monkeypatch.setattr(delivery, "MAX_ATTEMPTS", 3)
    handler = Recorder(*[outage] * 6)
    async with listening(server.url, handler):
        await publish(js)
        await wait_until_acknowledged(js)
    assert handler.handled == [TICKET]
    assert await stored(js, "DEAD") == []


async def test_a_message_that_cannot_be_dead_lettered_is_redelivered(
    server: Nats, js: JetStreamContext
) -> None:
    await js.delete_stream("DEAD")
    handler = Recorder()
    async with listening(server.url, handler):
        await publish(js, b"not json")
        info = await until(
            lambda: js.consumer_info("EVENTS", "orders-ticket-created"), lambda info: info.num_redelivered
        )
        assert info.num_ack_pending == 1
        await provision(js)
        await wait_until_acknowledged(js)
    assert len(await stored(js, "DEAD")) == 1


async def test_a_handler_that_hangs_is_cancelled_and_its_event_redelivered(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "HANDLER_SECONDS", 0.05)
    calls = 0

    async def hang_once(event: TicketCreated) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()

    async with listening(server.url, hang_once):
        await publish(js)
        await wait_until_acknowledged(js)
    assert calls == 2


async def test_a_handler_that_hangs_does_not_delay_other_events(server: Nats, js: JetStreamContext) -> None:
    released, handled = asyncio.Event(), asyncio.Event()

    async def handler(event: TicketCreated) -> None:
        if event.version == 0:
            await released.wait()
        else:
            handled.set()

    async with listening(server.url, handler):
        await publish(js)
        await publish(js, TICKET.model_copy(update={"version": 1}).to_json().encode())
        async with asyncio.timeout(TIMEOUT):
            await handled.wait()
        released.set()
        await wait_until_acknowledged(js)


async def test_the_same_event_published_twice_is_delivered_once(server: Nats, js: JetStreamContext) -> None:
    handler = Recorder()
    async with listening(server.url, handler):
        await publish(js, headers={"Nats-Msg-Id": "the same"})
        await publish(js, headers={"Nats-Msg-Id": "the same"})
        await wait_until_acknowledged(js)
    assert len(handler.handled) == 1


async def test_control_without_a_message_id_the_same_event_is_delivered_twice(
    server: Nats, js: JetStreamContext
) -> None:
    handler = Recorder()
    async with listening(server.url, handler):
        await publish(js)
        await publish(js)
        await wait_until_acknowledged(js)
    assert len(handler.handled) == 2


async def shorten_ack_wait(js: JetStreamContext) -> None:
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    info.config.ack_wait = 0.5
    await js.add_consumer("EVENTS", info.config)


async def test_an_event_whose_acknowledgement_fails_is_delivered_again(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await shorten_ack_wait(js)
    ack, failures = Msg.ack, [nats.errors.ConnectionClosedError()]

    async def fail_once(message: Msg) -> None:
        if failures:
            raise failures.pop()
        await ack(message)

    monkeypatch.setattr(Msg, "ack", fail_once)
    handler = Recorder()
    async with listening(server.url, handler, logger=logging.getLogger("bus")):
        await publish(js)
        await wait_until_acknowledged(js)
    assert handler.handled == [TICKET, TICKET]
    assert await stored(js, "DEAD") == []
    assert "ConnectionClosedError" in caplog.text


async def test_an_event_is_redelivered_after_the_death_of_the_process_that_handled_it(
    server: Nats, js: JetStreamContext
) -> None:
    await shorten_ack_wait(js)
    started = asyncio.Event()

    async def end_without_acknowledgement(event: TicketCreated) -> None:
        started.set()
        raise asyncio.CancelledError

    async with listening(server.url, end_without_acknowledgement):
        await publish(js)
        async with asyncio.timeout(TIMEOUT):
            await started.wait()
    handler = Recorder()
    async with listening(server.url, handler):
        await wait_until_acknowledged(js)
    assert handler.handled[0] == TICKET  # twice if the acknowledgement takes longer than half a second


async def test_a_replayed_dead_letter_is_handled_and_deleted(server: Nats, js: JetStreamContext) -> None:
    handler = Recorder(*[RuntimeError("a bug")] * delivery.MAX_ATTEMPTS)
    await publish(js, headers={"Nats-Msg-Id": "seven", "ce-id": "seven"})
    async with listening(server.url, handler):
        (letter,) = await until(lambda: stored(js, "DEAD"), len)
        assert letter.subject == "dead.orders.ticket.created"
        await dead_letters.replay(js, letter)
        await wait_until_acknowledged(js)
    assert handler.handled == [TICKET]
    assert await stored(js, "DEAD") == []
    replayed = (await stored(js, "EVENTS"))[-1]
    assert (replayed.headers or {})["ce-id"] == "seven"
    assert DeadLetter.ERROR not in (replayed.headers or {})


async def test_dead_letters_are_listed_shown_and_dropped(server: Nats, js: JetStreamContext) -> None:
    settings = Settings.model_validate({"nats_url": server.url})

    async def show(number: str) -> list[str]:
        return [line async for line in dead_letters.each(settings, [number], dead_letters.show)]

    assert [line async for line in dead_letters.listing(settings)] == ["No dead letters."]
    async with listening(server.url, Recorder()):
        await publish(js, b"not json")
        await until(lambda: stored(js, "DEAD"), len)
    (listed,) = [line async for line in dead_letters.listing(settings)]
    assert "orders-ticket-created" in listed
    (text,) = await show("1")
    assert "not json" in text
    dropped = [line async for line in dead_letters.each(settings, ["all"], dead_letters.drop)]
    assert dropped == ["1 is deleted."]
    assert await stored(js, "DEAD") == []
    with pytest.raises(CommandError, match="no dead letter 1"):
        await show("1")


async def test_a_failed_handler_causes_one_warning_with_the_reason(
    server: Nats, js: JetStreamContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(server.url, Recorder(RuntimeError("a reason")), logging.getLogger("bus")):
        await publish(js)
        await wait_until_acknowledged(js)
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert warning.getMessage().startswith("ticket.created failed, attempt 1, next attempt in")
    assert "a reason" in caplog.text
