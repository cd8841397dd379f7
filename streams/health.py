"""Is the process alive, and can it do its work?"""

from typing import Any

from litestar import Response, get

from services.kit.http import ApiRequest
from services.kit.mongo import Database, answers
from streams.bus import Bus

DATABASE_SECONDS = 2.0


@get("/health/live", include_in_schema=False)
async def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@get("/health/ready", include_in_schema=False)
async def ready(request: ApiRequest) -> Response[dict[str, Any]]:
    """Database, bus and consumers are there; otherwise 503 and what is missing."""
    database: Database | None = request.app.state.database
    missing = [] if database is None or await answers(database, DATABASE_SECONDS) else ["database"]
    bus: Bus = request.app.state.bus
    missing += await bus.missing() if bus.started.is_set() else ["NATS"]
    if missing:
        return Response({"status": "not ready", "missing": missing}, status_code=503)
    return Response({"status": "ok"})
