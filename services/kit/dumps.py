"""All services' databases as files and back again, for operators' backups.

The files are laid out as mongodump's, so that mongorestore reads them too: `<database>/<collection>.bson`
with the documents one after the other, and `<collection>.metadata.json` with the indexes.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from bson import ObjectId, json_util
from bson.errors import BSONError, InvalidId
from bson.raw_bson import RawBSONDocument
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from services.kit.mongo import HALF_RESTORED

BATCH_DOCUMENTS = 500
BATCH_BYTES = 4 * 1024 * 1024
"""Of documents on their way to the server. A batch has at least one, which may be larger."""

_AS_JSON = json_util.CANONICAL_JSON_OPTIONS

Client = AsyncMongoClient[dict[str, Any]]
Counts = Mapping[str, int]
"""Documents by collection."""


class DumpError(Exception):
    """Says in a sentence what is wrong with a database or its files."""


class Moment:
    """All that is read of it is of one time, if it was opened so."""

    def __init__(self, client: Client, session: AsyncClientSession | None) -> None:
        self._client = client
        self._session = session

    async def dump(self, name: str, folder: Path) -> Counts:
        """Write a database into `<folder>/<name>`.

        Raises:
            DumpError: the server can't read it, or not for so long at one time.
        """
        target = folder / name
        target.mkdir(mode=0o700, parents=True)
        try:
            # Not within the transaction, which may not ask it. Collections are made at a service's start.
            described = [each async for each in await self._client[name].list_collections()]
            return {
                str(each["name"]): await self._dump_collection(name, each, target)
                for each in sorted(described, key=lambda each: str(each["name"]))
                if each.get("type", "collection") == "collection" and _is_ours(each["name"])
            }
        except PyMongoError as error:
            hint = " (with the services stopped it may take any time)" if self._session else ""
            raise DumpError(f"Database {name} can't be read{hint}: {error}") from error

    async def version(self, name: str, collection: str, key: str) -> int | None:
        """The version of a document; None if there was none, or not yet."""
        try:
            found = await self._client[name][collection].find_one(
                {"_id": ObjectId(key)}, {"version": 1}, session=self._session
            )
        except InvalidId:
            return None
        except PyMongoError as error:
            raise DumpError(f"Database {name} can't be read: {error}") from error
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
                documents = cast("bytes", batch)  # by pymongo's types it would be a document
                file.write(documents)
                count += sum(1 for _ in _sizes(documents))
        return count


class Databases:
    """The databases of all services."""

    def __init__(self, client: Client, names: Sequence[str]) -> None:
        self._client = client
        self._names = names

    @asynccontextmanager
    async def at_one_moment(self) -> AsyncIterator[Moment]:
        """Read while others write: a transaction shows all databases as they were when it began.

        A real MongoDB ends one after a minute (`transactionLifetimeLimitSeconds`).
        """
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._client.start_session(causal_consistency=True))
            # What the server had acknowledged to anybody until now is in what is read from now on.
            await self._client.admin.command("ping", session=session)
            await stack.enter_async_context(
                await session.start_transaction(read_concern=ReadConcern("snapshot"))
            )
            # The moment is that of the first read: this one, and not whenever a database isn't empty.
            await self._client[self._names[0]][HALF_RESTORED].find_one(session=session)
            yield Moment(self._client, session)

    def at_rest(self) -> Moment:
        """Read while nobody writes, for as long as it takes."""
        return Moment(self._client, None)

    async def filled(self) -> list[str]:
        """The databases that have any document."""
        return [name for name in self._names if [each async for each in self._collections_in_use(name)]]

    async def _collections_in_use(self, name: str) -> AsyncIterator[str]:
        for collection in await self._client[name].list_collection_names():
            if _is_ours(collection) and await self._client[name][collection].find_one({}, {"_id": 1}):
                yield collection

    async def half_restored(self) -> bool:
        """Whether a restore began and didn't end."""
        return any([await self._client[name][HALF_RESTORED].find_one() for name in self._names])

    async def begin_restore(self) -> None:
        """From now on no service starts with these databases, and nobody backs them up."""
        for name in self._names:
            await self._client[name][HALF_RESTORED].replace_one({"_id": 1}, {"_id": 1}, upsert=True)

    async def end_restore(self) -> None:
        for name in self._names:
            await self._client[name][HALF_RESTORED].drop()

    async def restore(self, name: str, folder: Path) -> Counts:
        """Replace a database by what is in `<folder>/<name>`. Repeating it is harmless.

        Raises:
            DumpError: a file is damaged, or the server refuses what is in it.
        """
        try:
            for collection in await self._client[name].list_collection_names():
                if _is_ours(collection):
                    await self._client[name][collection].drop()
            files = sorted((folder / name).glob("*.bson"))
            return {file.stem: await self._restore_collection(name, file) for file in files}
        except (PyMongoError, BSONError, ValueError) as error:
            raise DumpError(f"Database {name} can't be restored: {error}") from error

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
    """The databases of these names, for a user who may read and write all of them.

    Raises:
        DumpError: they can't be reached.
    """
    client: Client = AsyncMongoClient(
        url, tz_aware=True, serverSelectionTimeoutMS=5_000, connectTimeoutMS=5_000
    )
    async with client:
        try:
            await client.admin.command("ping")
        except PyMongoError as error:
            raise DumpError(f"The database doesn't answer: {error}") from error
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
