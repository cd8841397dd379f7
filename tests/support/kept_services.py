"""Services that keep running between tests, because starting one takes longer than most tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from beanie import init_beanie

from kit.mongo import Database, Documents
from settings import ServiceName, Settings
from tests.support.asgi import client_of
from tests.support.documented import documented
from tests.support.service import Served, documents_of, serving

Indexes = dict[str, Any]


@dataclass(frozen=True)
class _Kept:
    served: Served
    state: dict[str, Any]
    """The objects in the app's state after the start."""
    indexes: Indexes
    """The indexes of each collection after the start."""
    stop: AsyncExitStack


class KeptServices:
    """At most one instance of each service, always with the settings of its first start."""

    def __init__(self) -> None:
        self._kept: dict[ServiceName, _Kept] = {}

    @asynccontextmanager
    async def serving(self, name: ServiceName, conf: Settings) -> AsyncIterator[Served]:
        """The service with empty collections, and a client without cookies.

        It is started if it doesn't run, or if a test has changed its indexes.
        """
        if name in self._kept and not await _reset(self._kept[name], documents_of(name)):
            await self._stop(name)
        if name not in self._kept:
            self._kept[name] = await _started(name, conf)
        served = self._kept[name].served
        async with client_of(served.asgi, check=documented(name)) as http:
            yield replace(served, http=http)

    async def close(self) -> None:
        for name in list(self._kept):
            await self._stop(name)

    async def _stop(self, name: ServiceName) -> None:
        await self._kept.pop(name).stop.aclose()


async def _started(name: ServiceName, conf: Settings) -> _Kept:
    stop = AsyncExitStack()
    served = await stop.enter_async_context(serving(name, conf))
    collections = await served.database.list_collection_names()
    state = served.app.state.dict()
    return _Kept(served, state, await _indexes(served.database, collections), stop)


async def _reset(kept: _Kept, documents: Documents) -> bool:
    """Empty the database and undo changes of the app's state.

    Returns False if the indexes of the database differ from those after the start.
    """
    database = kept.served.database
    collections = await database.list_collection_names()
    await asyncio.gather(*(database[name].delete_many({}) for name in collections))
    await _bind(documents, database)
    kept.served.app.state.update(kept.state)
    if "catalogue" in kept.state:
        await kept.state["catalogue"].clear()
    return await _indexes(database, kept.indexes) == kept.indexes


async def _bind(documents: Documents, database: Database) -> None:
    """Bind the documents to the service's database again if another instance or service has bound them."""
    lost = [
        kind for kind in documents if kind.get_pymongo_collection().database.client is not database.client
    ]
    if lost:
        await init_beanie(database=database, document_models=lost)


async def _indexes(database: Database, collections: Any) -> Indexes:
    found = await asyncio.gather(*(database[name].index_information() for name in collections))
    return dict(zip(collections, found, strict=True))
