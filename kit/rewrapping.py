"""Replaces the key that wraps the data keys of stored files."""

from typing import Any

from pymongo.asynchronous.collection import AsyncCollection

from kit.sealing import Keys, WrappedKey

REWRAPPED_AT_ONCE = 200


async def rewrap(keys: Keys, stored: AsyncCollection[Any], old_id: str) -> None:
    """Wrap some data keys with the current key that the key with this id wraps."""
    fields = {"key_id": 1, "wrapped": 1}
    found = await stored.find({"key_id": old_id}, fields, limit=REWRAPPED_AT_ONCE).to_list()
    for each in found:
        data_key = keys.unwrap(WrappedKey(each["key_id"], each["wrapped"]), each["_id"])
        wrapped = keys.wrap(data_key, each["_id"])
        # The guard keeps a process with an older key from replacing what another one has wrapped.
        await stored.update_one(
            {"_id": each["_id"], "key_id": old_id},
            {"$set": {"key_id": wrapped.key_id, "wrapped": wrapped.sealed}},
        )
