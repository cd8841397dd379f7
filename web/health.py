"""The health checks of a web process."""

from litestar import Response, get
from litestar.datastructures import State


@get("/health/live")
async def is_live() -> dict[str, str]:
    return {"status": "live"}


@get("/health/ready")
async def is_ready(state: State) -> Response[dict[str, object]]:
    """503 while NATS is unavailable. The services aren't checked, because pages work without some of them."""
    missing = [] if await state.bus_is_reachable() else ["nats"]
    status = "not ready" if missing else "ready"
    return Response({"status": status, "missing": missing}, status_code=503 if missing else 200)
