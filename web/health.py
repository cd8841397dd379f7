"""Whether the process is up, and whether it can do its work."""

from litestar import Response, get
from litestar.datastructures import State

NO_FORMS = {"exclude_from_csrf": True}


@get("/health/live", opt=NO_FORMS)
async def is_live() -> dict[str, str]:
    return {"status": "live"}


@get("/health/ready", opt=NO_FORMS)
async def is_ready(state: State) -> Response[dict[str, object]]:
    """503 with what is missing. The services' own readiness isn't asked: pages say what is away."""
    missing = [] if await state.bus_is_heard() else ["nats"]
    status = "not ready" if missing else "ready"
    return Response({"status": status, "missing": missing}, status_code=503 if missing else 200)
