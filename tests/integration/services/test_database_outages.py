"""A service while its database is down, and afterwards."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from sandbox import processes
from sandbox.testing import free_port, running
from tests.support.polling import until
from tests.support.service import Served, SettingsWith, messages, new_id, serving

ANN = new_id()


class Database:
    """A separate database server that a test can kill and restart with the same data."""

    def __init__(self, folder: Path) -> None:
        self._port, self._folder = free_port(), folder
        self._running = AsyncExitStack()
        self.url = f"mongodb://127.0.0.1:{self._port}/?retryWrites=false"

    async def start(self) -> None:
        process = processes.mongo(self._port, self._folder / "mongo")
        await self._running.enter_async_context(running(process, self._folder / "log", signal.SIGKILL))

    async def kill(self) -> None:
        await self._running.aclose()


@pytest_asyncio.fixture(loop_scope="session")
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "database")
    await database.start()
    yield database
    await database.kill()


async def list_ticket(tickets: Served) -> httpx.Response:
    return await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 1})


def is_503(answer: httpx.Response) -> bool:
    return answer.status_code == 503


async def test_a_service_responds_with_503_while_the_database_is_down_and_then_recovers(
    settings_with: SettingsWith, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving("tickets", settings_with(mongo_url=database.url)) as tickets:
        ticket = (await list_ticket(tickets)).json()
        await database.kill()
        answers = await asyncio.gather(
            list_ticket(tickets),
            tickets.ask("GET", f"/api/tickets/{ticket['id']}"),
            tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN),
        )
        for answer in answers:
            assert messages(answer, 503) == ["This is unavailable for a moment. Try again"]
            assert int(answer.headers["retry-after"]) > 0
        assert "the database can't be reached" in caplog.text
        assert (await tickets.ask("GET", "/health/live")).status_code == 200
        assert (await tickets.ask("GET", "/api/tickets")).json() == [ticket]  # the list is in memory
        await database.start()
        listed = await until(partial(list_ticket, tickets), lambda answer: not is_503(answer))
        assert listed.status_code == 201
        assert (await tickets.ask("GET", "/api/tickets")).json() == [listed.json(), ticket]


@pytest.mark.parametrize(("path", "remaining"), [("signout", 1), ("signout-everywhere", 0)])
async def test_signing_out_fails_while_the_database_is_down_and_succeeds_when_repeated(
    settings_with: SettingsWith, database: Database, path: str, remaining: int
) -> None:
    account = {"email": "ann@example.com", "password": "correct horse"}
    async with serving("auth", settings_with(mongo_url=database.url)) as auth:
        assert (await auth.ask("POST", "/api/users/signup", json=account)).status_code == 201
        auth.http.cookies.clear()  # as in another browser, so that signing in doesn't end the first session
        assert (await auth.ask("POST", "/api/users/signin", json=account)).status_code == 200
        await database.kill()
        assert is_503(await auth.ask("POST", f"/api/users/{path}"))
        await database.start()
        sign_out = partial(auth.ask, "POST", f"/api/users/{path}")
        assert (await until(sign_out, lambda answer: not is_503(answer))).status_code == 200
        assert await auth.database["sessions"].count_documents({"ended_at": None}) == remaining
