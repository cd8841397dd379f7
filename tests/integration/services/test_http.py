"""How every service handles invalid requests, unexpected errors, health checks and traces."""

import logging
import re
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
import pytest_asyncio
from litestar.routes import HTTPRoute

from contracts.identity import SESSION_COOKIE
from kit.client_address import CLIENT
from kit.http.cross_site import SAFE_METHODS
from settings import ServiceName
from tests.integration.web.asgi_client import ask
from tests.support.service import Served, SettingsWith, messages, new_id, old_id, refusal, serving, token_for

ANN = new_id()

SIGNED_IN_ROUTES: dict[ServiceName, list[tuple[str, str]]] = {
    "auth": [],
    "tickets": [
        ("GET", "/api/tickets/mine"),
        ("GET", "/api/tickets/mine/summary"),
        ("POST", "/api/tickets"),
        ("PUT", f"/api/tickets/{old_id()}"),
        ("DELETE", f"/api/tickets/{old_id()}"),
    ],
    "orders": [
        ("GET", "/api/orders"),
        ("POST", "/api/orders"),
        ("GET", f"/api/orders/{old_id()}"),
        ("DELETE", f"/api/orders/{old_id()}"),
    ],
    "payments": [("POST", "/api/payments"), ("GET", "/api/payments")],
}
PATHS_WITH_BODY: dict[ServiceName, list[str]] = {
    "auth": ["/api/users/signup", "/api/users/signin"],
    "tickets": ["/api/tickets"],
    "orders": ["/api/orders"],
    "payments": ["/api/payments"],
}
JSON = {"Content-Type": "application/json"}


@pytest_asyncio.fixture(params=PATHS_WITH_BODY, loop_scope="session")
async def named_service(
    request: pytest.FixtureRequest, settings_with: SettingsWith
) -> AsyncIterator[tuple[ServiceName, Served]]:
    name = cast("ServiceName", request.param)
    no_limits = dict.fromkeys(["rate_sign_in", "rate_sign_up", "rate_reserve", "rate_pay"], 0)
    async with serving(name, settings_with(**no_limits)) as served:
        yield name, served


NamedService = tuple[ServiceName, Served]


async def test_an_anonymous_request_is_refused_before_its_body_is_checked(
    named_service: NamedService,
) -> None:
    name, service = named_service
    for method, path in SIGNED_IN_ROUTES[name]:
        for body in (b"{}", b"not json", b"x" * 16_385):
            answer = await service.ask(method, path, content=body, headers=JSON)
            assert messages(answer, 401) == ["Sign in first"]
            assert answer.json() == {
                "type": "/problems/not-signed-in",
                "title": "Sign in first",
                "status": 401,
                "errors": [{"message": "Sign in first"}],
            }


async def test_a_body_that_is_not_a_json_object_is_refused(named_service: NamedService) -> None:
    name, service = named_service
    for path in PATHS_WITH_BODY[name]:
        deep = b"[" * 3_000, b'{"a":' * 3_000
        for body in (b"not json", b'{"a":', b"\xff\xfe", b'{"a": "\xff"}', b"{'a': 1}", *deep):
            answer = await service.ask("POST", path, by=ANN, content=body, headers=JSON)
            assert messages(answer, 400) == ["The body isn't valid JSON"], body
            assert answer.json()["type"] == "/problems/not-json"
        for body in (b"", b"[]", b"7", b'"text"', b"null", b"true"):
            answer = await service.ask("POST", path, by=ANN, content=body, headers=JSON)
            assert messages(answer, 400) == ["The body must be a JSON object"], body


async def test_a_body_whose_content_type_is_not_json_is_refused(named_service: NamedService) -> None:
    name, service = named_service
    for path in PATHS_WITH_BODY[name]:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await service.ask("POST", path, by=ANN, content=b"{}", headers={"Content-Type": kind})
            assert messages(answer, 415) == ["The body must be application/json"], kind


