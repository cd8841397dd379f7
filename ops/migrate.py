"""Create the indexes that this version needs, and drop those that no running version needs any more.

Creating is safe while older instances run: it changes nothing that they use. Dropping is a separate step for
when they are gone (docs/decisions/0031-rolling-upgrades.md).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

from pymongo import IndexModel, WriteConcern

from kit.background import cancel
from kit.indexes import Definition, declared, stored
from kit.lease import Lease
from kit.mongo import (
    Database,
    DatabaseError,
    Documents,
    Refused,
    Unusable,
    connect,
    is_outage,
    require_majority,
    require_no_restore,
)
from ops.backfill import backfill_shows
from ops.errors import CommandError, explain
from ops.releases import DatabaseIndexes, current_indexes, released_indexes, versions
from settings import ServiceName, Settings
from streams.processes import PROCESSES

log = logging.getLogger(__name__)

TIMEOUT_SECONDS = 60.0
"""How long to wait for a database that isn't available. A build of an index may take any time."""
RETRY_SECONDS = 1.0

LEASE = timedelta(seconds=60)
"""How long another run waits after the death of a run. The lease is extended during a build."""

KEPT_RELEASES = 2
"""The newest releases whose indexes are kept, because an operator may return to the previous version."""

BY_A_MAJORITY = WriteConcern("majority", j=True)
"""Without the time-out of other writes, because a build may take hours."""

INDEX_NOT_FOUND = 27
"""MongoDB's error code if the index to drop doesn't exist."""

Report = Callable[[str], None]
"""Is called with each step as a sentence for the operator."""


class NotMigrated(CommandError):
    """Some indexes couldn't be created. The message says why."""


@dataclass(frozen=True)
class Index:
    database: str
    collection: str
    name: str

    def __str__(self) -> str:
        return f"{self.database}.{self.collection}.{self.name}"


async def migrate(
    settings: Settings,
    report: Report,
    *,
    contract: bool = False,
    dry_run: bool = False,
    within: float = TIMEOUT_SECONDS,
) -> None:
    """Create missing indexes, and then the events of listings that have none. Repeating it, also at the same
    time, changes nothing.

    Args:
        contract: also drop the indexes of earlier releases that neither this version nor the newest two
            releases need. No older instance may be running. Other indexes, such as those that operators have
            made, stay.
        dry_run: only report what would be done.
        within: seconds to wait for a database that isn't available.

    Raises:
        NotMigrated: the database can't be used, or an index can't be created, for example because documents
            violate it. All others are created.
    """
    async with connect(settings.database) as client:

        async def migrated(name: ServiceName, documents: Documents) -> list[str]:
            migration = _Migration(client.get_database(name), documents, report)
            try:
                return await _retry(lambda: migration.run(contract=contract, dry_run=dry_run), within)
            except (DatabaseError, Unusable) as error:
                return [f"Database {name} isn't migrated, repeat the command: {explain(error)}"]

        problems = await asyncio.gather(
            *(migrated(service.name, service.documents) for service in PROCESSES if service.documents)
        )
    _raise(chain(*problems))
    if any(service.name == "tickets" for service in PROCESSES):
        await _place_listings(settings, report, dry_run=dry_run)


async def _place_listings(settings: Settings, report: Report, *, dry_run: bool) -> None:
    try:
        count = await backfill_shows(settings, dry_run=dry_run)
    except (DatabaseError, Unusable) as error:
        raise NotMigrated(f"Some listings have no event, repeat the command: {explain(error)}") from error
    if count:
        report(f"{'would look' if dry_run else 'looked'} for the events of {count} listings")


async def create_indexes(database: Database, documents: Documents) -> None:
    """Create the missing indexes of these documents, without a look at other processes.

    Raises:
        NotMigrated: an index can't be created.
    """
    _raise(await _Migration(database, documents, log.debug).create())


def _raise(problems: Iterable[str]) -> None:
    if text := "; ".join(problems):
        raise NotMigrated(text)


