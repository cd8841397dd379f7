"""The sandbox's data in one SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from sandbox.stripe.state import Challenge, Charge, Dispute, Intent, PaymentMethod, Refund, Session, Stored

# With FULL, a commit returns after it is on the disk, so kill -9 or a power cut loses no answered request.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA busy_timeout = 5000;
PRAGMA cache_size = -32000;
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    intent TEXT,
    charge TEXT,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_kind ON objects (kind, seq);
CREATE INDEX IF NOT EXISTS by_intent ON objects (intent, kind, seq) WHERE intent IS NOT NULL;
CREATE INDEX IF NOT EXISTS by_charge ON objects (charge, kind, seq) WHERE charge IS NOT NULL;
-- This index is on an expression instead of a column, so that it also works for older files.
CREATE INDEX IF NOT EXISTS by_created ON objects (kind, json_extract(CAST(body AS TEXT), '$.created'), seq);
CREATE TABLE IF NOT EXISTS open_sessions (
    id TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_expiry ON open_sessions (expires_at);
CREATE TABLE IF NOT EXISTS open_refunds (
    id TEXT PRIMARY KEY,
    settles_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    created INTEGER NOT NULL,
    request TEXT,
    idempotency_key TEXT,
    object TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_type ON events (type, seq);
CREATE INDEX IF NOT EXISTS events_by_time ON events (created, seq);
CREATE TABLE IF NOT EXISTS deliveries (
    event INTEGER PRIMARY KEY,
    tries INTEGER NOT NULL,
    due REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_by_due ON deliveries (due, event);
CREATE TABLE IF NOT EXISTS answers (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    path TEXT NOT NULL,
    params TEXT NOT NULL,
    request_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (account, key)
) WITHOUT ROWID;
"""

T = TypeVar("T")
K = TypeVar("K", bound=Stored)


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (PaymentMethod, Intent, Charge, Refund, Dispute, Challenge, Session)
}
_CREATED = "json_extract(CAST(body AS TEXT), '$.created')"


@dataclass(frozen=True)
class Answer:
    status: int
    body: str
    request_id: str
    """The id of the request that got this answer first."""
    replayed: bool = False


@dataclass(frozen=True)
class Change:
    before: Stored | None
    after: Stored


@dataclass(frozen=True)
class Page:
    """Selects one page of a list, newest first."""

    limit: int = 10
    starting_after: str | None = None
    ending_before: str | None = None
    earliest: int | None = None
    """Minimum time of creation, inclusive."""
    latest: int | None = None
    """Maximum time of creation, inclusive."""


