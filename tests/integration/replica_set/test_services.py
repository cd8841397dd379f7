"""What services answer while no majority has their writes: nothing that a failover could prove wrong."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pymongo.errors import WTimeoutError

import kit.mongo
from kit.errors import NotFound, Unavailable
from kit.mongo import MAJORITY, database
from kit.stripe.client import SANDBOX_KEY
from sandbox.testing import free_port
from services.orders import actions
from services.orders.documents import TicketReplica
from services.payments.documents import Payment
from settings import Settings
from streams.processes import DATABASES
from tests.integration.conftest import Sandbox
from tests.integration.services.test_webhook import event_about
from tests.support.events import on_sale
from tests.support.op_msg import Document
from tests.support.payments import PaymentsService
from tests.support.polling import TIMEOUT
from tests.support.replica_set import ReplicaSet
from tests.support.service import Served, SettingsWith, documents_of, new_id, serving
from tests.support.stripe_sandbox import client
from tests.support.webhooks import SECRET, deliver, signature

PaymentsWith = Callable[..., AbstractAsyncContextManager[PaymentsService]]

ANN, BOB = new_id(), new_id()
STATE = {"title": "Hamlet", "price_minor": 1999, "user_id": new_id(), "status": "available"}


@pytest.fixture(autouse=True)
def short_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writes wait for a majority only briefly."""
    monkeypatch.setattr(actions, "MAX_SECONDS", 0.05)
    monkeypatch.setattr(kit.mongo, "MAJORITY", {**MAJORITY, "wTimeoutMS": 100})


@pytest.fixture
def settings_with(members: ReplicaSet, tmp_path: Path) -> SettingsWith:
    def make(**changes: Any) -> Settings:
        given = {
            "data_dir": tmp_path,
            "mongo_url": members.url,
            "nats_url": f"nats://127.0.0.1:{free_port()}",
            "reconcile_seconds": 3600,
            # Counting requests would fail before the writes that the tests are about.
            **dict.fromkeys((name for name in Settings.model_fields if name.startswith("rate_")), 0),
            **changes,
        }
        return Settings(_env_file=None, **given)

    return make


@pytest_asyncio.fixture(loop_scope="session")
async def orders(settings_with: SettingsWith) -> AsyncIterator[Served]:
    async with serving("orders", settings_with()) as served:
        yield served


