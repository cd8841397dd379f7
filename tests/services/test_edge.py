import logging
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from settings import ServiceName
from tests.services.conftest import SettingsWith
from tests.services.served import Served, messages, new_id, old_id, refusal, serving

ANN = new_id()

NEEDS_A_USER: dict[ServiceName, list[tuple[str, str]]] = {
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
TAKES_A_BODY: dict[ServiceName, list[str]] = {
    "auth": ["/api/users/signup", "/api/users/signin"],
    "tickets": ["/api/tickets"],
    "orders": ["/api/orders"],
    "payments": ["/api/payments"],
}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=TAKES_A_BODY)
async def named(
    request: pytest.FixtureRequest, settings_with: SettingsWith
) -> AsyncIterator[tuple[ServiceName, Served]]:
    name = cast("ServiceName", request.param)
    async with serving(name, settings_with()) as served:
        yield name, served


Named = tuple[ServiceName, Served]


async def test_who_is_not_signed_in_is_told_so_before_the_body_is_looked_at(named: Named) -> None:
    name, service = named
    for method, path in NEEDS_A_USER[name]:
        for body in (b"{}", b"not json", b"x" * 1_000_001):
            answer = await service.ask(method, path, content=body, headers=JSON)
            assert messages(answer, 401) == ["Sign in first"]
            assert answer.json() == {
                "type": "/problems/not-signed-in",
                "title": "Sign in first",
                "status": 401,
                "errors": [{"message": "Sign in first"}],
            }


async def test_a_body_that_is_no_json_object_is_refused(named: Named) -> None:
    name, service = named
    for path in TAKES_A_BODY[name]:
        deep = b"[" * 3_000, b'{"a":' * 3_000
        for body in (b"not json", b'{"a":', b"\xff\xfe", b'{"a": "\xff"}', b"{'a': 1}", *deep):
            answer = await service.ask("POST", path, by=ANN, content=body, headers=JSON)
            assert messages(answer, 400) == ["The body isn't valid JSON"], body
            assert answer.json()["type"] == "/problems/not-json"
        for body in (b"", b"[]", b"7", b'"text"', b"null", b"true"):
            answer = await service.ask("POST", path, by=ANN, content=body, headers=JSON)
            assert messages(answer, 400) == ["The body must be a JSON object"], body


async def test_a_body_that_is_not_declared_to_be_json_is_refused(named: Named) -> None:
    name, service = named
    for path in TAKES_A_BODY[name]:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await service.ask("POST", path, by=ANN, content=b"{}", headers={"Content-Type": kind})
            assert messages(answer, 415) == ["The body must be application/json"], kind


async def test_a_body_above_a_megabyte_is_refused(named: Named) -> None:
    name, service = named
    for path in TAKES_A_BODY[name]:
        body = b'{"title": "' + b"x" * 1_000_000 + b'"}'
        answer = await service.ask("POST", path, by=ANN, content=body, headers=JSON)
        assert messages(answer, 413) == ["The body is too large"]


async def test_an_unknown_path_is_not_found(named: Named) -> None:
    name, service = named
    for path in ("/", "/api", f"/api/{name}/x/y", "/admin", "/api/users/x/y", "/.env"):
        answer = await service.ask("GET", path, by=ANN)
        assert messages(answer, 404) == ["There is nothing at this address"]


async def test_a_method_that_a_path_does_not_know_is_refused(named: Named) -> None:
    name, service = named
    for path in TAKES_A_BODY[name]:
        answer = await service.ask("PATCH", path, by=ANN, json={})
        assert messages(answer, 405) == ["That can't be done here"]
        assert "POST" in answer.headers["allow"]


async def test_unknown_fields_are_refused_by_name(named: Named) -> None:
    name, service = named
    for path in TAKES_A_BODY[name]:
        answer = await service.ask("POST", path, by=ANN, json={"isAdmin": True})
        assert ("isAdmin", "IsAdmin isn't a known field") in refusal(answer, 400)


async def test_a_request_needs_no_bus(named: Named) -> None:
    _, service = named
    assert (await service.ask("GET", "/health/live")).json() == {"status": "ok"}
    answer = await service.ask("GET", "/health/ready")
    assert (answer.status_code, answer.json()["missing"]) == (503, ["NATS"])


async def test_an_unexpected_error_tells_a_reference_that_stands_in_the_log(
    tickets: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: str) -> Any:
        raise RuntimeError("the secret of line 7")

    monkeypatch.setattr("services.tickets.actions.show", fail)
    answer = await tickets.ask("GET", f"/api/tickets/{new_id()}")
    assert messages(answer, 500) == ["Something went wrong on our side"]
    assert "secret" not in answer.text
    reference = answer.json()["reference"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert reference in record.getMessage()
    assert "the secret of line 7" in caplog.text


async def test_an_error_is_part_of_the_callers_trace(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: str) -> Any:
        raise RuntimeError

    monkeypatch.setattr("services.tickets.actions.show", fail)
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    answer = await tickets.ask("GET", f"/api/tickets/{new_id()}", headers=headers)
    assert answer.json()["reference"] == trace


async def test_the_events_of_a_request_are_part_of_the_callers_trace(tickets: Served) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    body = {"title": "Hamlet", "price": 1}
    await tickets.ask("POST", "/api/tickets", by=ANN, json=body, headers=headers)
    stored = await tickets.database["tickets"].find_one()
    assert stored is not None
    (entry,) = stored["outbox"]
    assert entry["traceparent"].split("-")[1] == trace
