"""Replicas keep the newest state of another service's aggregates."""

from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from services.orders.documents import TicketReplica
from tests.support.service import Served

STATE = {"title": "Hamlet", "price_minor": 1999, "user_id": "b" * 24, "status": "available"}


@pytest.mark.parametrize("versions", [(0, 1), (1, 0), (1, 1), (2, 0, 1)])
async def test_a_replica_keeps_the_newest_state_whatever_the_order_of_events(
    orders: Served, versions: tuple[int, ...]
) -> None:
    key = str(ObjectId())
    for version in versions:
        await TicketReplica.follow(key, version, {**STATE, "title": f"version {version}"})
    found = await TicketReplica.stored(key)
    assert (found.version, found.title) == (max(versions), f"version {max(versions)}")


async def test_an_event_with_the_stored_version_changes_nothing(orders: Served) -> None:
    key = str(ObjectId())
    await TicketReplica.follow(key, 1, {**STATE, "title": "first"})
    await TicketReplica.follow(key, 1, {**STATE, "title": "second"})
    assert (await TicketReplica.stored(key)).title == "first"


async def test_a_concurrent_insert_of_an_older_version_does_not_prevent_storing_the_newer_version(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB's upsert first searches and then inserts, so it fails if another insert happens in between."""
    key, collection = str(ObjectId()), TicketReplica.get_pymongo_collection()

    class CollectionWithConcurrentInsert:
        async def update_one(self, *request: Any, **options: Any) -> None:
            monkeypatch.undo()
            await collection.insert_one({"_id": ObjectId(key), "version": 0, **STATE})
            raise DuplicateKeyError("inserted concurrently")

    monkeypatch.setattr(
        TicketReplica, "get_pymongo_collection", classmethod(lambda _: CollectionWithConcurrentInsert())
    )
    await TicketReplica.follow(key, 1, {**STATE, "title": "newer"})
    assert (await TicketReplica.stored(key)).title == "newer"
