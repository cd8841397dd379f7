import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from sandbox import processes
from sandbox.testing import free_port, running
from tests.people import until
from tests.services.conftest import SettingsWith
from tests.services.served import Served, messages, new_id, serving

ANN = new_id()


class Database:
    """A database server of its own that can be taken away and comes back with all it had."""

    def __init__(self, folder: Path) -> None:
        self._port, self._folder = free_port(), folder
        self._up = AsyncExitStack()
        self.url = f"mongodb://127.0.0.1:{self._port}/?retryWrites=false"

    async def start(self) -> None:
        process = processes.mongo(self._port, self._folder / "mongo")
        await self._up.enter_async_context(running(process, self._folder / "log", signal.SIGKILL))

    async def kill(self) -> None:
        await self._up.aclose()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "database")
    await database.start()
    yield database
    await database.kill()


async def offer(tickets: Served) -> httpx.Response:
    return await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 1})


def is_503(answer: httpx.Response) -> bool:
    return answer.status_code == 503


async def test_while_the_database_is_away_a_service_says_so_and_then_recovers(
    settings_with: SettingsWith, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving("tickets", settings_with(mongo_url=database.url)) as tickets:
        kept = (await offer(tickets)).json()
        await database.kill()
        answers = await asyncio.gather(
            offer(tickets),
            until(partial(tickets.ask, "GET", "/api/tickets"), is_503),  # it is in memory for a moment
            tickets.ask("GET", f"/api/tickets/{kept['id']}"),
            tickets.ask("DELETE", f"/api/tickets/{kept['id']}", by=ANN),
        )
        for answer in answers:
            assert messages(answer, 503) == ["This is unavailable for a moment. Try again"]
            assert int(answer.headers["retry-after"]) > 0
        assert "the database can't be reached" in caplog.text
        assert (await tickets.ask("GET", "/health/live")).status_code == 200
        await database.start()
        seen = await until(partial(tickets.ask, "GET", "/api/tickets"), lambda answer: not is_503(answer))
        assert seen.json() == [kept]
        assert (await offer(tickets)).status_code == 201


@pytest.mark.parametrize(("path", "left"), [("signout", 1), ("signout-everywhere", 0)])
async def test_who_signs_out_while_the_database_is_away_is_signed_out_by_the_next_try(
    settings_with: SettingsWith, database: Database, path: str, left: int
) -> None:
    account = {"email": "ann@example.com", "password": "correct horse"}
    async with serving("auth", settings_with(mongo_url=database.url)) as auth:
        assert (await auth.ask("POST", "/api/users/signup", json=account)).status_code == 201
        assert (await auth.ask("POST", "/api/users/signin", json=account)).status_code == 200
        await database.kill()
        assert is_503(await auth.ask("POST", f"/api/users/{path}"))
        await database.start()
        again = partial(auth.ask, "POST", f"/api/users/{path}")
        assert (await until(again, lambda answer: not is_503(answer))).status_code == 200
        assert await auth.database["sessions"].count_documents({"ended_at": None}) == left
