"""The imitation of a replica set behaves as MongoDB documents it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect, DuplicateKeyError, WTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from tests.support.polling import until
from tests.support.replica_set import ReplicaSet

LOCAL, MAJORITY = ReadConcern("local"), ReadConcern("majority")
BRIEFLY = WriteConcern("majority", wtimeout=50)

Things = AsyncCollection[dict[str, Any]]


@pytest_asyncio.fixture(loop_scope="session")
async def things(members: ReplicaSet) -> AsyncIterator[Things]:
    """An empty collection, to which writes need only the primary."""
    async with AsyncMongoClient[dict[str, Any]](members.url, w=1) as client:
        await client.drop_database("imitation")
        yield client["imitation"]["things"]


async def seen(things: Things, level: ReadConcern) -> list[Any]:
    found = await things.with_options(read_concern=level).find().sort("_id").to_list()
    return [each["_id"] for each in found]


async def test_a_write_is_read_at_once_and_with_majority_read_concern_after_its_replication(
    members: ReplicaSet, things: Things
) -> None:
    members.stop_replication()
    await things.insert_one({"_id": 1})
    assert (await seen(things, LOCAL), await seen(things, MAJORITY)) == ([1], [])
    await members.replicate()
    assert await seen(things, MAJORITY) == [1]


async def test_a_failover_loses_a_write_that_was_not_replicated(members: ReplicaSet, things: Things) -> None:
    await things.insert_one({"_id": 1})
    members.stop_replication()
    await things.insert_one({"_id": 2})
    await members.fail_over()
    assert await seen(things, LOCAL) == await seen(things, MAJORITY) == [1]


async def test_a_cursor_with_majority_read_concern_reads_only_replicated_documents(
    members: ReplicaSet, things: Things
) -> None:
    await things.insert_many([{"_id": number} for number in range(5)])
    members.stop_replication()
    await things.insert_one({"_id": 5})
    cursor = things.with_options(read_concern=MAJORITY).find(batch_size=2)
    assert [each["_id"] async for each in cursor] == [0, 1, 2, 3, 4]


async def test_a_write_that_no_majority_has_in_time_is_done_and_reported(
    members: ReplicaSet, things: Things
) -> None:
    members.stop_replication()
    with pytest.raises(WTimeoutError):
        await things.with_options(write_concern=BRIEFLY).insert_one({"_id": 1})
    assert await seen(things, LOCAL) == [1]


@pytest.mark.parametrize("change", ["a duplicate", "no change"])
async def test_a_write_without_effect_is_answered_after_what_it_has_seen_is_replicated(
    members: ReplicaSet, things: Things, change: str
) -> None:
    members.stop_replication()
    await things.insert_one({"_id": 1, "version": 1})
    durable = things.with_options(write_concern=WriteConcern("majority"))

    async def write() -> None:
        if change == "a duplicate":
            with pytest.raises(DuplicateKeyError):
                await durable.insert_one({"_id": 1})
        else:
            guarded = await durable.update_one({"_id": 1, "version": 0}, {"$set": {"version": 1}})
            assert guarded.matched_count == 0

    waiting = asyncio.create_task(write())
    await until(lambda: _count(members), lambda count: count == 2)
    assert not waiting.done()
    await members.replicate()
    await waiting


async def _count(members: ReplicaSet) -> int:
    return len(members.unreplicated)


async def test_requests_wait_for_the_next_primary(members: ReplicaSet, things: Things) -> None:
    await members.step_down()
    waiting = asyncio.create_task(things.insert_one({"_id": 1}))
    await asyncio.wait({waiting}, timeout=0.2)
    assert not waiting.done()
    await members.elect()
    await waiting
    assert await seen(things, MAJORITY) == [1]


async def test_a_write_whose_primary_steps_down_is_repeated_at_the_next_one(
    members: ReplicaSet, things: Things
) -> None:
    members.stop_replication()
    durable = things.with_options(write_concern=WriteConcern("majority"))
    waiting = asyncio.create_task(durable.insert_one({"_id": 1}))
    await until(lambda: _count(members), lambda count: count == 1)
    await members.fail_over()
    await waiting
    assert await seen(things, MAJORITY) == [1]


async def increase(members: ReplicaSet, things: Things) -> int:
    """The value after one increment whose first answer is lost."""
    await things.insert_one({"_id": 1, "value": 0})
    members.after_write = lambda command: "update" in command
    await things.update_one({"_id": 1}, {"$inc": {"value": 1}})
    (found,) = await things.find().to_list()
    return int(found["value"])


async def test_a_write_whose_answer_was_lost_is_repeated_and_done_once(
    members: ReplicaSet, things: Things
) -> None:
    assert await increase(members, things) == 1


async def test_control_a_server_that_forgets_transaction_numbers_does_a_repeated_write_twice(
    members: ReplicaSet, things: Things
) -> None:
    members.remembers_answers = False
    assert await increase(members, things) == 2


async def test_without_retryable_writes_a_lost_answer_is_an_error(
    members: ReplicaSet, things: Things
) -> None:
    members.after_write = lambda command: "insert" in command
    async with AsyncMongoClient[dict[str, Any]](f"{members.url}&retryWrites=false") as client:
        with pytest.raises(AutoReconnect):
            await client["imitation"]["things"].insert_one({"_id": 1})
    assert await seen(things, LOCAL) == [1]
