"""The indexes that documents declare, compared with those of the database.

`just migrate` creates and drops indexes (ops/migrate.py). Services create none, because a build may take
hours. They wait until their indexes are there.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from kit.mongo import Database, Documents, Refused, is_outage

log = logging.getLogger(__name__)

Definition = dict[str, Any]
"""The keys and the options of an index, in the same form whether they are declared or stored."""

Indexes = Mapping[str, Mapping[str, Definition]]
"""Definitions by collection and name."""

NAMESPACE_NOT_FOUND = 26
"""MongoDB's error code if a collection doesn't exist."""

RETRY_SECONDS = 0.25

MIGRATION_SECONDS = 20.0
"""Missing indexes are reported only after this time, because `just up` creates them during the start."""

REPORT_SECONDS = 60.0


def declared(documents: Documents) -> Indexes:
    """The indexes that the documents need, without that of `_id`."""
    return {
        str(settings.name): {
            index.document["name"]: definition(index.document) for index in getattr(settings, "indexes", ())
        }
        for settings in (kind.Settings for kind in documents)
    }


def definition(described: Mapping[str, Any]) -> Definition:
    """The definition in a description of an index as createIndexes takes it and listIndexes returns it."""
    ignored = ("key", "name", "ns", "v", "background")
    options = {name: value for name, value in described.items() if name not in ignored and value is not False}
    return {"key": [list(field) for field in described["key"].items()], **options}


async def stored(database: Database, collection: str) -> tuple[Mapping[str, Definition], set[str]]:
    """The indexes of a collection, and the names of those that are still being built.

    A unique index that is being built doesn't refuse anything yet.
    """
    try:
        answer = await database.command("listIndexes", collection, includeIndexBuildInfo=True)
    except Refused as error:
        if error.code == NAMESPACE_NOT_FOUND:
            return {}, set()
        raise
    described = answer["cursor"]["firstBatch"]  # MongoDB allows 64 indexes, which fit into one batch
    building = {index["spec"]["name"] for index in described if "indexBuildInfo" in index}
    specs = [index.get("spec", index) for index in described]
    return {spec["name"]: definition(spec) for spec in specs}, building


async def missing(database: Database, documents: Documents) -> list[str]:
    """A description of each index that the documents need and the database doesn't have as they need it."""
    found = []
    for collection, wanted in declared(documents).items():
        existing, building = await stored(database, collection) if wanted else ({}, set())
        for name, needed in wanted.items():
            if name not in existing:
                found.append(f"{collection}.{name} is missing")
            elif existing[name] != needed:
                found.append(f"{collection}.{name} is {existing[name]} instead of {needed}")
            elif name in building:
                found.append(f"{collection}.{name} is being built")
    return found


class IndexCheck:
    """Whether a service's database has all indexes that the service needs."""

    def __init__(self, database: Database, documents: Documents) -> None:
        self._database = database
        self._documents = documents
        self.passed = asyncio.Event()

    async def check(self) -> list[str]:
        """Check once. Return what is missing."""
        found = await missing(self._database, self._documents)
        if not found:
            self.passed.set()
        return found

    async def run(self) -> None:
        """Check until nothing is missing, and report what is missing from time to time."""
        report_at = time.monotonic() + MIGRATION_SECONDS
        while not self.passed.is_set():
            try:
                found = await self.check()
            except Exception as error:
                if not is_outage(error):
                    raise
                found = [f"the database is unavailable: {error}"]
            if found and time.monotonic() >= report_at:
                log.error("waiting for indexes: run `just migrate`: %s", "; ".join(found))
                report_at = time.monotonic() + REPORT_SECONDS
            if found:
                await asyncio.sleep(RETRY_SECONDS)
