"""The service's database: one client a process, indexes made at start."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pymongo.lock
from beanie import Document, init_beanie
from bson import ObjectId
from bson.errors import InvalidId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    ConnectionFailure,
    OperationFailure,
    ProtocolError,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from services.kit.errors import NotFound

T = TypeVar("T")

Documents = Sequence[type[Document]]
Database = AsyncDatabase[dict[str, Any]]

DatabaseError = PyMongoError
"""Whatever goes wrong with the database."""

HALF_RESTORED = "half_restored"
"""The collection that is there while a backup is being restored."""

Refused = OperationFailure
"""What the database answers when it doesn't do what it was asked."""

OUT_OF_REACH = (ConnectionFailure, ServerSelectionTimeoutError, WriteConcernError, ProtocolError)
"""What pymongo raises while the database can't be reached, or its replicas, or a connection is broken: worth
another try later."""

OUT_OF_ORDER = {
    1: "InternalError",
    6: "HostUnreachable",
    7: "HostNotFound",
    13: "Unauthorized",
    18: "AuthenticationFailed",
    24: "LockTimeout",
    43: "CursorNotFound",
    50: "MaxTimeMSExpired",
    89: "NetworkTimeout",
    91: "ShutdownInProgress",
    112: "WriteConflict",
    133: "FailedToSatisfyReadPreference",
    134: "ReadConcernMajorityNotAvailableYet",
    189: "PrimarySteppedDown",
    262: "ExceededTimeLimit",
    9001: "SocketException",
    10107: "NotWritablePrimary",
    11600: "InterruptedAtShutdown",
    11601: "Interrupted",
    11602: "InterruptedDueToReplStateChange",
    13435: "NotPrimaryNoSecondaryOk",
    13436: "NotPrimaryOrSecondary",
    14031: "OutOfDiskSpace",
}
"""Codes of a database that answers, but isn't able to do what it was asked, or lets nobody in. With
InternalError the embedded one answers everything from the moment its disk is full until it is started again.
pymongo has errors of its own for some, but not where they come as the error of a single write."""


async def wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 - asyncio's own name
    """asyncio.wait_for as it is from Python 3.12 on: what is waited for stays in the task that waits."""
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # pymongo waits for a condition, which takes its lock again however the wait ends. Python 3.11 runs that
    # in a task of its own, and leaves it alone if the waiting task is cancelled just as its time is over: the
    # lock is then taken by nobody, and whoever needs the database waits for ever, long after an outage.
    pymongo.lock.wait_for = wait_for  # type: ignore[attr-defined, assignment] # pymongo's import of asyncio's


class HalfRestored(Exception):
    """A restore of the database began and didn't end: what is in it is of no use."""


def is_outage(error: BaseException) -> bool:
    """Whether it is the database that isn't able, whatever it was asked."""
    return isinstance(error, OUT_OF_REACH) or (isinstance(error, Refused) and error.code in OUT_OF_ORDER)


@asynccontextmanager
async def database(url: str, name: str, documents: Documents) -> AsyncIterator[Database]:
    """Connect, bind the documents to the database `name` and make their indexes.

    Raises:
        pymongo.errors.PyMongoError: the database can't be reached within five seconds.
        HalfRestored
    """
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        url,
        tz_aware=True,
        serverSelectionTimeoutMS=5_000,
        connectTimeoutMS=5_000,
        socketTimeoutMS=15_000,
        # One that nobody used for minutes may have been closed at the other end, or on the way there: the
        # first request to take it would fail.
        maxIdleTimeMS=60_000,
    )
    async with client:
        bound = client.get_database(name)
        if await bound[HALF_RESTORED].find_one() is not None:
            raise HalfRestored(
                f"database {name} is half restored: wait, or repeat `just restore FOLDER --replace`"
            )
        await init_beanie(database=bound, document_models=list(documents))
        yield bound


async def answers(database: Database, within: float) -> bool:
    """Whether the database answers within so many seconds.

    It has to read something: the embedded one still answers a ping after its disk was full, and nothing else.
    """
    try:
        async with asyncio.timeout(within):
            await database[HALF_RESTORED].find_one()
    except (PyMongoError, TimeoutError):
        return False
    return True


def object_id(text: str) -> ObjectId:
    """The id that `text` is.

    Raises:
        NotFound: it is no ObjectId, so nothing can have it.
    """
    try:
        return ObjectId(text)
    except InvalidId:
        raise NotFound from None
