"""Dump and restore all services' databases.

The files have mongodump's layout, so that mongorestore can read them: `<database>/<collection>.bson` contains
the documents, and `<collection>.metadata.json` the indexes.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from bson import ObjectId, json_util
from bson.errors import BSONError, InvalidId
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from kit.mongo import HALF_RESTORED, Database, Unusable, connect, require_majority
from kit.outbox import HAS_OUTBOX_MESSAGES
from ops.backup import BackupError
from ops.errors import explain

BATCH_DOCUMENTS = 500
BATCH_BYTES = 4 * 1024 * 1024
"""Maximum size of a batch of inserted documents, unless a single document is larger."""

_AS_JSON = json_util.CANONICAL_JSON_OPTIONS

Client = AsyncMongoClient[dict[str, Any]]
Counts = Mapping[str, int]
"""Number of documents in each collection."""


class DatabaseReader:
    """Reads databases, in one transaction if there is a session."""

    def __init__(self, client: Client, session: AsyncClientSession | None) -> None:
        self._client = client
        self._session = session

    async def dump(self, name: str, folder: Path) -> Counts:
        """Write a database into `<folder>/<name>`.

        Raises:
            BackupError: the database can't be read, or the transaction took too long.
        """
        target = folder / name
        target.mkdir(mode=0o700, parents=True)
        try:
            # Outside the transaction, because MongoDB doesn't allow this request inside. The list doesn't
            # change meanwhile: collections are created before services start.
            described = [each async for each in await self._client[name].list_collections()]
            return {
                str(each["name"]): await self._dump_collection(name, each, target)
                for each in sorted(described, key=lambda each: str(each["name"]))
                if each.get("type", "collection") == "collection" and _is_ours(each["name"])
            }
        except PyMongoError as error:
            hint = " (while no service runs, it may take any time)" if self._session else ""
            raise BackupError(f"Database {name} can't be read{hint}: {explain(error)}") from error

    async def version(self, name: str, collection: str, key: str) -> int | None:
        """The version of a document; None if it didn't exist."""
        try:
            found = await self._client[name][collection].find_one(
                {"_id": ObjectId(key)}, {"version": 1}, session=self._session
            )
        except InvalidId:
            return None
        except PyMongoError as error:
            raise BackupError(f"Database {name} can't be read: {explain(error)}") from error
        return None if found is None else int(found["version"])

    async def _dump_collection(self, name: str, described: Mapping[str, Any], target: Path) -> int:
        collection = self._client[name][str(described["name"])]
        indexes = [dict(index) async for index in await collection.list_indexes()]
        metadata = {
            "options": dict(described.get("options", {})),
            "indexes": indexes,
            "collectionName": collection.name,
            "type": "collection",
        }
        (target / f"{collection.name}.metadata.json").write_text(
            json_util.dumps(metadata, json_options=_AS_JSON)
        )
        count = 0
        with (target / f"{collection.name}.bson").open("xb") as file:
            async for batch in collection.find_raw_batches(
                {}, batch_size=BATCH_DOCUMENTS, session=self._session
            ):
                documents = cast("bytes", batch)  # pymongo declares a wrong type
                file.write(documents)
                count += sum(1 for _ in _sizes(documents))
        return count


