"""Which routes require a signed-in user, and how they respond while tokens can't be verified."""

from collections.abc import Mapping
from typing import Any

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from prometheus_client import REGISTRY

from kit.http.guards import signed_in
from kit.tokens import Sessions
from settings import ServiceName
from streams.processes import PROCESSES
from tests.support.service import Served, SettingsWith, messages, new_id, serving

ANN = new_id()

OPTIONAL = {"current_user", "sign_out", "show_ticket"}
"""Names of handlers that anonymous users may call too, but that respond differently to signed-in users."""


def handlers(service: Served) -> list[HTTPRouteHandler]:
    """All handlers of a service's API, without those for OPTIONS, which Litestar adds."""
    routes = [route for route in service.app.routes if isinstance(route, HTTPRoute)]
    api = [route for route in routes if route.path.startswith(("/api/", "/internal/", "/.well-known/"))]
    return [
        handler for route in api for handler in route.route_handlers if handler.http_methods != {"OPTIONS"}
    ]


@pytest.mark.parametrize("name", [service.name for service in PROCESSES if service.api])
async def test_every_handler_is_public_or_requires_a_session_or_is_listed_as_optional(
    name: ServiceName, settings_with: SettingsWith
) -> None:
    async with serving(name, settings_with()) as service:
        found = handlers(service)
    assert found
    for handler in found:
        public = handler.opt.get("exclude_from_auth", False)
        guarded = signed_in in handler.resolve_guards()
        assert [public, guarded, handler.handler_name in OPTIONAL].count(True) == 1, handler


async def test_options_requests_to_guarded_paths_require_a_session(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with()) as orders:
        assert messages(await orders.ask("OPTIONS", "/api/orders"), 401) == ["Sign in first"]
        allowed = await orders.ask("OPTIONS", "/api/orders", by=ANN)
    assert (allowed.status_code, allowed.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")


async def test_public_handlers_work_while_the_public_keys_of_auth_are_unavailable(tickets: Served) -> None:
    fetched = 0

    async def fetch() -> Mapping[str, Any]:
        nonlocal fetched
        fetched += 1
        raise OSError("auth is down")

    ticket = (await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 1})).json()
    tickets.app.state.sessions = Sessions(fetch, tickets.app.state.sessions.ended)
    for path in ("/api/tickets", "/api/tickets/facets", f"/api/tickets/{ticket['id']}/similar"):
        assert (await tickets.ask("GET", path, by=ANN)).status_code == 200
    assert fetched == 0
    assert (await tickets.ask("GET", f"/api/tickets/{ticket['id']}", by=ANN)).status_code == 200
    assert fetched == 1  # to find out whether this user sees the order
    assert messages(await tickets.ask("GET", "/api/tickets/mine"), 401) == ["Sign in first"]
    refused = messages(await tickets.ask("GET", "/api/tickets/mine", by=ANN, content=b"{"), 503)
    assert refused == ["Sign-in can't be checked for a moment. Try again"]
    assert fetched == 1
    assert (await tickets.ask("OPTIONS", "/api/tickets", by=ANN)).status_code == 204


async def test_a_request_whose_token_cannot_be_verified_counts_as_503_in_metrics(tickets: Served) -> None:
    async def fetch() -> Mapping[str, Any]:
        raise OSError("auth is down")

    tickets.app.state.sessions = Sessions(fetch, tickets.app.state.sessions.ended)
    labels = {"path": "/api/tickets/mine/summary", "status_code": "503", "method": "GET"}
    before = _requests(labels)
    await tickets.ask("GET", "/api/tickets/mine/summary", by=ANN)
    assert _requests(labels) == before + 1


def _requests(labels: Mapping[str, str]) -> float:
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return sum(
        sample.value
        for sample in samples
        if sample.name == "http_requests_total" and labels.items() <= sample.labels.items()
    )
