"""The switch of the faults that all requests below /v1 meet by chance. Needs no key."""

from typing import Any

from litestar import delete, get, post

from sandbox.stripe.api import AnyRequest
from sandbox.stripe.browser import api_of
from sandbox.stripe.faults import Faults
from sandbox.stripe.forms import Form, parse


@get("/faults")
async def tell(request: AnyRequest) -> dict[str, Any]:
    return _told(api_of(request).faults)


@post("/faults", status_code=200)
async def turn_on(request: AnyRequest) -> dict[str, Any]:
    """`rate` from 0 to 1, and if need be `kinds`, `seed` and `slow_seconds`, as a form."""
    faults = api_of(request).faults
    faults.turn(faults.read(Form(parse(await request.body()), "kinds rate seed slow_seconds")))
    return _told(faults)


@delete("/faults", status_code=200)
async def turn_off(request: AnyRequest) -> dict[str, Any]:
    faults = api_of(request).faults
    faults.turn_off()
    return _told(faults)


def _told(faults: Faults) -> dict[str, Any]:
    switch = faults.switch
    return {
        "rate": switch.rate,
        "kinds": list(switch.kinds),
        "seed": switch.seed,
        "slow_seconds": switch.slow_seconds,
    }


SWITCH = [tell, turn_on, turn_off]
