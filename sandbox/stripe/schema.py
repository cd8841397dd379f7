"""The tables of the sandbox's SQLite file."""

import sqlite3

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
CREATE TABLE IF NOT EXISTS balances (
    account TEXT NOT NULL,
    currency TEXT NOT NULL,
    available INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    PRIMARY KEY (account, currency)
) WITHOUT ROWID;
-- When time changes an object: money becomes available, and payouts begin and arrive.
CREATE TABLE IF NOT EXISTS timers (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    due INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS timers_by_due ON timers (due);
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
CREATE TABLE IF NOT EXISTS webhooks (
    endpoint TEXT NOT NULL,
    event INTEGER NOT NULL,
    tries INTEGER NOT NULL,
    due REAL NOT NULL,
    PRIMARY KEY (event, endpoint)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS webhooks_by_due ON webhooks (endpoint, due, event);
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

_LISTED_BY = ("account", "destination", "source", "source_transaction", "transfer", "transfer_group")
"""Fields by which lists of objects of Connect are filtered. Each has an index."""


def field(name: str) -> str:
    """The SQL expression of a field of an object."""
    return f"json_extract(CAST(body AS TEXT), '$.{name}')"


CREATED = field("created")
_INDEXES = "".join(
    f"CREATE INDEX IF NOT EXISTS by_{name} ON objects (kind, {field(name)}, seq)"
    f" WHERE {field(name)} IS NOT NULL;"
    for name in _LISTED_BY
)


def prepare(connection: sqlite3.Connection) -> None:
    """Create what is missing, and update a file of a version that had no Connect and only one endpoint."""
    connection.executescript(_SCHEMA + _INDEXES)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(events)")]
    if "account" not in columns:
        connection.execute("ALTER TABLE events ADD COLUMN account TEXT")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "deliveries" in tables:
        moved = "INSERT OR IGNORE INTO webhooks SELECT 'payments', event, tries, due FROM deliveries"
        connection.executescript(f"BEGIN; {moved}; DROP TABLE deliveries; COMMIT;")
