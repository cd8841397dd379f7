"""A user of the demo, as a client of the public HTTP API."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

import httpx

from sandbox.demo.programme import PASSWORD, email_of
from sandbox.log import write

PATIENCE = 15.0
"""Seconds that events may take."""
POLL = 0.1


class Wrong(Exception):
    """An answer that can't be gone on from."""


class User:
    """Somebody who is signed in, once `enter` has returned."""

    def __init__(self, name: str, http: httpx.AsyncClient) -> None:
        self.name = name
        self._http = http

    async def enter(self) -> None:
        """Sign in, or up if nobody of that address is known."""
        account = {"email": email_of(self.name), "password": PASSWORD}
        answer = await self.ask("POST", "/api/users/signin", account, expected=(200, 401))
        if answer.status_code == 401:
            answer = await self.ask("POST", "/api/users/signup", account, expected=(201, 409))
        if answer.status_code == 409:
            raise Wrong(
                f"{account['email']} has another password than the demo's. `just reset` starts afresh"
            )
        # As a bearer, for a Secure cookie wouldn't be sent back over plain HTTP.
        self._http.headers["Authorization"] = f"Bearer {answer.cookies['session']}"

    async def get(self, path: str) -> Any:
        return (await self.ask("GET", path)).json()

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        expected: Iterable[int] = (200, 201, 204),
    ) -> httpx.Response:
        """The answer; a rate limit is waited for, and so is news that another service hasn't heard yet.

        Raises:
            Wrong: the answer isn't an expected one.
        """
        clock = asyncio.get_running_loop()
        deadline = clock.time() + PATIENCE
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        while True:
            answer = await self._http.request(method, path, **sent)
            pause = answer.headers.get("Retry-After", "")
            if answer.status_code == 429 and pause.isdecimal():
                write(f"A rate limit is reached. {self.name} goes on in {pause} s ...")
                await asyncio.sleep(int(pause))
            elif answer.status_code in expected:
                return answer
            elif answer.status_code == 404 and clock.time() < deadline:
                await asyncio.sleep(POLL)
            else:
                _refuse(method, path, answer)

    async def until(self, path: str, *statuses: str) -> None:
        """Wait until what is there, or the first of what is there, has one of the statuses."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + PATIENCE
        while (seen := _status(await self.get(path))) not in statuses:
            if clock.time() > deadline:
                raise Wrong(
                    f"{path} is still {seen!r} instead of {' or '.join(statuses)!r} after {PATIENCE:g} s"
                )
            await asyncio.sleep(POLL)


def _status(seen: Any) -> Any:
    return (seen[0] if isinstance(seen, list) else seen)["status"]


def _refuse(method: str, path: str, answer: httpx.Response) -> NoReturn:
    try:
        reason = answer.json()["title"]
    except (ValueError, LookupError, TypeError):
        reason = "that isn't Stagedoor"
    raise Wrong(f"{method} {path} was answered with {answer.status_code}: {reason}")
