"""What is heard of somebody else's state: the newest, whatever comes when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from services.kit.copies import patience_with
from services.orders.documents import Ticket
from tests.services.served import Served

STATE = {"title": "Hamlet", "price_minor": 1999, "user_id": "b" * 24, "status": "available"}


@pytest.mark.parametrize("versions", [(0, 1), (1, 0), (1, 1), (2, 0, 1)])
async def test_the_newest_state_stands(orders: Served, versions: tuple[int, ...]) -> None:
    key = str(ObjectId())
    for version in versions:
        await Ticket.follow(key, version, {**STATE, "title": f"as of {version}"})
    found = await Ticket.arrived(key)
    assert (found.version, found.title) == (max(versions), f"as of {max(versions)}")


@pytest.mark.parametrize(
    ("age", "waits"),
    [(0.0, 8.0), (0.9, 8.0), (1.0, 8.0), (3.0, 6.0), (9.0, 0.0), (-1.0, 8.0), (-6.9, 8.0)],
)
def test_nothing_is_waited_for_longer_than_events_may_take(age: float, waits: float) -> None:
    """However much its id was made in the future: by a clock that is ahead, or to have us wait."""
    asked_at = datetime(2026, 12, 12, tzinfo=UTC)
    assert patience_with(asked_at - timedelta(seconds=age), asked_at) == timedelta(seconds=waits)


@pytest.mark.parametrize("age", [9.1, 3600.0, -7.1, -3600.0])
def test_what_is_long_known_or_of_another_time_is_not_waited_for(age: float) -> None:
    asked_at = datetime(2026, 12, 12, tzinfo=UTC)
    assert patience_with(asked_at - timedelta(seconds=age), asked_at) < timedelta()


@pytest.mark.parametrize(("learns", "title"), [(True, "told again"), (False, "told once")])
async def test_a_version_that_is_known_is_taken_again_by_who_learns_from_it(
    orders: Served, learns: bool, title: str
) -> None:
    key = str(ObjectId())
    await Ticket.follow(key, 1, {**STATE, "title": "told once"})
    await Ticket.follow(key, 1, {**STATE, "title": "told again"}, learns=learns)
    await Ticket.follow(key, 0, {**STATE, "title": "long ago"}, learns=learns)
    assert (await Ticket.arrived(key)).title == title


async def test_a_rival_that_inserts_older_news_first_takes_nothing_away(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MongoDB looks and inserts in two steps, and doesn't try again when a rival came between them."""
    key, collection = str(ObjectId()), Ticket.get_pymongo_collection()

    class Overtaken:
        async def update_one(self, *request: Any, **options: Any) -> None:
            monkeypatch.undo()
            await collection.insert_one({"_id": ObjectId(key), "version": 0, **STATE})
            raise DuplicateKeyError("overtaken")

    monkeypatch.setattr(Ticket, "get_pymongo_collection", classmethod(lambda _: Overtaken()))
    await Ticket.follow(key, 1, {**STATE, "title": "newer"})
    assert (await Ticket.arrived(key)).title == "newer"