async def test_a_body_above_16_kilobytes_is_refused(named_service: NamedService) -> None:
    name, service = named_service
    for path in PATHS_WITH_BODY[name]:
        for length, status in ((16_384, 400), (16_385, 413)):
            body = b'{"title": "' + b"x" * (length - 13) + b'"}'
            answer = await service.ask("POST", path, by=ANN, content=body, headers=JSON)
            assert (len(body), answer.status_code) == (length, status)
        assert messages(answer, 413) == ["The body is too large"]


async def test_the_maximum_size_of_a_body_is_a_setting(settings_with: SettingsWith) -> None:
    body = b'{"x": "' + b"x" * 100_000 + b'"}'
    for limit, status in ((100, 413), (0, 400)):
        async with serving("orders", settings_with(max_body_bytes=limit)) as orders:
            answer = await orders.ask("POST", "/api/orders", by=ANN, content=body, headers=JSON)
            assert answer.status_code == status


async def test_a_problem_lists_at_most_20_errors(named_service: NamedService) -> None:
    name, service = named_service
    for path in PATHS_WITH_BODY[name]:
        answer = await service.ask("POST", path, by=ANN, json={f"x{number}": 1 for number in range(40)})
        assert len(refusal(answer, 400)) == 20


async def test_a_body_with_more_fields_than_any_body_has_is_refused_as_a_whole(
    named_service: NamedService,
) -> None:
    name, service = named_service
    for path in PATHS_WITH_BODY[name]:
        answer = await service.ask("POST", path, by=ANN, json={f"x{number}": 1 for number in range(1_000)})
        assert messages(answer, 400) == ["The body has too many fields"]


async def test_an_unknown_path_is_not_found(named_service: NamedService) -> None:
    name, service = named_service
    for path in ("/", "/api", f"/api/{name}/x/y", "/admin", "/api/users/x/y", "/.env"):
        answer = await service.ask("GET", path, by=ANN)
        assert messages(answer, 404) == ["Not Found"]


async def test_an_unsupported_method_is_refused_with_a_list_of_allowed_methods(
    named_service: NamedService,
) -> None:
    name, service = named_service
    for path in PATHS_WITH_BODY[name]:
        answer = await service.ask("PATCH", path, by=ANN, json={})
        assert messages(answer, 405) == ["That can't be done here"]
        assert "POST" in answer.headers["allow"]


async def test_long_addresses_and_large_headers_are_refused(named_service: NamedService) -> None:
    _, service = named_service
    for length, status in ((8_000, 200), (8_192, 414)):
        assert (await service.ask("GET", f"/health/live?{'a' * length}")).status_code == status
    for length, status in ((32_000, 200), (32_768, 431)):
        answer = await service.ask("GET", "/health/live", headers={"Cookie": "x" * length})
        assert answer.status_code == status


async def test_a_request_without_a_host_is_refused_unless_it_is_of_http_1_0(
    named_service: NamedService,
) -> None:
    """RFC 9112, section 3.2."""
    _, service = named_service
    old, new = [
        await ask(service.asgi, "GET", "/health/live", http_version=version) for version in ("1.0", "1.1")
    ]
    assert (old.status, new.status) == (200, 400)
    assert new.problem["title"] == "The address is malformed"


async def test_head_is_answered_like_get_without_the_body(named_service: NamedService) -> None:
    name, service = named_service
    own = {"auth": f"/api/users/{old_id()}", "payments": "/api/payments?orderId=1"}
    paths = [
        "/health/live",
        "/docs",
        "/docs/openapi.json",
        "/docs/asyncapi",
        "/docs/assets/docs/openapi.html",
    ]
    for path in [*paths, own.get(name, f"/api/{name}")]:
        get, head = [await service.ask(method, path, by=ANN) for method in ("GET", "HEAD")]
        assert (get.status_code, head.status_code, head.content) in {(200, 200, b""), (404, 404, b"")}, path
        assert head.headers == get.headers, path
    assert (await service.ask("HEAD", "/metrics")).status_code == 200


