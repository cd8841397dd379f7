"""Sessions in use are reported to auth now and then."""

import asyncio

import pytest

from kit import session_use
from kit.background import running
from kit.session_use import RETRY_SECONDS, SessionUse
from tests.support.polling import until

INTERVAL = 300.0


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 1000.0
        monkeypatch.setattr(session_use, "monotonic", lambda: self.time)


async def waiting(use: SessionUse) -> list[str]:
    return [use._waiting.get_nowait()[1] for _ in range(use._waiting.qsize())]


async def test_a_session_is_reported_again_after_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    use, clock = SessionUse(INTERVAL), Clock(monkeypatch)
    reported = []
    for seconds in (0, INTERVAL - 1, 2):
        clock.time += seconds
        use.note("a", "token")
        use.note("b", "other")
        reported.append(await waiting(use))
    assert reported == [["token", "other"], [], ["token", "other"]]


async def test_a_failed_report_is_repeated_with_a_later_request(monkeypatch: pytest.MonkeyPatch) -> None:
    use, clock, reports = SessionUse(INTERVAL), Clock(monkeypatch), list[str]()
    failed = asyncio.Event()

    async def report(token: str) -> None:
        reports.append(token)
        if not failed.is_set():
            failed.set()
            raise ConnectionRefusedError

    async def reported() -> list[str]:
        return reports

    async with running(use.report(report)):
        use.note("a", "token")
        await failed.wait()
        use.note("a", "token")
        clock.time += RETRY_SECONDS
        use.note("a", "token")
        await until(reported, lambda found: len(found) == 2, seconds=5)
        use.note("a", "token")
    assert use._waiting.empty()


async def test_only_a_bounded_number_of_sessions_and_reports_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_use, "MAX_SESSIONS", 2)
    use = SessionUse(INTERVAL)
    for session in ("a", "b", "c", "c", "a"):
        use.note(session, session)
    assert await waiting(use) == ["a", "b", "c", "a"]
    for number in range(session_use.MAX_WAITING + 5):
        use.note(f"s{number}", "token")
    assert use._waiting.full()
    assert len(use._noted) == 2
