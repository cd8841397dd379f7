"""Leases: of all processes of a service, one at a time does some work."""

from datetime import timedelta
from uuid import uuid4

from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.mongo import Database


class Lease:
    """The permission to do some work, which ends by itself if its holder dies.

    A lease saves work that would be done twice. It doesn't exclude that: clocks differ, and a holder may be
    slow. So the work has to tolerate it.

    Args:
        name: of the work, in the collection `leases`.
        lifetime: how long the lease lasts after each `hold`.
    """

    def __init__(self, database: Database, name: str, lifetime: timedelta) -> None:
        self._leases = database["leases"]
        self._name = name
        self._lifetime = lifetime
        self._holder = str(uuid4())

    async def hold(self) -> bool:
        """Take the lease, or extend it. Return False if another process holds it."""
        moment = now()
        is_free = {"_id": self._name, "$or": [{"holder": self._holder}, {"until": {"$lte": moment}}]}
        taken = {"holder": self._holder, "until": moment + self._lifetime}
        try:
            await self._leases.update_one(is_free, {"$set": taken}, upsert=True)
        except DuplicateKeyError:
            return False
        return True

    async def release(self) -> None:
        """Let another process take the lease now. Without effect if this process doesn't hold it."""
        await self._leases.delete_one({"_id": self._name, "holder": self._holder})