class Ledger:
    """One transaction; valid only inside `Store.run`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._changes: list[Change] = []

    def find(self, kind: type[K], id: str | None) -> K | None:  # noqa: A002
        row = self.connection.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ?", (id, kind.__name__)
        ).fetchone()
        thing: K | None = row and _ADAPTERS[kind.__name__].validate_json(row[0])
        return thing

    def save(self, *things: Stored | None) -> None:
        for thing in things:
            if thing is None:
                continue
            kind = type(thing)
            self._changes.append(Change(self.find(kind, thing.id), thing))
            self.connection.execute(
                "INSERT INTO objects (id, kind, intent, charge, body) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET body = excluded.body, intent = excluded.intent",
                (
                    thing.id,
                    kind.__name__,
                    thing.payment_intent if isinstance(thing, Charge | Refund | Dispute | Session) else None,
                    thing.charge if isinstance(thing, Refund | Dispute) else None,
                    _ADAPTERS[kind.__name__].dump_json(thing),
                ),
            )
            if isinstance(thing, Session):
                self._watch("open_sessions", thing.id, thing.expires_at if thing.status == "open" else None)
            elif isinstance(thing, Refund):
                self._watch("open_refunds", thing.id, thing.settles_at)

    def _watch(self, table: str, id_: str, due: int | None) -> None:
        """Remember when time changes this object, or forget the object if time doesn't change it any more."""
        if due is not None:
            self.connection.execute(f"INSERT OR IGNORE INTO {table} VALUES (?, ?)", (id_, due))  # noqa: S608
        else:
            self.connection.execute(f"DELETE FROM {table} WHERE id = ?", (id_,))  # noqa: S608

    def due_sessions(self, now: int) -> list[Session]:
        """The open sessions that have reached their time of expiry."""
        rows = self.connection.execute("SELECT id FROM open_sessions WHERE expires_at <= ?", (now,))
        found = [self.find(Session, id_) for (id_,) in rows.fetchall()]
        return [session for session in found if session is not None]

    def due_refunds(self, now: int) -> list[Refund]:
        """The refunds on which the bank has decided."""
        rows = self.connection.execute("SELECT id FROM open_refunds WHERE settles_at <= ?", (now,))
        found = [self.find(Refund, id_) for (id_,) in rows.fetchall()]
        return [refund for refund in found if refund is not None]

    def take_changes(self) -> list[Change]:
        """Return the changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def listed(
        self, kind: type[K], page: Page, *, intent: str | None = None, charge: str | None = None
    ) -> tuple[list[K], bool]:
        """One page of a list, and whether there is a next page in the same direction."""
        where: list[str] = ["kind = ?"]
        values: list[str | int] = [kind.__name__]
        by_time = page.earliest is not None or page.latest is not None
        filters: dict[str, str | int | None] = {
            f"{_CREATED} >= ?": page.earliest,
            f"{_CREATED} <= ?": page.latest,
            "intent = ?": intent,
            "charge = ?": charge,
            "seq < (SELECT seq FROM objects WHERE id = ?)": page.starting_after,
            "seq > (SELECT seq FROM objects WHERE id = ?)": page.ending_before,
        }
        for condition, value in filters.items():
            if value is not None:
                where.append(condition)
                values.append(value)
        backwards = page.ending_before is not None
        direction = "ASC" if backwards else "DESC"
        # Order by the index that the conditions use. Without times, seq is the order of creation.
        order = f"{_CREATED} {direction}, seq {direction}" if by_time else f"seq {direction}"
        select = f"SELECT body FROM objects WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?"  # noqa: S608
        rows = self.connection.execute(select, (*values, page.limit + 1)).fetchall()
        found = [_ADAPTERS[kind.__name__].validate_json(body) for (body,) in rows[: page.limit]]
        return (found[::-1] if backwards else found), len(rows) > page.limit

    def method_of(self, intent: Intent) -> PaymentMethod | None:
        return self.find(PaymentMethod, intent.payment_method) if intent.payment_method else None

    def charge_of(self, intent: Intent) -> Charge | None:
        return self.find(Charge, intent.latest_charge) if intent.latest_charge else None

    def answered(self, account: str, key: str) -> tuple[str, str, Answer] | None:
        """The path, the parameters and the answer of the first request with the key."""
        row = self.connection.execute(
            "SELECT path, params, status, body, request_id FROM answers WHERE account = ? AND key = ?",
            (account, key),
        ).fetchone()
        return row and (row[0], row[1], Answer(row[2], row[3], row[4], replayed=True))

    def save_answer(self, account: str, key: str, path: str, params: str, answer: Answer) -> None:
        self.connection.execute(
            "INSERT INTO answers (account, key, path, params, request_id, status, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (account, key, path, params, answer.request_id, answer.status, answer.body),
        )

    def attempt(self, work: "Callable[[Ledger], T]") -> T:
        """Do `work` in a savepoint: an error rolls back its writes, but not the transaction."""
        self.connection.execute("SAVEPOINT attempt")
        try:
            return work(self)
        except BaseException:
            self.connection.execute("ROLLBACK TO attempt")
            raise
        finally:
            self.connection.execute("RELEASE attempt")


class Store:
    """One connection on its own thread, which runs transactions one after another in order of request.

    A transaction completes even if its caller is cancelled, and is never interleaved with another one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="stripe-sandbox")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._open)

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.executescript(_SCHEMA)

    async def close(self) -> None:
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    async def run(self, work: Callable[[Ledger], T]) -> T:
        """Do `work` in one transaction, which is on disk when this returns."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work)

    def _transact(self, work: Callable[[Ledger], T]) -> T:
        assert self._connection is not None, "the store isn't open"
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(Ledger(self._connection))
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return result
