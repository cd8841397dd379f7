"""The received messages in one SQLite file. All methods block for milliseconds."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

KEPT = 1_000
"""How many messages are kept. The oldest are deleted."""

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received_at TEXT NOT NULL,
    recipient TEXT NOT NULL,
    sender TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    raw BLOB NOT NULL
);
"""


@dataclass(frozen=True)
class Summary:
    """A received message in the list."""

    id: int
    received_at: datetime
    recipient: str
    """The address in the envelope."""
    subject: str


class Store:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        self._connection.close()

    def add(self, recipient: str, sender: str, raw: bytes) -> None:
        """Store a message. Only the newest `KEPT` stay."""
        message = parsed(raw)
        values = (
            datetime.now(UTC).isoformat(),
            *(recipient, sender, str(message.get("Subject", "")), text_of(message), raw),
        )
        added = self._connection.execute(
            "INSERT INTO messages (received_at, recipient, sender, subject, text, raw)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            values,
        )
        self._connection.execute("DELETE FROM messages WHERE id <= ?", ((added.lastrowid or 0) - KEPT,))

    def list(self, search: str = "", recipient: str = "") -> list[Summary]:
        """The messages that contain all words in their addresses, subject or text, newest first."""
        conditions, values = [], []
        for word in search.split():
            pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            conditions.append(r"(recipient || ' ' || subject || ' ' || text) LIKE ? ESCAPE '\'")
            values.append(pattern)
        if recipient:
            conditions.append("recipient = ?")
            values.append(recipient)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        found = self._connection.execute(
            f"SELECT id, received_at, recipient, subject FROM messages {where} ORDER BY id DESC",  # noqa: S608
            values,
        )
        return [Summary(key, datetime.fromisoformat(time), to, about) for key, time, to, about in found]

    def raw(self, key: int) -> bytes | None:
        """A message as it was received."""
        found = self._connection.execute("SELECT raw FROM messages WHERE id = ?", (key,)).fetchone()
        return None if found is None else bytes(found[0])


def parsed(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage, subtype: str = "plain") -> str:
    """The text of a message, or its HTML. Empty if it has none."""
    part = message.get_body((subtype,))
    return str(part.get_content()) if part is not None else ""
