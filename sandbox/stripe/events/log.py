"""The log of events, and the webhooks that are still to be delivered."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from sandbox.stripe.state import Event
from sandbox.stripe.store import Page

KEPT_SECONDS = 30 * 24 * 60 * 60
"""Seconds for which events are kept: 30 days, as at Stripe."""

_COLUMNS = """id, type, created, object, request, idempotency_key,
    (SELECT COUNT(*) FROM webhooks WHERE event = seq), account"""


@dataclass(frozen=True)
class Delivery:
    number: int
    """The sequence number of the event."""
    tries: int
    """The number of failed attempts."""
    event: Event


class EventLog:
    """The log of events. It uses the connection of a ledger, and therefore that ledger's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def append(self, event: Event, *, now: float, endpoints: Iterable[str] = ()) -> None:
        """Append an event, and the deliveries to the endpoints with these names."""
        row = (event.id, event.type, event.created, event.object, event.request, event.idempotency_key)
        done = self._connection.execute(
            "INSERT INTO events (id, type, created, object, request, idempotency_key, account)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*row, event.account),
        )
        for endpoint in endpoints:
            self._connection.execute(
                "INSERT INTO webhooks (endpoint, event, tries, due) VALUES (?, ?, 0, ?)",
                (endpoint, done.lastrowid, now),
            )

    def find(self, event_id: str) -> Event | None:
        select = f"SELECT {_COLUMNS} FROM events WHERE id = ?"  # noqa: S608
        row = self._connection.execute(select, (event_id,)).fetchone()
        return row and _event(row)

    def listed(
        self, page: Page, types: str | tuple[str, ...] | None, account: str | None = None
    ) -> tuple[list[Event], bool]:
        """One page of events, and whether there is a next page in the same direction.

        Without an account, the events are the platform's own.

        `types` is a tuple of types, or one type that may contain `*` as a wildcard.
        """
        where, values = ["+account IS ?"], list[str | int | None]([account])
        by_time = page.earliest is not None or page.latest is not None
        # `+type` keeps SQLite from using the index on type, which would require sorting all matches.
        if isinstance(types, str):
            exact = "*" not in types and not by_time
            where.append("type = ?" if exact else "+type GLOB ?")
            values.append(types)
        elif types:
            where.append(f"+type IN ({', '.join('?' for _ in types)})")
            values += types
        filters: dict[str, str | int | None] = {
            "created >= ?": page.earliest,
            "created <= ?": page.latest,
            "seq < (SELECT seq FROM events WHERE id = ?)": page.starting_after,
            "seq > (SELECT seq FROM events WHERE id = ?)": page.ending_before,
        }
        for condition, value in filters.items():
            if value is not None:
                where.append(condition)
                values.append(value)
        backwards = page.ending_before is not None
        direction = "ASC" if backwards else "DESC"
        order = f"created {direction}, seq {direction}" if by_time else f"seq {direction}"
        select = f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?"  # noqa: S608
        rows = self._connection.execute(select, (*values, page.limit + 1)).fetchall()
        found = [_event(row) for row in rows[: page.limit]]
        return (found[::-1] if backwards else found), len(rows) > page.limit

    def due(self, endpoint: str, now: float, limit: int) -> list[Delivery]:
        """The deliveries to an endpoint that are due, the oldest first."""
        select = (
            f"SELECT seq, tries, {_COLUMNS} FROM webhooks JOIN events ON seq = event"  # noqa: S608
            " WHERE endpoint = ? AND due <= ? ORDER BY due, event LIMIT ?"
        )
        rows = self._connection.execute(select, (endpoint, now, limit)).fetchall()
        return [Delivery(row[0], row[1], _event(row[2:])) for row in rows]

    def next_due(self, endpoint: str, now: float) -> float | None:
        """The earliest time after `now` at which a delivery will be due, if there is one."""
        select = "SELECT MIN(due) FROM webhooks WHERE endpoint = ? AND due > ?"
        row = self._connection.execute(select, (endpoint, now)).fetchone()
        due: float | None = row[0]
        return due

    def done(self, endpoint: str, number: int) -> None:
        """Remove a delivery that has succeeded or isn't attempted any more."""
        self._connection.execute("DELETE FROM webhooks WHERE endpoint = ? AND event = ?", (endpoint, number))

    def retry(self, endpoint: str, number: int, tries: int, due: float) -> None:
        self._connection.execute(
            "UPDATE webhooks SET tries = ?, due = ? WHERE endpoint = ? AND event = ?",
            (tries, due, endpoint, number),
        )

    def forget(self, before: int) -> None:
        """Delete events that were created before this time, and their deliveries."""
        old = "SELECT seq FROM events WHERE created < ?"
        self._connection.execute(f"DELETE FROM webhooks WHERE event IN ({old})", (before,))  # noqa: S608
        self._connection.execute("DELETE FROM events WHERE created < ?", (before,))


def _event(row: tuple[str, str, int, str, str | None, str | None, int, str | None]) -> Event:
    return Event(*row)
