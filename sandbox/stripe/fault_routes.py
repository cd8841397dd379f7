"""The endpoints that turn random faults of requests and webhooks on and off. They need no authentication."""

from typing import Any

from litestar import delete, get, post

from sandbox.stripe.api import AnyRequest
from sandbox.stripe.browser import api_of
from sandbox.stripe.faults import Faults
from sandbox.stripe.forms import Form, parse


@get("/faults")
async def show(request: AnyRequest) -> dict[str, Any]:
    return _settings(api_of(request).faults)


@post("/faults", status_code=200)
async def turn_on(request: AnyRequest) -> dict[str, Any]:
    """The form has `rate`, from 0 to 1, and optionally `kinds`, `requests`, `seed` and `slow_seconds`."""
    faults = api_of(request).faults
    faults.configure(faults.read(Form(parse(await request.body()), "kinds rate requests seed slow_seconds")))
    return _settings(faults)


@delete("/faults", status_code=200)
async def turn_off(request: AnyRequest) -> dict[str, Any]:
    faults = api_of(request).faults
    faults.turn_off()
    return _settings(faults)


def _settings(faults: Faults) -> dict[str, Any]:
    settings = faults.settings
    return {
        "rate": settings.rate,
        "kinds": list(settings.kinds),
        "requests": settings.requests,
        "seed": settings.seed,
        "slow_seconds": settings.slow_seconds,
    }


FAULT_ROUTES = [show, turn_on, turn_off]
