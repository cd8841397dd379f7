"""What the console reads about reported listings."""

from typing import Any, cast

from bson import ObjectId
from nats.js import JetStreamContext
from pymongo import AsyncMongoClient
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from contracts.api import ReportedListing
from ops.console import listings
from ops.sources import Sources
from settings import Settings


class Queries(CommandListener):
    """Counts queries."""

    def __init__(self) -> None:
        self.count = 0

    def started(self, event: CommandStartedEvent) -> None:
        self.count += event.command_name in {"find", "getMore"}

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass


def a_case(ticket_id: str) -> ReportedListing:
    return ReportedListing(
        ticket_id=ticket_id,
        seller_id=str(ObjectId()),
        open_since=None,
        further=0,
        removing=False,
        reports=[],
    )


async def test_all_reported_listings_are_read_in_one_query(mongo: str) -> None:
    queries = Queries()
    tickets: list[dict[str, Any]] = [
        {"_id": ObjectId(), "title": f"Hamlet {each}", "status": "reserved", "price_minor": 1999}
        for each in range(50)
    ]
    async with AsyncMongoClient[dict[str, Any]](mongo, event_listeners=[queries]) as client:
        stored = client["tickets"]["tickets"]
        await stored.insert_many(tickets)
        try:
            sources = Sources(Settings(), cast("JetStreamContext", None), client)
            gone = str(ObjectId())
            found = await listings._tickets(sources, [gone, *(str(each["_id"]) for each in tickets)])
        finally:
            await stored.delete_many({"_id": {"$in": [each["_id"] for each in tickets]}})
    assert queries.count == 1
    shown = [
        listings._shown(a_case(key), found.get(key, {}), "USD") for key in (gone, str(tickets[7]["_id"]))
    ]
    assert [each.title for each in shown] == [gone, "Hamlet 7"]
    assert shown[1].facts == ["Price: 19.99 USD"]
    assert [each.can_be_removed for each in shown] == [False, True]
