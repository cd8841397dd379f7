"""What a handler does with a message decides whether it comes again, is buried or is done."""

import asyncio
import json

import nats.errors
import pytest
from nats.js import JetStreamContext
from pydantic import ValidationError
from pymongo.errors import AutoReconnect, OperationFailure

from contracts.events import TicketCreated
from services.kit.errors import Unavailable
from streams import dead, delivery
from streams.delivery import DeadLetter, Delivery
from streams.topology import provision
from tests.people import PATIENCE, until
from tests.streams.conftest import TICKET, Nats, listening, publish, stored, unsettled


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(delivery, "MAX_DELAY_SECONDS", 0.05)


class Heard:
    """A handler that fails as often as it's told to, and remembers what it handled."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.calls = 0
        self.handled: list[TicketCreated] = []

    async def __call__(self, event: TicketCreated) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        self.handled.append(event)


async def settled(js: JetStreamContext) -> None:
    await until(lambda: unsettled(js), lambda left: left == 0)


async def test_an_event_is_handled_and_acknowledged(server: Nats, js: JetStreamContext) -> None:
    heard = Heard()
    async with listening(server.url, heard):
        await publish(js)
        await settled(js)
    assert heard.handled == [TICKET]


async def test_eight_events_are_handled_at_once(server: Nats, js: JetStreamContext) -> None:
    """Most handlers wait for somebody else most of the time."""
    together = asyncio.Barrier(8)

    async def handle(event: TicketCreated) -> None:
        await together.wait()

    async with listening(server.url, handle):
        for _ in range(8):
            await publish(js)
        await settled(js)


async def test_a_handler_that_raises_gets_the_event_again(server: Nats, js: JetStreamContext) -> None:
    heard = Heard(RuntimeError("once"), RuntimeError("twice"))
    async with listening(server.url, heard):
        await publish(js)
        await settled(js)
    assert (heard.calls, heard.handled) == (3, [TICKET])
    assert await stored(js, "DEAD") == []


async def test_with_faststreams_own_policy_the_same_event_is_lost(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test before: REJECT_ON_ERROR, which ends a message whose handler raised."""

    async def give_up(delivery: Delivery, *_: object) -> bool:
        await delivery.msg.term()
        return True

    monkeypatch.setattr(Delivery, "after_processed", give_up)
    heard = Heard(RuntimeError("once"))
    async with listening(server.url, heard):
        await publish(js)
        await settled(js)
    assert heard.handled == []


async def test_a_body_that_is_no_json_is_buried_and_the_next_event_is_handled(
    server: Nats, js: JetStreamContext
) -> None:
    heard = Heard()
    async with listening(server.url, heard):
        await publish(js, b"\x00 not json")
        await publish(js)
        await settled(js)
        await until(lambda: stored(js, "DEAD"), len)
    assert heard.handled == [TICKET]
    (letter,) = await stored(js, "DEAD")
    assert letter.data == b"\x00 not json"
    assert letter.subject == "dead.orders-ticket-created.ticket.created"
    assert letter.headers is not None
    assert letter.headers[DeadLetter.SUBJECT] == "ticket.created"
    assert letter.headers[DeadLetter.ATTEMPTS] == "1"
    assert letter.headers[DeadLetter.ERROR]


async def test_a_body_that_lacks_a_field_is_buried_at_once(server: Nats, js: JetStreamContext) -> None:
    heard = Heard()
    async with listening(server.url, heard):
        await publish(js, b'{"id": "aaaaaaaaaaaaaaaaaaaaaaaa"}')
        await settled(js)
    assert heard.calls == 0
    (letter,) = await stored(js, "DEAD")
    assert "version" in (letter.headers or {})[DeadLetter.ERROR]


