import json
import logging
import time
from contextvars import copy_context
from datetime import UTC, datetime
from typing import Any

import pytest

from kit import security_log
from kit.security_log import MAX_ALIKE, MAX_KINDS, OPERATOR, record, remember_client


class Clock:
    at = time.time() // 60 * 60

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Clock:
    clock = Clock()
    monkeypatch.setattr(security_log, "now", clock.now)
    monkeypatch.setattr(security_log, "_floods", security_log._Floods())
    caplog.set_level(logging.INFO, logger="security")
    return clock


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [json.loads(line.getMessage()) for line in caplog.records if line.name == "security"]


def test_an_event_has_a_time_with_zone_an_actor_a_network_and_an_outcome(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    def request() -> None:
        remember_client("2600:1:2:3::4")
        record("access", "refused", actor="6a4f", route="GET /api/orders/{order_id:str}", reason=None)

    copy_context().run(request)
    assert logged(caplog) == [
        {
            "time": clock.now().isoformat(),
            "event": "access",
            "outcome": "refused",
            "actor": "6a4f",
            "network": "2600:1:2:3::/64",
            "route": "GET /api/orders/{order_id:str}",
        }
    ]
    assert logged(caplog)[0]["time"].endswith("+00:00")


def test_text_in_an_event_cannot_start_a_new_line(caplog: pytest.LogCaptureFixture) -> None:
    record("token", "refused", route='GET /\r\n\u2028{"event": "sign-in"}')
    (line,) = caplog.messages
    assert line.isascii()
    assert len(line.splitlines()) == 1


def test_a_flood_of_events_is_counted_and_not_logged(caplog: pytest.LogCaptureFixture, clock: Clock) -> None:
    counter = security_log.EVENTS.labels("token", "refused")
    before = counter._value.get()
    for _ in range(MAX_ALIKE + 7):
        record("token", "refused", actor="a")
    record("token", "refused", actor="b")
    assert [line["actor"] for line in logged(caplog)] == ["a"] * MAX_ALIKE + ["b"]
    assert counter._value.get() == before + MAX_ALIKE + 8
    clock.at += 60
    caplog.clear()
    record("token", "refused", actor="a")
    omitted, logged_again = logged(caplog)
    assert (omitted["event"], omitted["count"]) == ("omitted", 7)
    assert logged_again["actor"] == "a"


def test_every_action_of_an_operator_is_logged_however_many_there_are(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for number in range(MAX_ALIKE + 7):
        record("refund", "success", actor=OPERATOR, order=str(number))
    assert [line["order"] for line in logged(caplog)] == [str(number) for number in range(MAX_ALIKE + 7)]


def test_the_memory_for_counting_events_is_limited() -> None:
    for number in range(MAX_KINDS + 100):
        record("token", "refused", actor=str(number))
    assert len(security_log._floods._counts) == MAX_KINDS
