"""Webhooks of the sandbox: signatures, retries, and faults on demand."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import stripe

from sandbox.stripe.events import webhooks
from sandbox.stripe.events.log import EventLog
from sandbox.stripe.events.webhooks import MAX_TRIES, Endpoint, Webhooks, delay
from sandbox.stripe.faults import Faults, FaultSettings, WebhookFault
from sandbox.stripe.state import Event, Line, Session
from sandbox.stripe.store import Store
from sandbox.testing import free_port, running, without_kill_timeout
from tests.integration.sandbox.receiver import Receiver, receiving
from tests.integration.sandbox.test_events import store_session
from tests.support.polling import TIMEOUT, until
from tests.support.stripe_sandbox import HTTPX_WARNING, WEBHOOK_SECRET, client, opened, paid_by, process

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

EVENT_TYPES = {"payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated"}


@asynccontextmanager
async def sandbox_with_webhooks(
    folder: Path, shop_url: str, stop: signal.Signals = signal.SIGKILL
) -> AsyncIterator[stripe.StripeClient]:
    """Run a sandbox that sends webhooks to this shop, and yield a client of the sandbox."""
    port = free_port()
    server = without_kill_timeout(process(port, folder, shop=shop_url))
    async with running(server, folder / "log", stop), client(f"http://127.0.0.1:{port}") as shop:
        yield shop


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_each_event_is_delivered_once_with_a_signature(tmp_path: Path, receiver: Receiver) -> None:
    async with sandbox_with_webhooks(tmp_path, receiver.url) as shop:
        await paid_by("tok_visa", shop)
        deliveries = [await receiver.next() for _ in EVENT_TYPES]
        assert {delivery.event["type"] for delivery in deliveries} == EVENT_TYPES
        for delivery in deliveries:
            event = stripe.Webhook.construct_event(delivery.body, delivery.signature, WEBHOOK_SECRET)
            assert event.to_dict() == delivery.event
            assert delivery.event["pending_webhooks"] == 1
            with pytest.raises(stripe.SignatureVerificationError):
                stripe.Webhook.construct_event(delivery.body, delivery.signature, "another")
        # No event is delivered a second time: the next webhook belongs to the next payment.
        await opened(shop)
        assert (await receiver.next()).id not in {delivery.id for delivery in deliveries}
        async with asyncio.timeout(TIMEOUT):
            while (await shop.v1.events.retrieve_async(deliveries[0].id)).pending_webhooks:
                pass


@pytest.mark.parametrize("status", [500, 400, 302])
async def test_a_failed_delivery_is_repeated_with_a_new_signature(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    receiver.statuses = [status]
    async with sandbox_with_webhooks(tmp_path, receiver.url) as shop:
        await opened(shop)
        first, again = await receiver.next(), await receiver.next()
        assert (first.id, first.body) == (again.id, again.body)
        stripe.Webhook.construct_event(again.body, again.signature, WEBHOOK_SECRET)


async def test_a_webhook_without_an_answer_does_not_delay_others(tmp_path: Path, receiver: Receiver) -> None:
    receiver.unanswered = {"payment_intent.created"}
    async with sandbox_with_webhooks(tmp_path, receiver.url, signal.SIGTERM) as shop:
        await paid_by("tok_visa", shop)
        assert {(await receiver.next()).event["type"] for _ in EVENT_TYPES} == EVENT_TYPES
    assert (tmp_path / "log").read_text() == ""


async def test_undelivered_webhooks_survive_a_kill(tmp_path: Path) -> None:
    port = free_port()
    async with sandbox_with_webhooks(tmp_path, f"http://127.0.0.1:{port}") as shop:
        intent = await paid_by("tok_visa", shop)
    async with receiving(port) as receiver, sandbox_with_webhooks(tmp_path, receiver.url):
        deliveries = [await receiver.next() for _ in EVENT_TYPES]
    assert {delivery.event["type"] for delivery in deliveries} == EVENT_TYPES
    assert intent.id in {delivery.event["data"]["object"]["id"] for delivery in deliveries}


async def test_an_unreachable_shop_is_logged_once_and_retried(tmp_path: Path) -> None:
    port = free_port()
    async with sandbox_with_webhooks(tmp_path, f"http://127.0.0.1:{port}", signal.SIGTERM) as shop:
        for _ in range(10):
            await opened(shop)
        async with receiving(port) as receiver:
            deliveries = [await receiver.next() for _ in range(10)]
        assert len({delivery.id for delivery in deliveries}) == 10
    lines = (tmp_path / "log").read_text().splitlines()
    assert ["webhooks are paused" in line for line in lines] == [True]


async def test_a_session_expires_on_time_even_without_requests_to_the_sandbox(
    tmp_path: Path, receiver: Receiver
) -> None:
    line = Line("li_1", "A night out", 1999, 1)
    await store_session(
        tmp_path, Session("cs_test_1", 1, int(time.time()) + 1, "usd", (line,), "http://shop.test/")
    )
    async with sandbox_with_webhooks(tmp_path, receiver.url):
        delivery = await receiver.next_of("checkout.session.expired")
    assert delivery.event["data"]["object"]["status"] == "expired"


def test_delays_between_deliveries_grow_to_about_five_minutes() -> None:
    for tries, average in ((1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1000, 300)):
        assert average * 0.75 <= delay(tries) <= average * 1.25


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "stripe.sqlite3")
    await store.open()
    event = Event("evt_1", "charge.captured", 1, "{}", None, None)
    await store.run(lambda ledger: EventLog(ledger.connection).append(event, now=1, endpoints=["payments"]))
    yield store
    await store.close()


async def is_pending(store: Store) -> bool:
    event = await store.run(lambda ledger: EventLog(ledger.connection).find("evt_1"))
    assert event is not None
    return event.pending > 0


async def test_a_webhook_is_given_up_after_fifteen_failed_deliveries(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhooks, "MAX_DELAY", 0)
    monkeypatch.setattr(webhooks, "delay", lambda tries: 0.0)
    receiver.statuses = [500] * MAX_TRIES
    task = asyncio.create_task(
        Webhooks(
            store, Endpoint(f"{receiver.url}/api/payments/webhook", "s"), Faults(FaultSettings())
        ).deliver()
    )
    for _ in range(MAX_TRIES):
        assert (await receiver.next()).id == "evt_1"
    async with asyncio.timeout(TIMEOUT):
        while await is_pending(store):
            pass
    task.cancel()
    assert "giving up on webhook evt_1 (charge.captured)" in caplog.text


async def test_old_events_are_deleted_with_their_deliveries(store: Store) -> None:
    await store.run(lambda ledger: EventLog(ledger.connection).forget(1))
    assert await is_pending(store)
    await store.run(lambda ledger: EventLog(ledger.connection).forget(2))
    assert await store.run(lambda ledger: EventLog(ledger.connection).find("evt_1")) is None
    assert await store.run(lambda ledger: EventLog(ledger.connection).due("payments", 2, 9)) == []


@asynccontextmanager
async def webhook_fault(store: Store, receiver: Receiver, kind: WebhookFault) -> AsyncIterator[Faults]:
    """Deliver the stored webhooks with this fault until the block ends."""
    faults = Faults(FaultSettings(rate=1, kinds=(kind,)))
    endpoint = Endpoint(f"{receiver.url}/api/payments/webhook", "s")
    task = asyncio.create_task(Webhooks(store, endpoint, faults).deliver())
    try:
        yield faults
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_fault_webhook_repeated_delivers_a_webhook_twice(store: Store, receiver: Receiver) -> None:
    async with webhook_fault(store, receiver, "webhook_repeated"):
        assert [(await receiver.next()).id for _ in range(2)] == ["evt_1", "evt_1"]
        await until(lambda: is_pending(store), lambda pending: not pending)


async def test_the_fault_webhook_lost_prevents_the_delivery(store: Store, receiver: Receiver) -> None:
    async with webhook_fault(store, receiver, "webhook_lost"):
        await until(lambda: is_pending(store), lambda pending: not pending)
    assert receiver.deliveries.empty()


async def test_the_fault_webhook_late_postpones_the_delivery_until_the_fault_ends(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    postponed = asyncio.Event()

    def no_delay(_: int) -> float:
        postponed.set()
        return 0.0

    monkeypatch.setattr(webhooks, "delay", no_delay)
    async with webhook_fault(store, receiver, "webhook_late") as faults:
        await postponed.wait()
        assert receiver.deliveries.empty()
        faults.configure(FaultSettings())
        assert (await receiver.next()).id == "evt_1"