class _Migration:
    """The migration of one service's database. Its methods return what can't be done, as sentences."""

    def __init__(self, database: Database, documents: Documents, report: Report) -> None:
        self._database = database
        self._name = database.name
        self._documents = documents
        self._report = report

    async def run(self, *, contract: bool, dry_run: bool) -> list[str]:
        """Create what is missing. Then drop what is unneeded, if everything could be created."""
        await require_majority(self._database)
        await require_no_restore(self._database)
        problems, has_work = [], False
        for index, conflict in [each async for each in self._missing()]:
            has_work = has_work or not conflict
            if conflict:
                problems.append(conflict)
            elif dry_run:
                self._report(f"would create the index {index}")
        unneeded = [index async for index in self._unneeded()] if contract else []
        if dry_run:
            for index in unneeded:
                self._report(f"would drop the index {index}")
        elif has_work or unneeded:
            async with self._alone():
                problems = await self.create()
                if contract and not problems:
                    await self._drop()
        return problems

    async def create(self) -> list[str]:
        """Create the missing indexes, those of one collection in one pass over its documents."""
        models = {
            (kind.Settings.name, index.document["name"]): index
            for kind in self._documents
            for index in getattr(kind.Settings, "indexes", ())
        }
        problems: list[str] = []
        wanted: dict[str, list[IndexModel]] = {}
        async for index, conflict in self._missing():
            if conflict:
                problems.append(conflict)
            else:
                wanted.setdefault(index.collection, []).append(models[index.collection, index.name])
        for collection, indexes in wanted.items():
            names = ", ".join(index.document["name"] for index in indexes)
            self._report(f"creating indexes of {self._name}.{collection}: {names}")
            problems += await self._build(collection, indexes)
        return problems

    async def _build(self, collection: str, indexes: list[IndexModel]) -> list[str]:
        """Create indexes of a collection in one pass, or one by one if one of them can't be created."""
        confirmed = self._database[collection].with_options(write_concern=BY_A_MAJORITY)
        try:
            await confirmed.create_indexes(indexes)
        except Refused as error:
            if is_outage(error):
                raise
            if len(indexes) > 1:
                return [text for index in indexes for text in await self._build(collection, [index])]
            index = Index(self._name, collection, indexes[0].document["name"])
            return [f"The index {index} can't be created: {explain(error)}"]
        return []

    async def _missing(self) -> AsyncIterator[tuple[Index, str]]:
        """Each index to create. The text isn't empty if another index is in its way."""
        for collection, needed in declared(self._documents).items():
            existing, building = await stored(self._database, collection) if needed else ({}, set())
            for name, definition in needed.items():
                index = Index(self._name, collection, name)
                if name not in existing or (existing[name] == definition and name in building):
                    yield index, ""  # creating an index that is being built waits for the build
                elif existing[name] != definition:
                    yield index, _conflict(index, existing[name], definition)

    async def _unneeded(self) -> AsyncIterator[Index]:
        """The indexes that an earlier release made, and that no version in use needs."""
        releases = [released_indexes(version) for version in versions()]
        kept = [current_indexes(), *releases[-KEPT_RELEASES:]]
        for collection in {collection for release in releases for collection in release.get(self._name, {})}:
            existing, _ = await stored(self._database, collection)
            for name, definition in existing.items():
                index = Index(self._name, collection, name)
                was_ours = definition in _definitions(index, releases)
                if was_ours and not any(_definitions(index, kept)):
                    yield index

    async def _drop(self) -> None:
        for index in [index async for index in self._unneeded()]:
            self._report(f"dropping the index {index}")
            try:
                await self._database[index.collection].drop_index(index.name)
            except Refused as error:
                if error.code != INDEX_NOT_FOUND:
                    raise

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Wait until no other run works on this database."""
        lease = Lease(self._database, "migrate", LEASE)
        while not await lease.hold():
            log.info("another run migrates %s, waiting for it", self._name)
            await asyncio.sleep(RETRY_SECONDS)
        extending = asyncio.create_task(_extend(lease))
        try:
            yield
        finally:
            await cancel(extending)
            with suppress(DatabaseError):  # the lease ends by itself
                await lease.release()


def _conflict(index: Index, existing: Definition, needed: Definition) -> str:
    return (
        f"The index {index} is {existing} instead of {needed}."
        " No release made it: drop it by hand and repeat the command"
    )


def _definitions(index: Index, releases: Sequence[DatabaseIndexes]) -> Iterator[Definition]:
    """The definitions of an index in these releases."""
    for release in releases:
        definition = release.get(index.database, {}).get(index.collection, {}).get(index.name)
        if definition is not None:
            yield definition


async def _extend(lease: Lease) -> None:
    """Extend the lease until cancelled. If it ends nevertheless, another run only does the work twice."""
    while True:
        await asyncio.sleep(LEASE.total_seconds() / 4)
        with suppress(DatabaseError):
            await lease.hold()


async def _retry(attempt: Callable[[], Awaitable[list[str]]], within: float) -> list[str]:
    """Repeat an attempt that an outage ends, until the database wasn't available for `within` seconds."""
    give_up_at = time.monotonic() + within
    while True:
        began = time.monotonic()
        try:
            return await attempt()
        except DatabaseError as error:
            failed = time.monotonic()
            if failed - began > TIMEOUT_SECONDS:  # the database was available meanwhile: a new outage begins
                give_up_at = failed + within
            if not is_outage(error) or failed > give_up_at:
                raise
            log.warning("the database isn't available, trying again: %s", explain(error))
        await asyncio.sleep(RETRY_SECONDS)
