"""Web reports to auth which sessions are in use."""

import asyncio

import pytest
from aiohttp import web

from contracts.api import User
from tests.integration.web.page_client import PageClient
from tests.support.fakes.auth import Auth
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from tests.support.polling import until
from web import session_use
from web.session_use import INTERVAL_SECONDS, SessionUse


async def waiting(use: SessionUse) -> list[str]:
    return [use._waiting.get_nowait() for _ in range(use._waiting.qsize())]


async def test_a_session_is_reported_once_and_no_page_waits_for_the_report(
    client: PageClient, services: Services, market: Market, buyer: User
) -> None:
    reports: list[str] = []
    may_end = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        reports.append(request.headers["Authorization"])
        await may_end.wait()
        return web.Response(status=204)

    await services.replace("auth", [*Auth(market).routes(), web.post("/api/users/session-use", receive)])
    for address in ("/orders", "/", "/orders"):
        await client.get(address)

    async def reported() -> list[str]:
        return reports

    await until(reported)
    may_end.set()
    assert len(reports) == 1
    assert reports[0].startswith("Bearer ")


async def test_a_session_is_reported_again_after_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    use, time = SessionUse(), 1000.0
    monkeypatch.setattr("web.session_use.time.monotonic", lambda: time)
    reported = []
    for seconds in (0, INTERVAL_SECONDS - 1, 2):
        time += seconds
        use.note("a", "token")
        use.note("b", "other")
        reported.append(await waiting(use))
    assert reported == [["token", "other"], [], ["token", "other"]]


async def test_only_a_bounded_number_of_sessions_and_reports_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_use, "MAX_SESSIONS", 2)
    use = SessionUse()
    for session in ("a", "b", "c", "c", "a"):
        use.note(session, session)
    assert await waiting(use) == ["a", "b", "c", "a"]
    for number in range(session_use.MAX_WAITING + 5):
        use.note(f"s{number}", "token")
    assert use._waiting.full()
    assert len(use._noted) == 2
