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
from sandbox.stripe.events.webhooks import MOST_TRIES, Endpoint, Webhooks, delay
from sandbox.stripe.state import Event, Line, Session
from sandbox.stripe.store import Store
from sandbox.testing import free_port, never_killed, running
from tests.people import PATIENCE
from tests.sandbox.receiver import Receiver, receiving
from tests.sandbox.served import STRIPES_OWN, WEBHOOK_SECRET, client, opened, paid_by, process
from tests.sandbox.test_events import keep

pytestmark = pytest.mark.filterwarnings(STRIPES_OWN)

THREE = {"payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated"}


@asynccontextmanager
async def telling(
    folder: Path, shop_url: str, stop: signal.Signals = signal.SIGKILL
) -> AsyncIterator[stripe.StripeClient]:
    """A sandbox that posts to a shop."""
    port = free_port()
    server = never_killed(process(port, folder, shop=shop_url))
    async with running(server, folder / "log", stop), client(f"http://127.0.0.1:{port}") as shop:
        yield shop


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_each_event_arrives_once_and_signed(tmp_path: Path, receiver: Receiver) -> None:
    async with telling(tmp_path, receiver.url) as shop:
        await paid_by("tok_visa", shop)
        posts = [await receiver.next() for _ in THREE]
        assert {post.event["type"] for post in posts} == THREE
        for post in posts:
            event = stripe.Webhook.construct_event(post.body, post.signature, WEBHOOK_SECRET)
            assert event.to_dict() == post.event
            assert post.event["pending_webhooks"] == 1
            with pytest.raises(stripe.SignatureVerificationError):
                stripe.Webhook.construct_event(post.body, post.signature, "another")
        # Whatever comes next is of the next payment.
        await opened(shop)
        assert (await receiver.next()).id not in {post.id for post in posts}
        async with asyncio.timeout(PATIENCE):
            while (await shop.v1.events.retrieve_async(posts[0].id)).pending_webhooks:
                pass


@pytest.mark.parametrize("status", [500, 400, 302])
async def test_anything_but_success_is_repeated_with_a_fresh_signature(
    tmp_path: Path, receiver: Receiver, status: int
) -> None:
    receiver.answers = [status]
    async with telling(tmp_path, receiver.url) as shop:
        await opened(shop)
        first, again = await receiver.next(), await receiver.next()
        assert (first.id, first.body) == (again.id, again.body)
        stripe.Webhook.construct_event(again.body, again.signature, WEBHOOK_SECRET)


async def test_a_shop_that_does_not_answer_holds_up_nothing_else(tmp_path: Path, receiver: Receiver) -> None:
    receiver.held = {"payment_intent.created"}
    async with telling(tmp_path, receiver.url, signal.SIGTERM) as shop:
        await paid_by("tok_visa", shop)
        assert {(await receiver.next()).event["type"] for _ in THREE} == THREE
    assert (tmp_path / "log").read_text() == ""


async def test_what_could_not_be_delivered_survives_a_kill(tmp_path: Path) -> None:
    port = free_port()
    async with telling(tmp_path, f"http://127.0.0.1:{port}") as shop:
        intent = await paid_by("tok_visa", shop)
    async with receiving(port) as receiver, telling(tmp_path, receiver.url):
        posts = [await receiver.next() for _ in THREE]
    assert {post.event["type"] for post in posts} == THREE
    assert intent.id in {post.event["data"]["object"]["id"] for post in posts}


async def test_a_shop_that_cannot_be_reached_is_waited_for_quietly(tmp_path: Path) -> None:
    port = free_port()
    async with telling(tmp_path, f"http://127.0.0.1:{port}", signal.SIGTERM) as shop:
        for _ in range(10):
            await opened(shop)
        async with receiving(port) as receiver:
            posts = [await receiver.next() for _ in range(10)]
        assert len({post.id for post in posts}) == 10
    lines = (tmp_path / "log").read_text().splitlines()
    assert ["webhooks wait" in line for line in lines] == [True]


async def test_a_session_that_nobody_looks_at_is_told_of_when_its_time_is_up(
    tmp_path: Path, receiver: Receiver
) -> None:
    line = Line("li_1", "A night out", 1999, 1)
    await keep(tmp_path, Session("cs_test_1", 1, int(time.time()) + 1, "usd", (line,), "http://shop.test/"))
    async with telling(tmp_path, receiver.url):
        post = await receiver.next_of("checkout.session.expired")
    assert post.event["data"]["object"]["status"] == "expired"


def test_delays_grow_up_to_five_minutes() -> None:
    for tries, usual in ((1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1000, 300)):
        assert usual * 0.75 <= delay(tries) <= usual * 1.25


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "stripe.sqlite3")
    await store.open()
    event = Event("evt_1", "charge.captured", 1, "{}", None, None, pending=True)
    await store.run(lambda ledger: EventLog(ledger.connection).append(event, now=1))
    yield store
    await store.close()


async def pending(store: Store) -> bool:
    event = await store.run(lambda ledger: EventLog(ledger.connection).find("evt_1"))
    assert event is not None
    return event.pending


async def test_after_fifteen_refusals_an_event_is_given_up(
    store: Store, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(webhooks, "LONGEST_DELAY", 0)
    monkeypatch.setattr(webhooks, "delay", lambda tries: 0.0)
    receiver.answers = [500] * MOST_TRIES
    delivering = asyncio.create_task(
        Webhooks(store, Endpoint(f"{receiver.url}/api/payments/webhook", "s")).deliver()
    )
    for _ in range(MOST_TRIES):
        assert (await receiver.next()).id == "evt_1"
    async with asyncio.timeout(PATIENCE):
        while await pending(store):
            pass
    delivering.cancel()
    assert "evt_1 (charge.captured) is given up" in caplog.text


async def test_old_events_are_forgotten_with_what_was_to_be_delivered_of_them(store: Store) -> None:
    await store.run(lambda ledger: EventLog(ledger.connection).forget(1))
    assert await pending(store)
    await store.run(lambda ledger: EventLog(ledger.connection).forget(2))
    assert await store.run(lambda ledger: EventLog(ledger.connection).find("evt_1")) is None
    assert await store.run(lambda ledger: EventLog(ledger.connection).due(2, 9)) == []