class Databases:
    """The databases of all services."""

    def __init__(self, client: Client, names: Sequence[str]) -> None:
        self._client = client
        self._names = names

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[DatabaseReader]:
        """Read a consistent state while services run: a transaction sees all databases as of its first read.

        MongoDB ends a transaction after a minute (`transactionLifetimeLimitSeconds`).
        """
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._client.start_session(causal_consistency=True))
            # With causal consistency, reads after this ping include every write that was acknowledged before.
            await self._client.admin.command("ping", session=session)
            await stack.enter_async_context(
                await session.start_transaction(read_concern=ReadConcern("snapshot"))
            )
            # The first read determines the time of the snapshot.
            await self._client[self._names[0]][HALF_RESTORED].find_one(session=session)
            yield DatabaseReader(self._client, session)

    def reader(self) -> DatabaseReader:
        """Read without a transaction. The state is consistent only if no service runs."""
        return DatabaseReader(self._client, None)

    def database(self, name: str) -> Database:
        """One of the databases."""
        return self._client[name]

    async def filled(self) -> list[str]:
        """The databases that contain documents."""
        names = {
            collection.database.name
            async for collection in self._collections()
            if await collection.find_one({}, {"_id": 1})
        }
        return sorted(names)

    async def half_restored(self) -> bool:
        """Whether a restore began but didn't end."""
        return any([await self._client[name][HALF_RESTORED].find_one() for name in self._names])

    async def begin_restore(self) -> None:
        """Mark the databases, so that no service starts with them and no backup reads them."""
        for name in self._names:
            await self._client[name][HALF_RESTORED].replace_one({"_id": 1}, {"_id": 1}, upsert=True)

    async def end_restore(self) -> None:
        for name in self._names:
            await self._client[name][HALF_RESTORED].drop()

    async def restore(self, name: str, folder: Path) -> Counts:
        """Replace a database with the dump in `<folder>/<name>`. Repeating it is harmless.

        Raises:
            BackupError: a file is damaged, or the server rejects its content.
        """
        try:
            for collection in await self._client[name].list_collection_names():
                if _is_ours(collection):
                    await self._client[name][collection].drop()
            files = sorted((folder / name).glob("*.bson"))
            return {file.stem: await self._restore_collection(name, file) for file in files}
        except (PyMongoError, BSONError, ValueError) as error:
            raise BackupError(f"Database {name} can't be restored: {error}") from error

    async def outbox_messages(self) -> Mapping[str, datetime]:
        """The time at which each outbox message was written, by the id of the message."""
        return {
            str(message["id"]): message["time"]
            async for collection in self._collections()
            async for document in collection.find(HAS_OUTBOX_MESSAGES, {"outbox": 1})
            for message in document["outbox"]
            if isinstance(message, dict) and isinstance(message.get("time"), datetime)
        }

    async def remove_outbox_messages(self, ids: Iterable[str]) -> None:
        """Remove the outbox messages with these ids. Repeating it is harmless."""
        removed = {"$pull": {"outbox": {"id": {"$in": list(ids)}}}}
        async for collection in self._collections():
            await collection.update_many(HAS_OUTBOX_MESSAGES, removed)

    async def _collections(self) -> AsyncIterator[AsyncCollection[dict[str, Any]]]:
        for name in self._names:
            for collection in await self._client[name].list_collection_names():
                if _is_ours(collection):
                    yield self._client[name][collection]

    async def _restore_collection(self, name: str, file: Path) -> int:
        metadata = json_util.loads(
            file.with_suffix(".metadata.json").read_text(), json_options=json_util.DEFAULT_JSON_OPTIONS
        )
        options = metadata["options"]
        collection = await self._client[name].create_collection(file.stem, **options)
        count = 0
        with file.open("rb") as opened:
            for batch in _batches(opened):
                await collection.insert_many(batch)
                count += len(batch)
        indexes = [index for index in metadata["indexes"] if index["name"] != "_id_"]
        if indexes:
            await self._client[name].command("createIndexes", file.stem, indexes=indexes)
        return count


@asynccontextmanager
async def databases(url: str, names: Sequence[str]) -> AsyncIterator[Databases]:
    """Connect to the databases with these names. The user needs read and write access.

    Raises:
        BackupError: the server can't be reached, or doesn't meet the requirements.
    """
    async with connect(url) as client:
        try:
            await require_majority(client[names[0]])
        except (PyMongoError, Unusable) as error:
            raise BackupError(f"The database doesn't answer: {explain(error)}") from error
        yield Databases(client, names)


def _is_ours(collection: str) -> bool:
    return collection != HALF_RESTORED and not collection.startswith("system.")


def _sizes(documents: bytes) -> Iterator[int]:
    at = 0
    while at < len(documents):
        size = int.from_bytes(documents[at : at + 4], "little")
        yield size
        at += size


def _batches(file: BinaryIO) -> Iterator[list[RawBSONDocument]]:
    batch: list[RawBSONDocument] = []
    size = 0
    while head := file.read(4):
        document = head + file.read(int.from_bytes(head, "little") - 4)
        if batch and (len(batch) == BATCH_DOCUMENTS or size + len(document) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(RawBSONDocument(document))
        size += len(document)
    if batch:
        yield batch