@pytest.mark.parametrize(
    "error",
    [ValueError("never works"), OperationFailure("never works", code=2)],
    ids=lambda error: type(error).__name__,
)
async def test_an_event_that_always_fails_is_buried_after_its_last_attempt(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(delivery, "MAX_ATTEMPTS", 3)
    heard = Heard(*[error] * 10)
    async with listening(server.url, heard):
        await publish(js)
        await settled(js)
    assert heard.calls == 3
    (letter,) = await stored(js, "DEAD")
    assert (letter.headers or {})[DeadLetter.ERROR] == f"{type(error).__name__}: never works"
    assert (letter.headers or {})[DeadLetter.ATTEMPTS] == "3"


def stored_document_that_cannot_be_read() -> ValueError:
    with pytest.raises(ValidationError) as found:
        TicketCreated.model_validate({"id": "one from before the first release"})
    return found.value


@pytest.mark.parametrize(
    "error",
    [
        stored_document_that_cannot_be_read(),
        json.JSONDecodeError("an answer that isn't JSON", "", 0),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "an answer that isn't text"),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_handlers_own_trouble_with_data_does_not_bury_a_sound_event(
    server: Nats, js: JetStreamContext, error: Exception
) -> None:
    heard = Heard(error, error)
    async with listening(server.url, heard):
        await publish(js)
        await settled(js)
    assert (heard.calls, heard.handled) == (3, [TICKET])
    assert await stored(js, "DEAD") == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"version": ' + b"9" * 5_000 + b"}", b'"\xff"'])
async def test_a_body_that_cannot_be_decoded_in_any_way_is_buried_at_once(
    server: Nats, js: JetStreamContext, body: bytes
) -> None:
    heard = Heard()
    async with listening(server.url, heard):
        await publish(js, body)
        await settled(js)
    assert heard.calls == 0
    (letter,) = await stored(js, "DEAD")
    assert (letter.headers or {})[DeadLetter.ATTEMPTS] == "1"


@pytest.mark.parametrize(
    "outage",
    [
        Unavailable(),
        AutoReconnect("the database is away"),
        OperationFailure("the database's disk is full", code=1),
        nats.errors.TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_is_nobodys_fault_and_buries_nothing(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch, outage: Exception
) -> None:
    monkeypatch.setattr(delivery, "MAX_ATTEMPTS", 3)
    heard = Heard(*[outage] * 6)
    async with listening(server.url, heard):
        await publish(js)
        await settled(js)
    assert heard.handled == [TICKET]
    assert await stored(js, "DEAD") == []


async def test_what_cannot_be_buried_is_kept(server: Nats, js: JetStreamContext) -> None:
    await js.delete_stream("DEAD")
    heard = Heard()
    async with listening(server.url, heard):
        await publish(js, b"not json")
        info = await until(
            lambda: js.consumer_info("EVENTS", "orders-ticket-created"), lambda info: info.num_redelivered
        )
        assert info.num_ack_pending == 1
        await provision(js)
        await settled(js)
    assert len(await stored(js, "DEAD")) == 1


async def test_a_handler_that_hangs_is_stopped_and_tried_again(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "HANDLER_SECONDS", 0.05)
    calls = 0

    async def hangs_once(event: TicketCreated) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.Event().wait()

    async with listening(server.url, hangs_once):
        await publish(js)
        await settled(js)
    assert calls == 2


async def test_one_that_fails_keeps_no_other_waiting(server: Nats, js: JetStreamContext) -> None:
    stuck, done = asyncio.Event(), asyncio.Event()

    async def handler(event: TicketCreated) -> None:
        if event.version == 0:
            await stuck.wait()
        else:
            done.set()

    async with listening(server.url, handler):
        await publish(js)
        await publish(js, TICKET.model_copy(update={"version": 1}).to_json().encode())
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        stuck.set()
        await settled(js)


async def test_the_same_event_published_twice_is_delivered_once(server: Nats, js: JetStreamContext) -> None:
    heard = Heard()
    async with listening(server.url, heard):
        await publish(js, headers={"Nats-Msg-Id": "the same"})
        await publish(js, headers={"Nats-Msg-Id": "the same"})
        await settled(js)
    assert len(heard.handled) == 1


async def test_without_an_id_the_same_event_is_delivered_twice(server: Nats, js: JetStreamContext) -> None:
    """The control of the test before."""
    heard = Heard()
    async with listening(server.url, heard):
        await publish(js)
        await publish(js)
        await settled(js)
    assert len(heard.handled) == 2


async def test_what_a_dead_process_was_handling_comes_again(server: Nats, js: JetStreamContext) -> None:
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    info.config.ack_wait = 0.5
    await js.add_consumer("EVENTS", info.config)
    began = asyncio.Event()

    async def dies(event: TicketCreated) -> None:
        began.set()
        raise asyncio.CancelledError

    async with listening(server.url, dies):
        await publish(js)
        async with asyncio.timeout(PATIENCE):
            await began.wait()
    heard = Heard()
    async with listening(server.url, heard):
        await settled(js)
    assert heard.handled[0] == TICKET  # and once more, should its acknowledgement take half a second


async def test_a_dead_letter_that_is_replayed_is_handled_and_forgotten(
    server: Nats, js: JetStreamContext
) -> None:
    heard = Heard()
    await publish(js, b"not json", headers={"Nats-Msg-Id": "seven", "ce-id": "seven"})
    async with listening(server.url, heard):
        (letter,) = await until(lambda: stored(js, "DEAD"), len)
        letter.data = TICKET.to_json().encode()  # as if the listener had been mended
        await dead.replay(js, letter)
        await settled(js)
    assert heard.handled == [TICKET]
    assert await stored(js, "DEAD") == []
    replayed = (await stored(js, "EVENTS"))[-1]
    assert (replayed.headers or {})["ce-id"] == "seven"
    assert DeadLetter.ERROR not in (replayed.headers or {})


async def test_dead_letters_are_listed_shown_and_dropped(
    server: Nats, js: JetStreamContext, capsys: pytest.CaptureFixture[str]
) -> None:
    await dead.run(js, "list", [])
    assert "No dead letters." in capsys.readouterr().out
    async with listening(server.url, Heard()):
        await publish(js, b"rubbish")
        await until(lambda: stored(js, "DEAD"), len)
    await dead.run(js, "list", [])
    assert "orders-ticket-created" in capsys.readouterr().out
    await dead.run(js, "show", ["1"])
    assert "rubbish" in capsys.readouterr().out
    await dead.run(js, "drop", ["all"])
    assert await stored(js, "DEAD") == []
    with pytest.raises(SystemExit, match="no dead letter 1"):
        await dead.run(js, "show", ["1"])


async def test_the_log_says_why_a_handler_failed(
    server: Nats, js: JetStreamContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(server.url, Heard(RuntimeError("a reason"))):
        await publish(js)
        await settled(js)
    assert "ticket.created failed, attempt 1" in caplog.text
    assert "a reason" in caplog.text
