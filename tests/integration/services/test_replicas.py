"""Replicas keep the newest state of another service's aggregates."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from kit.replicas import remaining_wait
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
    found = await TicketReplica.wait_for(key)
    assert (found.version, found.title) == (max(versions), f"version {max(versions)}")


@pytest.mark.parametrize(
    ("age", "seconds"),
    [(0.0, 8.0), (0.9, 8.0), (1.0, 8.0), (3.0, 6.0), (9.0, 0.0), (-1.0, 8.0), (-6.9, 8.0)],
)
def test_the_wait_for_a_new_entity_is_at_most_eight_seconds(age: float, seconds: float) -> None:
    """An id with a time in the future, from a fast clock or an attacker, doesn't lengthen the wait."""
    requested_at = datetime(2026, 12, 12, tzinfo=UTC)
    assert remaining_wait(requested_at - timedelta(seconds=age), requested_at) == timedelta(seconds=seconds)


@pytest.mark.parametrize("age", [9.1, 3600.0, -7.1, -3600.0])
def test_an_id_whose_time_is_long_past_or_far_in_the_future_is_not_waited_for(age: float) -> None:
    requested_at = datetime(2026, 12, 12, tzinfo=UTC)
    assert remaining_wait(requested_at - timedelta(seconds=age), requested_at) < timedelta()


async def test_an_event_with_the_stored_version_changes_nothing(orders: Served) -> None:
    key = str(ObjectId())
    await TicketReplica.follow(key, 1, {**STATE, "title": "first"})
    await TicketReplica.follow(key, 1, {**STATE, "title": "second"})
    assert (await TicketReplica.wait_for(key)).title == "first"


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
    assert (await TicketReplica.wait_for(key)).title == "newer"
