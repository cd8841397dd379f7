"""Make a service's copies of what others own right again, whatever has become of them.

Each write is guarded by the version that was read, so that what the service hears at the same time stays.
"""

from collections.abc import AsyncIterator
from typing import Any, Literal

from bson import ObjectId

from services.kit.aggregates import Aggregate
from services.kit.copies import Copy

State = dict[str, Any]
Outcome = Literal["right", "written", "ahead"]


async def known(kind: type[Copy]) -> AsyncIterator[tuple[str, int]]:
    """Every copy: its id and version."""
    async for found in kind.get_pymongo_collection().find({}, {"version": 1}):
        yield str(found["_id"]), found["version"]


async def put_right(kind: type[Copy], key: str, version: int, state: State) -> tuple[Outcome, int]:
    """Write a state over whatever the copy says instead, unless that is newer; gives its version."""
    while True:
        found = await kind.get_pymongo_collection().find_one({"_id": ObjectId(key)})
        if found is None:
            await kind.follow(key, version, state)
            return "written", version
        if found["version"] > version:
            return "ahead", found["version"]
        if found["version"] == version and all(found.get(name) == state[name] for name in state):
            return "right", version
        if await overwrite(kind, key, found["version"], version, state):
            return "written", version


async def overwrite(kind: type[Copy], key: str, instead_of: int, version: int, state: State) -> bool:
    """Write a state over a copy that has the version `instead_of`; says whether it had."""
    result = await kind.get_pymongo_collection().update_one(
        {"_id": ObjectId(key), "version": instead_of}, {"$set": {**state, "version": version}}
    )
    return bool(result.matched_count)


async def remove(kind: type[Copy], key: str, version: int) -> None:
    """Forget a copy, if it has this version."""
    await kind.get_pymongo_collection().delete_one({"_id": ObjectId(key), "version": version})


async def owned(kind: type[Aggregate]) -> AsyncIterator[tuple[str, bool]]:
    """All of a kind that was ever published: its id, and whether events of it wait to be delivered."""
    fields = {"version": 1, "outbox.id": 1}
    async for found in kind.get_pymongo_collection().find({}, fields):
        if found["version"] >= 0:
            yield str(found["_id"]), bool(found.get("outbox"))


async def exists(kind: type[Aggregate], key: str) -> bool:
    return await kind.get_pymongo_collection().find_one({"_id": ObjectId(key)}, {"_id": 1}) is not None
