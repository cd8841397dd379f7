"""Liveness and readiness of a process."""

from collections.abc import Callable
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from kit.http.metrics import READY
from kit.mongo import Database, answers
from streams.bus import Bus

DATABASE_SECONDS = 2.0

NATS = "NATS"
DATABASE = "database"

INDEXES = "indexes"
"""The name of the part that is prepared while the database lacks indexes. NATS is connected afterwards."""

Preparing = dict[str, Callable[[], bool]]
"""Parts of the process by name, and functions that tell whether they are still being prepared."""


@get("/health/live", include_in_schema=False)
async def live() -> dict[str, str]:
    """Answer 200 as long as the process runs."""
    return {"status": "ok"}


@get("/health/ready", include_in_schema=False)
async def ready(
    bus: NamedDependency[Bus],
    database: NamedDependency[Database | None],
    preparing: NamedDependency[Preparing],
) -> Response[dict[str, Any]]:
    """Answer 200 if the database, NATS, the consumers and what is loaded at the start are available, else
    answer 503 and what is missing.
    """
    if missing := await missing_parts(bus, database, preparing):
        return Response({"status": "not ready", "missing": missing}, status_code=503)
    return Response({"status": "ok"})


async def missing_parts(bus: Bus, database: Database | None, preparing: Preparing) -> list[str]:
    """The names of what the process needs and lacks: parts, and single consumers."""
    missing = [] if database is None or await answers(database, DATABASE_SECONDS) else [DATABASE]
    prepared = [name for name, is_preparing in preparing.items() if is_preparing()]
    if INDEXES not in prepared:
        missing += await bus.missing() if bus.started.is_set() else [NATS]
    return missing + prepared


async def measure(bus: Bus, database: Database | None, preparing: Preparing) -> None:
    """Measure which parts are available. Consumers count as one part."""
    missing = set(await missing_parts(bus, database, preparing))
    own = [] if database is None else [DATABASE]
    for part in (*own, NATS, *preparing):
        READY.labels(part.lower()).set(part not in missing)
    READY.labels("consumers").set(not missing - {DATABASE, NATS, *preparing})