@pytest.fixture
def payments_with(
    settings_with: SettingsWith, shared_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> PaymentsWith:
    """A function that runs payments. Options replace those of the connection to the database."""

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[PaymentsService]:
        monkeypatch.setattr(kit.mongo, "MAJORITY", {**kit.mongo.MAJORITY, **options})
        url = shared_sandbox.url
        async with (
            serving("payments", settings_with(stripe_api_base=url, stripe_webhook_secret=SECRET)) as served,
            client(url, key=SANDBOX_KEY) as shop,
        ):
            yield PaymentsService(served, shop, url)

    return run


@pytest_asyncio.fixture(loop_scope="session")
async def payments(payments_with: PaymentsWith) -> AsyncIterator[PaymentsService]:
    async with payments_with() as service:
        yield service


async def reserve(orders: Served, ticket: str, by: str = ANN) -> tuple[int, str | None]:
    """The status and the id of the order."""
    answer = await orders.ask("POST", "/api/orders", by=by, json={"ticketId": ticket})
    return answer.status_code, answer.json().get("id")


# --- Connections ---


@pytest.mark.parametrize("name", DATABASES)
async def test_options_of_the_url_cannot_weaken_the_concerns_of_any_collection(
    members: ReplicaSet, name: Any
) -> None:
    weak = f"{members.url}&w=0&journal=false&readConcernLevel=local&readPreference=secondaryPreferred"
    async with database(weak, name, documents_of(name)):
        for kind in documents_of(name):
            collection = kind.get_pymongo_collection()
            assert collection.write_concern.document == {"w": "majority", "j": True, "wtimeout": 100}
            assert collection.read_concern.level == "majority"
            assert collection.read_preference.mongos_mode == "primary"


# --- Reservations ---


async def test_a_reservation_without_a_majority_is_neither_confirmed_nor_lost(
    members: ReplicaSet, orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = await on_sale()
    members.stop_replication()
    assert await reserve(orders, ticket) == (503, None)
    assert await reserve(orders, ticket) == (503, None)  # not 409, because the order may be this buyer's
    assert await reserve(orders, ticket, BOB) == (503, None)
    await members.replicate()
    monkeypatch.setattr(actions, "MAX_SECONDS", TIMEOUT)
    status, order = await reserve(orders, ticket)
    assert (status, await reserve(orders, ticket, BOB)) == (200, (409, None))
    (stored,) = await orders.database["orders"].find({"ticket_id": ticket}).to_list()
    assert (str(stored["_id"]), len(stored["outbox"])) == (order, 1)


async def test_a_ticket_does_not_count_as_taken_by_an_order_that_may_be_rolled_back(
    members: ReplicaSet, orders: Served
) -> None:
    ticket = await on_sale()
    members.stop_replication()
    # Its hold number is another one, so that only the index of the ticket is violated.
    other = {"ticket_id": ticket, "hold": 7, "user_id": BOB, "slot": 1, "active": True, "live": True}
    with pytest.raises(WTimeoutError):
        await orders.database["orders"].insert_one(other)
    assert await reserve(orders, ticket) == (503, None)
    await members.fail_over()
    assert (await reserve(orders, ticket))[0] == 201


async def two_reservations_around_a_failover(members: ReplicaSet, orders: Served) -> list[int]:
    """The statuses of Ann's request, which no majority has when the primary fails, and of Bob's after it."""
    ticket = await on_sale()
    members.stop_replication()
    ann, _ = await reserve(orders, ticket)
    await members.fail_over()
    bob, _ = await reserve(orders, ticket, BOB)
    return [ann, bob]


async def test_a_reservation_that_is_rolled_back_was_not_confirmed(
    members: ReplicaSet, orders: Served
) -> None:
    assert await two_reservations_around_a_failover(members, orders) == [503, 201]


async def test_control_with_w_1_two_buyers_get_the_same_ticket(
    members: ReplicaSet, settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.mongo, "MAJORITY", {**MAJORITY, "w": 1})
    async with serving("orders", settings_with()) as orders:
        assert await two_reservations_around_a_failover(members, orders) == [201, 201]


# --- Payments ---


async def test_a_payment_without_a_majority_is_not_begun_at_stripe(
    members: ReplicaSet, payments: PaymentsService
) -> None:
    order = await payments.order()
    members.stop_replication()
    assert (await payments.pay(order)).status_code == 503
    assert (await payments.pay(order)).status_code == 503
    assert await payments.intents(order) == []
    await members.replicate()
    assert (await payments.pay(order)).status_code == 201
    assert await Payment.find({"order_id": order.id}).count() == 1
    assert await payments.statuses(order) == ["requires_capture"]


async def test_control_with_w_1_stripe_holds_money_for_a_payment_that_is_rolled_back(
    members: ReplicaSet, payments_with: PaymentsWith
) -> None:
    async with payments_with(w=1) as payments:
        order = await payments.order()
        members.stop_replication()
        assert (await payments.pay(order)).status_code == 201
        await members.fail_over()
        assert await Payment.find({"order_id": order.id}).count() == 0
        assert await payments.statuses(order) == ["requires_capture"]


async def test_a_payment_whose_intent_is_rolled_back_ends_with_one_intent(
    members: ReplicaSet, payments: PaymentsService
) -> None:
    order = await payments.order()

    def stop_after_insert(command: Document) -> bool:
        if command.get("insert") == "payments":
            members.stop_replication()
        return False

    members.after_write = stop_after_insert
    assert (await payments.pay(order)).status_code == 503
    assert await payments.statuses(order) == ["requires_payment_method"]
    members.after_write = None
    await members.fail_over()
    assert (await payments.stored(order))["intent_id"] is None
    await payments.reconcile()
    assert await payments.statuses(order) == ["requires_capture"]
    assert (await payments.shown(order))["status"] == "authorized"


# --- Conflicts with a write that no majority has ---


async def test_an_event_is_not_acknowledged_because_of_a_replica_that_may_be_rolled_back(
    members: ReplicaSet, orders: Served
) -> None:
    key = new_id()
    members.stop_replication()
    with pytest.raises(WTimeoutError):
        await TicketReplica.follow(key, 1, STATE)
    with pytest.raises(Unavailable):
        await TicketReplica.follow(key, 1, STATE)
    await members.fail_over()
    await TicketReplica.follow(key, 1, STATE)
    assert (await TicketReplica.stored(key)).version == 1


async def test_control_with_local_reads_an_event_is_acknowledged_whose_replica_is_rolled_back(
    members: ReplicaSet, settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.mongo, "MAJORITY", {**kit.mongo.MAJORITY, "readConcernLevel": "local"})
    async with serving("orders", settings_with()):
        key = new_id()
        members.stop_replication()
        with pytest.raises(WTimeoutError):
            await TicketReplica.follow(key, 1, STATE)
        await TicketReplica.follow(key, 1, STATE)
        await members.fail_over()
        with pytest.raises(NotFound):
            await TicketReplica.stored(key)


async def test_a_webhook_is_not_acknowledged_because_of_an_event_that_may_be_rolled_back(
    members: ReplicaSet, payments: PaymentsService
) -> None:
    body = event_about({"object": "payment_intent", "id": "pi_1", "status": "requires_capture"})

    async def status() -> int:
        return (await deliver(payments, body, signature(body))).status_code

    members.stop_replication()
    assert [await status(), await status()] == [503, 503]
    await members.fail_over()
    assert (await status(), await payments.served.database["webhook_events"].count_documents({})) == (200, 1)


async def test_a_repeated_listing_is_not_confirmed_before_a_majority_has_the_first(
    members: ReplicaSet, settings_with: SettingsWith
) -> None:
    async with serving("tickets", settings_with()) as tickets:

        async def offer() -> int:
            headers, body = {"Idempotency-Key": "a" * 16}, {"title": "Hamlet", "price": 10}
            answer = await tickets.ask("POST", "/api/tickets", by=ANN, headers=headers, json=body)
            return answer.status_code

        members.stop_replication()
        assert [await offer(), await offer()] == [503, 503]
        await members.replicate()
        assert [await offer(), await tickets.database["tickets"].count_documents({})] == [201, 1]
