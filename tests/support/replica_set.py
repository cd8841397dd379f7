"""An imitation of a MongoDB replica set, in front of two embedded databases.

One database is the primary's state. The other one has only what a majority of the members has. Each write
goes to the first at once and to the second when it is replicated, in the same order. Reads with majority read
concern go to the second.

As with MongoDB, a write with `w: "majority"` is answered after everything that it has seen is replicated,
even if it has changed nothing or violates a unique index. A failover loses all other writes.

Transactions and reads from secondaries aren't imitated.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from bson import ObjectId
from pymongo import AsyncMongoClient

from sandbox.testing import free_port, mongo_server
from tests.support import op_msg
from tests.support.op_msg import Document, Message

HELLO = ("hello", "ismaster", "isMaster")
READS = ("find", "aggregate", "count", "distinct")
WRITES = (
    *("insert", "update", "delete", "findAndModify"),
    *("create", "createIndexes", "drop", "dropDatabase", "dropIndexes"),
)
OF_A_SESSION = ("lsid", "txnNumber", "$clusterTime", "operationTime")
OF_A_SET = ("setName", "setVersion", "hosts", "passives", "arbiters", "primary", "me", "electionId")

NOT_PRIMARY = {"ok": 0.0, "errmsg": "not primary", "code": 10107, "codeName": "NotWritablePrimary"}
STEPPED_DOWN = {"code": 189, "codeName": "PrimarySteppedDown", "errmsg": "the primary stepped down"}
TIMED_OUT = {
    "code": 64,
    "codeName": "WriteConcernTimeout",
    "errmsg": "waiting for replication timed out",
    "errInfo": {"wtimeout": True},
}
NO_MAJORITY_READS = {
    "ok": 0.0,
    "code": 148,
    "codeName": "ReadConcernMajorityNotEnabled",
    "errmsg": "Majority read concern requested, but it is not supported",
}
RETRYABLE = {"errorLabels": ["RetryableWriteError"]}


class ReplicaSet:
    """The set as its clients see it: one address, behind which another member may become the primary."""

    def __init__(self, port: int, primary: str, majority: str) -> None:
        self.address = f"127.0.0.1:{port}"
        self.url = f"mongodb://{self.address}/?replicaSet=rs0"
        self.is_standalone = False
        """Whether the server says that it belongs to no set."""
        self.has_majority_reads = True
        self.remembers_answers = True
        """Whether a repeated write with the same transaction number gets its first answer."""
        self.after_write: Callable[[Document], bool] | None = None
        """Is called after each write. If it returns true, the connection breaks before the answer is sent."""
        self._primary, self._majority = primary, majority
        self._has_primary = True
        self._term = 1
        self._is_replicating = True
        self._log: list[Document] = []
        self._replicated = 0
        """The number of writes in the log that a majority has."""
        self._answers: dict[tuple[bytes, int], tuple[int, Document]] = {}
        self._majority_cursors: set[int] = set()
        self._writing = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._connections: set[asyncio.Task[None]] = set()

    # What a test lets happen

    @property
    def unreplicated(self) -> list[Document]:
        """The writes that a failover would lose."""
        return self._log[self._replicated :]

    def stop_replication(self) -> None:
        """From now on, no majority has a new write."""
        self._is_replicating = False

    async def replicate(self) -> None:
        """Replicate all writes, and each later write at once."""
        async with self._writing:
            self._is_replicating = True
            await self._catch_up()

    async def step_down(self) -> None:
        """Let the set have no primary. Writes that wait for a majority are answered with an error."""
        self._has_primary = False
        await self._notify()

    async def elect(self) -> None:
        """Let a member become the primary that has only what a majority has."""
        async with self._writing:
            del self._log[self._replicated :]
            self._answers = {key: each for key, each in self._answers.items() if each[0] <= self._replicated}
            await _copy(self._majority, self._primary)
            self._term += 1
            self._has_primary = self._is_replicating = True
        await self._notify()

    async def fail_over(self) -> None:
        """Lose the primary, with all writes that no majority has."""
        await self.step_down()
        await self.elect()

    # What clients ask

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a new connection."""
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def close(self) -> None:
        """Break all connections. Python 3.11 leaves them open when it closes a server."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        members = _Members()
        try:
            while True:
                message = await op_msg.receive(reader)
                body = await self._answer(members, message)
                if message.needs_answer:
                    body = {name: value for name, value in body.items() if name not in OF_A_SESSION}
                    writer.write(op_msg.answer(body, message))
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()
            await members.close()

    async def _answer(self, members: "_Members", message: Message) -> Document:
        command = {name: value for name, value in message.body.items() if name not in OF_A_SESSION}
        name = next(iter(command))
        if name in HELLO:
            return self._hello(await members.ask(self._primary, command))
        if not self._has_primary and name in (*READS, *WRITES):
            return {**NOT_PRIMARY, **(RETRYABLE if "txnNumber" in message.body else {})}
        if name in WRITES:
            return await self._write(members, command, message.body)
        wants_majority = command.get("readConcern", {}).get("level") == "majority"
        if wants_majority and not self.has_majority_reads:
            return NO_MAJORITY_READS
        if not wants_majority and command.get("getMore") not in self._majority_cursors:
            return await members.ask(self._primary, command)
        answer = await members.ask(self._majority, command)
        if cursor := answer.get("cursor"):
            self._majority_cursors.add(cursor["id"])
        return answer

    def _hello(self, hello: Document) -> Document:
        # Without a version of the topology, clients ask again instead of waiting for news.
        hello = {name: value for name, value in hello.items() if name not in (*OF_A_SET, "topologyVersion")}
        if self.is_standalone:
            return hello
        hello |= {"setName": "rs0", "setVersion": 1, "hosts": [self.address], "me": self.address}
        if not self._has_primary:
            return hello | {"isWritablePrimary": False, "ismaster": False, "secondary": True}
        election = ObjectId(f"7fffffff{self._term:016x}")
        return hello | {"primary": self.address, "electionId": election}

    async def _write(self, members: "_Members", command: Document, sent: Document) -> Document:
        concern = command.pop("writeConcern", {})
        is_repeatable = "txnNumber" in sent
        key = (bytes(sent["lsid"]["id"]), int(sent["txnNumber"])) if is_repeatable else None
        async with self._writing:
            if key in self._answers and self.remembers_answers:
                answer = self._answers[key][1]
            else:
                answer = await members.ask(self._primary, command)
                self._log.append(command)
                if key is not None:
                    self._answers[key] = len(self._log), answer
            if self._is_replicating:
                await self._catch_up()
            seen, term = len(self._log), self._term
        if self.after_write is not None and self.after_write(sent):
            self.after_write = None
            raise ConnectionResetError
        if concern.get("w", "majority") != "majority":
            return answer
        error = await self._wait_until_replicated(seen, term, concern.get("wtimeout", 0) / 1000)
        if error is None:
            return answer
        retryable = RETRYABLE if error is STEPPED_DOWN and is_repeatable else {}
        return {**answer, "writeConcernError": error, **retryable}

    async def _wait_until_replicated(self, seen: int, term: int, seconds: float) -> Document | None:
        """Wait until a majority has the first `seen` writes. Return the error if that fails."""

        def is_over() -> bool:
            return self._replicated >= seen or not self._has_primary or self._term != term

        try:
            async with asyncio.timeout(seconds or None), self._changed:
                await self._changed.wait_for(is_over)
        except TimeoutError:
            return TIMED_OUT
        return None if self._term == term and self._replicated >= seen else STEPPED_DOWN

    async def _catch_up(self) -> None:
        members = _Members()
        try:
            for command in self.unreplicated:
                await members.ask(self._majority, command)
                self._replicated += 1
        finally:
            await members.close()
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class _Members:
    """Connections to the embedded databases."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def ask(self, member: str, command: Document) -> Document:
        """Send a command, and return the answer."""
        if member not in self._open:
            host, _, port = member.partition(":")
            self._open[member] = await asyncio.open_connection(host, int(port))
        reader, writer = self._open[member]
        writer.write(op_msg.request(command))
        return (await op_msg.receive(reader)).body

    async def close(self) -> None:
        for _, writer in self._open.values():
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _copy(source: str, target: str) -> None:
    """Replace all documents of the target by those of the source."""
    async with (
        AsyncMongoClient[dict[str, Any]](f"mongodb://{source}/?retryWrites=false") as old,
        AsyncMongoClient[dict[str, Any]](f"mongodb://{target}/?retryWrites=false") as new,
    ):
        for name in await new.list_database_names():
            for collection in await new[name].list_collection_names():
                if name not in ("admin", "config", "local"):
                    await new[name][collection].delete_many({})
                    if documents := await old[name][collection].find().to_list():
                        await new[name][collection].insert_many(documents)


@asynccontextmanager
async def replica_set(folder: Path) -> AsyncIterator[ReplicaSet]:
    """A healthy replica set with its data in `folder`."""
    async with mongo_server(folder / "primary") as primary, mongo_server(folder / "majority") as majority:
        port = free_port()
        addresses = (url.removeprefix("mongodb://").partition("/")[0] for url in (primary, majority))
        started = ReplicaSet(port, *addresses)
        server = await asyncio.start_server(started.accept, "127.0.0.1", port)
        try:
            yield started
        finally:
            server.close()
            await started.close()
