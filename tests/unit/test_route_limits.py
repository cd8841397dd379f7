"""Which routes have a rate limit."""

from importlib import import_module

import pytest
from litestar import Router
from litestar.handlers import HTTPRouteHandler

from kit.http.limits import Limited
from settings import SERVICES

SAFE = {"GET", "HEAD", "OPTIONS"}

OTHERWISE_PROTECTED = {
    "POST /api/orders/cancellations": "only for operators",
    "POST /api/orders/extensions": "only for operators",
    "POST /api/orders/problems/decisions": "only for operators",
    **{
        f"{method} /internal/users/{{user_id:str}}/closing/{{attempt:str}}": "only for services"
        for method in ("PUT", "DELETE")
    },
    "POST /internal/links/{link_id:str}": "only for services",
    "POST /api/payments/refunds": "only for operators",
    "POST /api/payments/evidence": "only for operators",
    "PUT /api/users/{user_id:str}/suspension": "only for operators",
    "DELETE /api/users/{user_id:str}/suspension": "only for operators",
    "DELETE /api/users/{user_id:str}/sessions": "only for operators",
    "POST /api/tickets/withdrawals": "only for operators",
    "POST /api/tickets/reports/decisions": "only for operators",
    "POST /api/shows/merges": "only for operators",
    "POST /api/shows/corrections": "only for operators",
    "POST /internal/link-targets": "only for web, and without a link of ours it says nothing",
    "POST /internal/choices": "only for web, and without a token of ours it does nothing",
    "DELETE /internal/choices/{user_id:str}/{kind:str}": "only for web",
    "POST /api/payouts/write-offs": "only for operators",
    "POST /api/payouts/webhook": "only for Stripe, whose signature is checked first",
    "POST /api/payments/webhook": "only for Stripe, whose signature is checked first",
}


def handlers() -> dict[str, HTTPRouteHandler]:
    """Each method and path of the services' APIs, and the handler."""
    services = [import_module(f"streams.{name}").service for name in SERVICES]
    router = Router("/", route_handlers=[handler for service in services for handler in service.api])
    found = {
        f"{method} {route.path}": handler
        for route in router.routes
        for handler in getattr(route, "route_handlers", ())
        for method in handler.http_methods
    }
    return dict(sorted(found.items()))


HANDLERS = handlers()


def is_limited(handler: HTTPRouteHandler) -> bool:
    return any(isinstance(guard, Limited) for guard in handler.guards or ())


CHANGES = [route for route in HANDLERS if route.partition(" ")[0] not in SAFE]


@pytest.mark.parametrize("route", CHANGES)
def test_every_route_that_changes_something_has_a_rate_limit(route: str) -> None:
    assert is_limited(HANDLERS[route]) == (route not in OTHERWISE_PROTECTED)


@pytest.mark.parametrize(
    "path",
    [
        *("/api/tickets", "/api/tickets/facets", "/api/tickets/{ticket_id:str}/similar"),
        *("/api/shows", "/api/shows/search", "/api/shows/highlights"),
    ],
)
def test_searches_have_a_rate_limit(path: str) -> None:
    assert is_limited(HANDLERS[f"GET {path}"])


def test_each_action_uses_one_setting() -> None:
    limits = {
        guard for handler in HANDLERS.values() for guard in handler.guards or () if isinstance(guard, Limited)
    }
    assert len({limit.action for limit in limits}) == len(limits)
