"""A service works only when its database has the indexes that it needs, which `just migrate` creates."""

import asyncio
import logging
from typing import Any

import pytest
from pymongo import DESCENDING, IndexModel
from pymongo.asynchronous.collection import AsyncCollection

import ops.migrate
from kit import indexes
from kit.indexes import missing
from ops.migrate import migrate
from ops.releases import current_indexes
from services.orders.documents import ONE_ORDER_A_TICKET, Order
from settings import Settings
from tests.support.polling import TIMEOUT, until
from tests.support.service import Served, SettingsWith, new_id, serving

BUYER = new_id()


async def ready(served: Served) -> list[str]:
    """What the service lacks."""
    answer = await served.ask("GET", "/health/ready")
    found: list[str] = answer.json().get("missing", [])
    return found


async def list_orders(served: Served) -> int:
    return (await served.ask("GET", "/api/orders", by=BUYER)).status_code


async def migrated(settings: Settings, **options: Any) -> list[str]:
    lines: list[str] = []
    await migrate(settings, lines.append, **options)
    return lines


async def test_a_service_without_indexes_waits_until_they_are_created(settings_with: SettingsWith) -> None:
    """In a deployment, the services may start at the same time as the migration."""
    async with serving("orders", settings_with(), with_indexes=False) as orders:
        assert await ready(orders) == ["indexes"]
        assert (await orders.ask("GET", "/health/live")).status_code == 200
        answer = await orders.ask("GET", "/api/orders", by=BUYER)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        await migrated(settings_with())
        await until(lambda: ready(orders), lambda lacking: lacking == ["NATS"])
        assert await list_orders(orders) == 200


async def test_a_service_that_lacks_an_index_names_it_and_the_command(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(indexes, "MIGRATION_SECONDS", 0)

    async def report() -> str:
        return next((text for text in caplog.messages if "just migrate" in text), "")

    async with serving("orders", settings_with()) as orders:
        await orders.database["orders"].drop_index(ONE_ORDER_A_TICKET)
        await orders.database["orders"].drop_index("of_buyer")
        await orders.database["orders"].create_index("user_id", name="of_buyer")
    with caplog.at_level(logging.ERROR):
        async with serving("orders", settings_with(), fresh=False, with_indexes=False) as orders:
            text = await until(report)
            assert await ready(orders) == ["indexes"]
    assert "orders.one_order_a_ticket is missing" in text
    assert (
        "orders.of_buyer is {'key': [['user_id', 1]]} instead of {'key': [['user_id', 1], ['_id', -1]]}"
        in text
    )


async def test_a_long_build_of_an_index_does_not_end_the_processes_that_wait_for_it(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()
    create = AsyncCollection.create_indexes
    timeouts = []

    async def build(self: AsyncCollection[Any], *given: Any, **more: Any) -> Any:
        if self.full_name == "orders.orders":
            timeouts.append(self.database.client.options.pool_options.socket_timeout)
            begun.set()
            await may_end.wait()
        return await create(self, *given, **more)

    async with serving("orders", settings_with(), with_indexes=False) as orders, asyncio.timeout(TIMEOUT):
        monkeypatch.setattr(AsyncCollection, "create_indexes", build)
        migrating = asyncio.create_task(migrated(settings_with()))
        await begun.wait()
        assert (await orders.ask("GET", "/health/live")).status_code == 200
        assert await ready(orders) == ["indexes"]
        assert not migrating.done()
        may_end.set()
        await migrating
        await until(lambda: ready(orders), lambda lacking: lacking == ["NATS"])
    assert timeouts == [None], "a build may take any time"


async def test_an_index_that_is_being_built_is_missing() -> None:
    """MongoDB lists such an index, but it refuses no duplicates yet. The embedded database builds at once."""
    unique = {"v": 2, "key": {"a": 1}, "name": "one", "unique": True}

    class Server:
        async def command(self, *_: Any, **options: Any) -> Any:
            assert options == {"includeIndexBuildInfo": True}
            building = {"spec": unique, "indexBuildInfo": {"buildUUID": "…"}}
            return {
                "cursor": {"firstBatch": [building, {"spec": {"name": "_id_", "key": {"_id": 1}, "v": 2}}]}
            }

    class Document:
        class Settings:
            name = "documents"
            indexes = (IndexModel("a", name="one", unique=True),)

    server: Any = Server()
    documents: Any = [Document]
    assert await missing(server, documents) == ["documents.one is being built"]


async def test_an_instance_of_the_old_version_works_during_the_upgrade_of_an_index(
    settings_with: SettingsWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new version finds a buyer's orders by an index that is also sorted by status."""
    before = current_indexes()
    newer = [
        *(index for index in Order.Settings.indexes if index.document["name"] != "of_buyer"),
        IndexModel([("user_id", 1), ("_id", DESCENDING), ("status", 1)], name="of_buyer_by_status"),
    ]

    async def names(served: Served) -> set[str]:
        return set(await served.database["orders"].index_information())

    async with serving("orders", settings_with()) as old:
        await migrated(settings_with())
        monkeypatch.setattr(Order.Settings, "indexes", newer)
        assert await migrated(settings_with()) == ["creating indexes of orders.orders: of_buyer_by_status"]
        assert {"of_buyer", "of_buyer_by_status"} <= await names(old)
        assert await list_orders(old) == 200
        async with serving("orders", settings_with(), fresh=False, with_indexes=False) as new:
            assert (await ready(old), await ready(new)) == (["NATS"], ["NATS"])
            assert (await list_orders(old), await list_orders(new)) == (200, 200)

            after = current_indexes()
            releases = {"1.0.0": before, "1.1.0": after, "1.2.0": after}
            monkeypatch.setattr(ops.migrate, "versions", lambda: list(releases))
            monkeypatch.setattr(ops.migrate, "released_indexes", releases.__getitem__)
            await migrated(settings_with(), contract=True)
            assert "of_buyer" not in await names(new)
            assert await list_orders(new) == 200
