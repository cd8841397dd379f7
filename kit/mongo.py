"""The connection to a service's database, what it requires of MongoDB, and which errors are outages.

On a replica set, the primary may accept a write and then fail before a majority of the members has it. The
next primary rolls such a write back. Therefore, every write here is acknowledged by a majority, and every
read returns only writes that a majority has (docs/decisions/0028-majority.md).
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
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

from kit.errors import NotFound

T = TypeVar("T")

Documents = Sequence[type[Document]]
Database = AsyncDatabase[dict[str, Any]]

DatabaseError = PyMongoError
"""Any error of the database or its driver."""

HALF_RESTORED = "half_restored"
"""Name of a collection that contains a document while a restore is in progress."""

WRITE_TIMEOUT_SECONDS = 10
"""How long a write waits for a majority. Then it raises WTimeoutError: the write is done, but may be rolled
back."""

MAJORITY: Mapping[str, Any] = {
    "w": "majority",
    "journal": True,
    "wTimeoutMS": WRITE_TIMEOUT_SECONDS * 1000,
    "readConcernLevel": "majority",
    # A secondary may be behind, so that it lacks what this process has just written.
    "readPreference": "primary",
}
"""Options of every connection, which take precedence over those in the URL."""

Refused = OperationFailure
"""The exception for an error that the database answered with."""

CONNECTION_ERRORS = (ConnectionFailure, ServerSelectionTimeoutError, WriteConcernError, ProtocolError)
"""Errors when the database or its replicas can't be reached or a connection breaks. A retry may succeed."""

OUTAGE_CODES = {
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
"""Error codes of a database that answers but can't serve requests.

The embedded database answers InternalError from the moment its disk is full until it is restarted. pymongo
has exception classes for some codes, but doesn't use them for the error of a single write."""


async def wait_for(awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109 - asyncio's own name
    """asyncio.wait_for as in Python 3.12: it awaits in the calling task instead of a new one."""
    async with asyncio.timeout(timeout):
        return await awaitable


if sys.version_info < (3, 12):
    # pymongo waits for a condition with wait_for, and a wait reacquires the condition's lock when it ends.
    # Python 3.11 runs the wait in a separate task and abandons that task if the caller is cancelled at the
    # moment of the time-out. The lock then stays locked, and all later requests to the database hang, even
    # after an outage has ended.
    pymongo.lock.wait_for = wait_for  # type: ignore[attr-defined, assignment] # pymongo's import of asyncio's


class Unusable(Exception):
    """The database answers, but must not be used. The message is a sentence for the operator."""


class HalfRestored(Unusable):
    """A restore of the database began but didn't end, so its content is incomplete."""


class NoMajority(Unusable):
    """The server can't confirm that a majority has a write, or can't restrict reads to such writes."""


def is_outage(error: BaseException) -> bool:
    """Whether the error means that the database is unavailable, rather than that the request is wrong."""
    return isinstance(error, CONNECTION_ERRORS) or (isinstance(error, Refused) and error.code in OUTAGE_CODES)


@asynccontextmanager
async def database(url: str, name: str, documents: Documents) -> AsyncIterator[Database]:
    """Connect, and bind the documents to the database `name`. `just migrate` has created their indexes.

    Raises:
        pymongo.errors.PyMongoError: the database can't be reached within five seconds.
        HalfRestored, NoMajority
    """
    client = connect(
        url,
        # Longer than WRITE_TIMEOUT_SECONDS, so that a write without a majority doesn't cost the connection.
        socketTimeoutMS=15_000,
        # The server or a firewall may close a connection that is idle for minutes. The next request on that
        # connection would fail.
        maxIdleTimeMS=60_000,
    )
    async with client:
        bound = client.get_database(name)
        await require_majority(bound)
        await require_no_restore(bound)
        await init_beanie(database=bound, document_models=list(documents), skip_indexes=True)
        yield bound


def connect(url: str, **options: Any) -> AsyncMongoClient[dict[str, Any]]:
    """A client for the server at this URL. It connects when it is used first.

    Args:
        options: further options of pymongo's client.

    Raises:
        pymongo.errors.ConfigurationError: the URL isn't valid.
    """
    return AsyncMongoClient(
        url, tz_aware=True, serverSelectionTimeoutMS=5_000, connectTimeoutMS=5_000, **options, **MAJORITY
    )


async def require_majority(database: Database) -> None:
    """Check that the server is a replica set, or a sharded cluster of them, with majority read concern.

    Raises:
        pymongo.errors.PyMongoError: the server doesn't answer.
        NoMajority
    """
    hello = await database.client.admin.command("hello")
    is_router = hello.get("msg") == "isdbgrid"
    if "setName" not in hello and not is_router:
        raise NoMajority(
            "MongoDB has to be a replica set, but MONGO_URL names a standalone server:"
            " start it with --replSet, and initiate a set with one member or more"
        )
    try:
        await database[HALF_RESTORED].find_one()
    except Refused as error:
        if is_outage(error):
            raise
        reason = (error.details or {}).get("errmsg", error)
        raise NoMajority(f"MongoDB has to support read concern majority, but refuses it: {reason}") from None


async def require_no_restore(database: Database) -> None:
    """Check that no restore of the database is in progress, or ended early.

    Raises:
        HalfRestored
    """
    if await database[HALF_RESTORED].find_one() is not None:
        raise HalfRestored(
            f"database {database.name} is half restored: wait, or repeat `just restore FOLDER --replace`"
        )


async def answers(database: Database, within: float) -> bool:
    """Whether the database answers within `within` seconds and meets the requirements.

    A ping wouldn't be enough: with a full disk, the embedded database still answers it, but nothing else.
    """
    try:
        async with asyncio.timeout(within):
            await require_majority(database)
    except (PyMongoError, NoMajority, TimeoutError):
        return False
    return True


def object_id(text: str) -> ObjectId:
    """Parse an id.

    Raises:
        NotFound: the text isn't an ObjectId, so no document has this id.
    """
    try:
        return ObjectId(text)
    except InvalidId:
        raise NotFound from None
