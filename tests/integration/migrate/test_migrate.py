"""`just migrate` creates indexes without disturbing older instances, and drops them when those are gone."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from beanie import Document
from pymongo import AsyncMongoClient, IndexModel

import ops.migrate
import streams.orders
import streams.payments
from kit import indexes
from kit.lease import Lease
from kit.mongo import HALF_RESTORED, Database, connect
from ops import releases
from ops.migrate import NotMigrated, migrate
from sandbox.testing import free_port, mongo_server
from services.orders.documents import Order
from settings import Settings
from streams.processes import PROCESSES
from tests.support.operate import operate
from tests.support.polling import TIMEOUT

OLD = {"key": [["user_id", 1], ["live", 1]]}
"""An index of an earlier release."""


@pytest.fixture(autouse=True)
def two_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrate two services only, which is faster. The command migrates all."""
    monkeypatch.setattr(ops.migrate, "PROCESSES", (streams.orders.service, streams.payments.service))


@pytest.fixture
def settings(mongo: str) -> Settings:
    return Settings.model_validate({"mongo_url": mongo})


@pytest_asyncio.fixture
async def client(settings: Settings) -> AsyncIterator[AsyncMongoClient[dict[str, Any]]]:
    """A connection to the databases of all services, which are empty."""
    async with connect(settings.database) as client:
        for service in PROCESSES:
            await client.drop_database(service.name)
        yield client


