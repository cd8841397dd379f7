"""Fill the databases quickly: copy one ticket or one purchase that was made through the API many times.

A copy has a new id and other values in some fields. No event is published, so the services that keep tickets
in memory are stopped meanwhile and read them when they start.
"""

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient

BATCH = 2_000
SEED = 1
CITIES = [
    f"{name}{end}" for name in ("Ber", "Lin", "Os", "Mal", "Tor", "Vil") for end in ("burg", "ford", "mo")
]
CATEGORIES = "music theatre comedy sport festival family art other".split()
ADJECTIVES = "Silent Golden Electric Northern Broken Hidden Midnight Velvet Crimson Lunar".split()
NOUNS = "Rivers Lions Mirrors Harbours Engines Gardens Satellites Wolves Lanterns Tides".split()
PICTURE = "0" * 64

Document = dict[str, Any]


class Databases:
    def __init__(self, url: str) -> None:
        self._client: AsyncMongoClient[Document] = AsyncMongoClient(url, tz_aware=True)

    async def add_tickets(self, template: str, how_many: int) -> None:
        """Add copies of the ticket with this id: other titles, prices, places and dates."""
        tickets = self._client["tickets"]["tickets"]
        original = await tickets.find_one({"_id": ObjectId(template)})
        assert original is not None
        choices = random.Random(SEED)  # noqa: S311 - the same tickets in every run
        await _insert(tickets, ({**original, **_offer(number, choices)} for number in range(how_many)))

    async def add_orders(self, template: str, how_many: int) -> None:
        """Add copies of the completed order with this id and of its payment. Each is of another ticket."""
        orders, payments = self._client["orders"]["orders"], self._client["payments"]["payments"]
        replicas = self._client["payments"]["orders"]
        order = await orders.find_one({"_id": ObjectId(template)})
        payment = await payments.find_one({"order_id": template})
        replica = await replicas.find_one({"_id": ObjectId(template)})
        assert order is not None
        assert payment is not None
        assert replica is not None
        ids = [ObjectId() for _ in range(how_many)]
        await _insert(
            orders,
            (
                {**order, "_id": key, "ticket_id": str(ObjectId()), "code": f"{number:010}", "outbox": []}
                for number, key in enumerate(ids)
            ),
        )
        await _insert(replicas, ({**replica, "_id": key} for key in ids))
        await _insert(
            payments,
            (
                {**payment, "_id": ObjectId(), "order_id": str(key), "intent_id": f"pi_{key}", "outbox": []}
                for key in ids
            ),
        )

    async def close(self) -> None:
        await self._client.close()


async def _insert(collection: Any, documents: Iterable[Document]) -> None:
    documents = iter(documents)
    while batch := list(islice(documents, BATCH)):
        await collection.insert_many(batch, ordered=False)


def _offer(number: int, choices: random.Random) -> Mapping[str, Any]:
    """The fields in which a copy of a ticket differs."""
    starts_at = datetime.now(UTC) + timedelta(days=1, minutes=choices.randrange(180 * 24 * 60))
    return {
        "_id": ObjectId(),
        "title": f"{choices.choice(ADJECTIVES)} {choices.choice(NOUNS)} {number}",
        "price_minor": choices.randrange(500, 50_000),
        "city": choices.choice(CITIES),
        "venue": f"Hall {choices.randrange(200)}",
        "category": choices.choice(CATEGORIES),
        "starts_at": starts_at.replace(microsecond=0),
        "picture": PICTURE,
        "seat_key": None,  # copies of a seat would be refused
        "live_seat": None,
        "outbox": [],
        "updated_at": datetime.now(UTC),
    }
