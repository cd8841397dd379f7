"""The sandbox's data in one SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from sandbox.stripe.connect.state import (
    Account,
    AccountLink,
    BalanceTransaction,
    LoginLink,
    Payout,
    Transfer,
    TransferReversal,
)
from sandbox.stripe.schema import CREATED, field, prepare
from sandbox.stripe.state import Challenge, Charge, Dispute, Intent, PaymentMethod, Refund, Session, Stored

T = TypeVar("T")
K = TypeVar("K", bound=Stored)


_ADAPTERS: dict[str, TypeAdapter[Any]] = {
    kind.__name__: TypeAdapter(kind)
    for kind in (
        *(PaymentMethod, Intent, Charge, Refund, Dispute, Challenge, Session),
        *(Account, AccountLink, LoginLink, BalanceTransaction, Transfer, TransferReversal, Payout),
    )
}


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

    def set_timer(self, kind: str, id_: str, due: int) -> None:
        """Let time change this object. A timer that exists stays as it is."""
        self.connection.execute("INSERT OR IGNORE INTO timers VALUES (?, ?, ?)", (kind, id_, due))

    def due_timers(self, now: int) -> list[tuple[str, str]]:
        """The kinds and ids of all timers that are due, which are removed."""
        due = self.connection.execute(
            "SELECT kind, id FROM timers WHERE due <= ? ORDER BY due, kind, id", (now,)
        ).fetchall()
        self.connection.executemany("DELETE FROM timers WHERE kind = ? AND id = ?", due)
        return due

    def move_money(self, account: str, currency: str, *, available: int = 0, pending: int = 0) -> None:
        """Add to the balance of an account. Negative amounts are taken away."""
        self.connection.execute(
            "INSERT INTO balances (account, currency, available, pending) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (account, currency) DO UPDATE SET"
            " available = available + excluded.available, pending = pending + excluded.pending",
            (account, currency, available, pending),
        )

    def balance(self, account: str) -> dict[str, tuple[int, int]]:
        """What is available and what is pending, by currency."""
        rows = self.connection.execute(
            "SELECT currency, available, pending FROM balances WHERE account = ? ORDER BY currency",
            (account,),
        )
        return {currency: (available, pending) for currency, available, pending in rows}

    def take_changes(self) -> list[Change]:
        """Return the changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def listed(
        self,
        kind: type[K],
        page: Page,
        *,
        intent: str | None = None,
        charge: str | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> tuple[list[K], bool]:
        """One page of a list, and whether there is a next page in the same direction.

        Args:
            fields: further fields that the objects must have, such as `destination`. None matches all.
        """
        where: list[str] = ["kind = ?"]
        values: list[str | int] = [kind.__name__]
        by_time = page.earliest is not None or page.latest is not None
        filters: dict[str, str | int | None] = {
            f"{CREATED} >= ?": page.earliest,
            f"{CREATED} <= ?": page.latest,
            "intent = ?": intent,
            "charge = ?": charge,
            "seq < (SELECT seq FROM objects WHERE id = ?)": page.starting_after,
            "seq > (SELECT seq FROM objects WHERE id = ?)": page.ending_before,
        }
        filters |= {f"{field(name)} = ?": value for name, value in (fields or {}).items()}
        for condition, value in filters.items():
            if value is not None:
                where.append(condition)
                values.append(value)
        backwards = page.ending_before is not None
        direction = "ASC" if backwards else "DESC"
        # Order by the index that the conditions use. Without times, seq is the order of creation.
        order = f"{CREATED} {direction}, seq {direction}" if by_time else f"seq {direction}"
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
        prepare(self._connection)

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