@pytest.fixture
def orders(client: AsyncMongoClient[dict[str, Any]]) -> Database:
    return client["orders"]


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for releases. Orders had the index `old` in 1.0.0, and not in the two later releases."""
    monkeypatch.setattr(releases, "FOLDER", tmp_path)
    releases.released_indexes.cache_clear()
    for version in ("1.0.0", "1.9.0", "1.10.0"):
        releases.release(version, tmp_path)
    first = tmp_path / "1.0.0" / "indexes.json"
    content = json.loads(first.read_text())
    content["orders"]["orders"]["old"] = OLD
    first.write_text(json.dumps(content))
    yield tmp_path
    releases.released_indexes.cache_clear()


async def run(settings: Settings, **options: Any) -> list[str]:
    """Migrate, and return what the operator is told."""
    lines: list[str] = []
    await migrate(settings, lines.append, **options)
    return lines


async def names(database: Database, collection: str = "orders") -> set[str]:
    existing, _ = await indexes.stored(database, collection)
    return set(existing) - {"_id_"}


def needed() -> set[str]:
    return set(indexes.declared([Order])["orders"])


async def create_old(orders: Database, name: str = "old") -> None:
    await orders["orders"].create_index([("user_id", 1), ("live", 1)], name=name)


async def test_a_repeated_run_changes_nothing_and_writes_nothing(
    settings: Settings, orders: Database
) -> None:
    await run(settings)
    await orders["leases"].drop()
    assert await run(settings) == []
    assert "leases" not in await orders.list_collection_names()


async def test_a_dry_run_only_says_what_is_missing(settings: Settings, orders: Database) -> None:
    lines = await run(settings, dry_run=True)
    assert f"would create the index orders.orders.{min(needed())}" in lines
    assert await orders.list_collection_names() == []


async def test_an_upgrade_keeps_the_indexes_of_the_old_version(settings: Settings, orders: Database) -> None:
    await create_old(orders)
    await run(settings)
    assert await names(orders) == {"old", *needed()}


@pytest.mark.usefixtures("released")
async def test_contracting_drops_indexes_that_neither_this_nor_the_previous_version_needs(
    settings: Settings, orders: Database
) -> None:
    await create_old(orders)
    planned = await run(settings, contract=True, dry_run=True)
    assert set(planned) - set(await run(settings, dry_run=True)) == {"would drop the index orders.orders.old"}
    assert "old" in await names(orders)
    await run(settings, contract=True)
    assert await names(orders) == needed()
    assert await run(settings, contract=True) == []


async def test_contracting_keeps_the_indexes_of_the_previous_version(
    settings: Settings, orders: Database, released: Path
) -> None:
    """An operator can still return to that version."""
    (released / "1.10.0" / "indexes.json").unlink()
    (released / "1.10.0").rename(released / "0.9.0")
    (released / "0.9.0" / "indexes.json").write_text((released / "1.9.0" / "indexes.json").read_text())
    await create_old(orders)
    await run(settings, contract=True)
    assert await names(orders) == {"old", *needed()}


@pytest.mark.usefixtures("released")
async def test_nothing_is_dropped_while_an_index_cannot_be_created(
    settings: Settings, orders: Database
) -> None:
    await create_old(orders)
    await orders["orders"].insert_many([{"code": "twice"}, {"code": "twice"}])
    with pytest.raises(NotMigrated, match="one_order_a_code"):
        await run(settings, contract=True)
    assert "old" in await names(orders)


@pytest.mark.usefixtures("released")
async def test_contracting_keeps_indexes_that_no_release_made(settings: Settings, orders: Database) -> None:
    await orders["orders"].create_index("ticket_title", name="of_an_operator")
    await orders["orders"].create_index("ticket_title", name="old", sparse=True)
    await run(settings, contract=True)
    assert await names(orders) == {"of_an_operator", "old", *needed()}


async def test_several_runs_at_the_same_time_build_each_index_once(
    settings: Settings, orders: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.migrate, "RETRY_SECONDS", 0.01)
    outputs = await asyncio.gather(*(run(settings) for _ in range(3)))
    lines = [line for output in outputs for line in output]
    assert len(lines) == len(set(lines))
    assert await names(orders) == needed()


async def test_control_without_the_lease_concurrent_runs_build_indexes_twice_without_harm(
    settings: Settings, orders: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def at_once(_: object) -> AsyncIterator[None]:
        yield

    monkeypatch.setattr(ops.migrate._Migration, "_alone", at_once)
    outputs = await asyncio.gather(*(run(settings) for _ in range(3)))
    lines = [line for output in outputs for line in output]
    assert len(lines) > len(set(lines))
    assert await names(orders) == needed()


async def test_a_run_takes_over_from_one_that_died(
    settings: Settings, orders: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.migrate, "RETRY_SECONDS", 0.01)
    dead = Lease(orders, "migrate", ops.migrate.LEASE)
    await dead.hold()
    await orders["leases"].update_one({"_id": "migrate"}, [{"$set": {"until": "$$NOW"}}])
    await run(settings)
    assert await names(orders) == needed()


async def test_documents_that_violate_a_unique_index_are_reported_and_other_indexes_created(
    settings: Settings, client: AsyncMongoClient[dict[str, Any]]
) -> None:
    payments = client["payments"]
    await payments["payments"].insert_many([{"order_id": "twice"}, {"order_id": "twice"}])
    for _ in range(2):
        with pytest.raises(NotMigrated, match=r"payments\.payments\.one_payment_an_order can't be created"):
            await run(settings)
    assert await names(payments, "payments") == {"unpublished", "intent", "next_look", "of_buyer"}
    assert await names(client["orders"]) == needed()
    await payments["payments"].delete_one({})
    await run(settings)
    assert "one_payment_an_order" in await names(payments, "payments")


async def test_an_index_of_the_same_name_that_no_release_made_is_reported_and_stays(
    settings: Settings, orders: Database
) -> None:
    await orders["orders"].create_index("ticket_title", name="of_buyer")
    with pytest.raises(NotMigrated, match=r"orders\.orders\.of_buyer is .*drop it by hand"):
        await run(settings)
    assert await names(orders) == needed()
    assert (await orders["orders"].index_information())["of_buyer"]["key"] == [("ticket_title", 1)]


async def test_a_half_restored_database_is_left_alone(settings: Settings, orders: Database) -> None:
    await orders[HALF_RESTORED].insert_one({"_id": 1})
    with pytest.raises(NotMigrated, match="database orders is half restored"):
        await run(settings)
    assert await orders.list_collection_names() == [HALF_RESTORED]


async def test_a_run_waits_for_a_database_that_does_not_run_yet(tmp_path: Path) -> None:
    port = free_port()
    settings = Settings.model_validate({"mongo_url": f"mongodb://127.0.0.1:{port}/?retryWrites=false"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sandbox.testing.free_port", lambda: port)
        migrating = asyncio.create_task(run(settings))
        async with mongo_server(tmp_path / "mongo"), asyncio.timeout(TIMEOUT):
            assert await migrating


async def test_a_run_gives_up_if_the_database_stays_away() -> None:
    settings = Settings.model_validate(
        {"mongo_url": f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=50"}
    )
    with pytest.raises(NotMigrated, match="Database orders isn't migrated, repeat the command: "):
        await run(settings, within=0)


async def test_the_command_creates_the_indexes_of_all_services_and_prints_them(
    settings: Settings, client: AsyncMongoClient[dict[str, Any]], tmp_path: Path
) -> None:
    environment = {"MONGO_URL": settings.database, "DATA_DIR": str(tmp_path)}
    planned = await operate("migrate", "--dry-run", environment=environment)
    assert (planned.code, planned.err) == (0, "")
    assert "would create the index orders.orders.of_buyer" in planned.out.splitlines()
    done = await operate("migrate", environment=environment)
    assert (done.code, done.err) == (0, "")
    assert (
        "creating indexes of auth.users: unpublished, email, passkey, closing, ending_sessions"
        in done.out.splitlines()
    )
    for service in PROCESSES:
        assert await indexes.missing(client.get_database(service.name), service.documents) == []


class Empty(Document):
    """A document without indexes."""

    class Settings:
        name = "empty"


class Listed(Document):
    class Settings:
        name = "listed"
        indexes = [IndexModel([("a", 1), ("b", -1)], name="a_b", unique=True, sparse=False)]


def test_declared_indexes_have_the_form_of_stored_ones() -> None:
    assert indexes.declared([Empty, Listed]) == {
        "empty": {},
        "listed": {"a_b": {"key": [["a", 1], ["b", -1]], "unique": True}},
    }