async def test_a_service_itself_sends_no_body_in_response_to_head(named_service: NamedService) -> None:
    """HTTP clients and servers would drop a body."""
    _, service = named_service
    for path in ("/health/live", "/docs/openapi.json", "/metrics", "/nowhere"):
        answers = [await ask(service.asgi, method, path) for method in ("GET", "HEAD")]
        assert [answer.body != b"" for answer in answers] == [True, False], path
        assert answers[0].status == answers[1].status, path


async def test_options_and_405_list_head_next_to_get(named_service: NamedService) -> None:
    _, service = named_service
    options = await service.ask("OPTIONS", "/health/live")
    refused = await service.ask("POST", "/health/live")
    assert (options.status_code, refused.status_code) == (204, 405)
    for answer in (options, refused):
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_unknown_fields_are_refused_and_listed_in_the_error(named_service: NamedService) -> None:
    name, service = named_service
    for path in PATHS_WITH_BODY[name]:
        answer = await service.ask("POST", path, by=ANN, json={"isAdmin": True})
        assert ("isAdmin", "IsAdmin isn't a known field") in refusal(answer, 400)


async def test_the_readiness_check_fails_without_nats_but_the_liveness_check_does_not(
    named_service: NamedService,
) -> None:
    _, service = named_service
    assert (await service.ask("GET", "/health/live")).json() == {"status": "ok"}
    answer = await service.ask("GET", "/health/ready")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["NATS"])


async def test_an_unexpected_error_returns_a_reference_that_is_also_in_the_log(
    tickets: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: str) -> Any:
        raise RuntimeError("an internal detail")

    monkeypatch.setattr("services.tickets.actions.show", fail)
    answer = await tickets.ask("GET", f"/api/tickets/{new_id()}")
    assert messages(answer, 500) == ["Something went wrong on our side"]
    assert "internal detail" not in answer.text
    reference = answer.json()["reference"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert reference in record.getMessage()
    assert "an internal detail" in caplog.text


async def test_the_reference_of_an_error_is_the_callers_trace_id(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: str) -> Any:
        raise RuntimeError

    monkeypatch.setattr("services.tickets.actions.show", fail)
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = await tickets.ask("GET", f"/api/tickets/{new_id()}", headers=headers)
    assert answer.json()["reference"] == trace


async def test_the_events_of_a_request_have_the_callers_trace_id(tickets: Served) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    body = {"title": "Hamlet", "price": 1}
    await tickets.ask("POST", "/api/tickets", by=ANN, json=body, headers=headers)
    stored = await tickets.database["tickets"].find_one()
    assert stored is not None
    (entry,) = stored["outbox"]
    assert entry["traceparent"].split("-")[1] == trace


def routes(service: Served) -> list[tuple[str, str]]:
    """Each method of the service's API with its path."""
    return [
        (method, re.sub(r"\{[^}]*\}", "0" * 24, route.path))
        for route in service.app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/")
        for method in route.methods
        if method != "OPTIONS"
    ]


async def test_every_request_that_changes_something_is_refused_if_another_site_sends_it(
    named_service: NamedService,
) -> None:
    _, service = named_service
    cookie = {"Cookie": f"{SESSION_COOKIE}={token_for(ANN)}"}
    others = [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.test"}, {"Origin": "null"}]
    others.append({"Origin": "http://evil.test", CLIENT: f"9.9.9.9 {'0' * 64}"})  # not signed by web
    for method, path in routes(service):
        if method in SAFE_METHODS:
            continue
        for headers in (*others, {"Content-Type": "application/x-www-form-urlencoded"}):
            answer = await service.ask(method, path, headers={**cookie, **headers})
            assert messages(answer, 403) == ["The request came from another site"], (method, path, headers)


async def test_no_response_of_the_api_may_be_stored_except_pictures(named_service: NamedService) -> None:
    _, service = named_service
    for method, path in routes(service):
        answer = await service.ask(method, path, by=ANN)
        assert answer.headers["cache-control"] == "no-store", (method, path)
