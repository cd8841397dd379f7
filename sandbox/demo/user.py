"""A user of the demo, as a client of the public HTTP API."""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import httpx

from sandbox.demo.programme import PASSWORD, email_of
from sandbox.log import write

TIMEOUT = 60.0
"""Maximum number of seconds to wait for an event to reach another service, which may be busy."""
BUSY_TIMEOUT = 300.0
"""Maximum number of seconds to wait for a marketplace that answers 503 all the time."""
BUSY_PAUSE = 2
"""Seconds until the next attempt if a response doesn't say when it may succeed."""
POLL_INTERVAL = 0.1


class UnexpectedResponse(Exception):
    """A response of the marketplace after which the demo can't continue."""


class User:
    """A user of the marketplace; call `sign_in` first."""

    def __init__(self, name: str, http: httpx.AsyncClient) -> None:
        self.name = name
        self._http = http

    async def sign_in(self) -> None:
        """Sign in, or sign up on the first run."""
        account = {"email": email_of(self.name), "password": PASSWORD}
        response = await self.request("POST", "/api/users/signin", account, expected=(200, 401))
        if response.status_code == 401:
            response = await self.request("POST", "/api/users/signup", account, expected=(201, 409))
        if response.status_code == 409:
            raise UnexpectedResponse(
                f"{account['email']} exists with another password. `just reset` removes all data"
            )
        # Send a bearer token instead of the cookie, because httpx sends no Secure cookie over plain HTTP.
        self._http.headers["Authorization"] = f"Bearer {response.cookies['session']}"

    async def get(self, path: str) -> Any:
        return (await self.request("GET", path)).json()

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        expected: Iterable[int] = (200, 201, 204),
    ) -> httpx.Response:
        """Send a request. Repeat it after a rate limit, while the marketplace is busy or a service restarts,
        and on 404 because an event may not have arrived yet.

        A repeated listing lists a ticket once, because a 503 may come after it was stored.

        Raises:
            UnexpectedResponse: the response's status isn't an expected one.
        """
        clock = asyncio.get_running_loop()
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        headers = {"Idempotency-Key": secrets.token_urlsafe(16)} if method == "POST" else {}
        status, since = 0, clock.time()
        while True:
            response = await self._http.request(method, path, headers=headers, **sent)
            if response.status_code != status:  # each reason to wait has its own time
                status, since = response.status_code, clock.time()
            pause = response.headers.get("Retry-After", "")
            waited = clock.time() - since
            if status == 429 and pause.isdecimal():
                write(f"{self.name} has reached a rate limit and continues in {pause} s ...")
                await asyncio.sleep(int(pause))
            elif status in expected:
                return response
            elif status == 503 and waited < BUSY_TIMEOUT:
                await asyncio.sleep(int(pause) if pause.isdecimal() else BUSY_PAUSE)
            elif status == 404 and waited < TIMEOUT:
                await asyncio.sleep(POLL_INTERVAL)
            else:
                _fail(method, path, response)

    async def wait_for_status(self, path: str, *statuses: str) -> None:
        """Wait until the resource, or the first one of a list, has one of the statuses."""
        await self.wait_for(path, lambda body: _status(body) in statuses)

    async def wait_for(self, path: str, is_reached: Callable[[Any], bool]) -> None:
        """Wait until the resource is as expected.

        Raises:
            UnexpectedResponse: it isn't after `TIMEOUT`.
        """
        clock = asyncio.get_running_loop()
        deadline = clock.time() + TIMEOUT
        while not is_reached(body := await self.get(path)):
            if clock.time() > deadline:
                raise UnexpectedResponse(f"{path} is still {_status(body)!r} after {TIMEOUT:g} s")
            await asyncio.sleep(POLL_INTERVAL)


def _status(body: Any) -> Any:
    return (body[0] if isinstance(body, list) else body)["status"]


def _fail(method: str, path: str, response: httpx.Response) -> NoReturn:
    try:
        reason = response.json()["title"]
    except (ValueError, LookupError, TypeError):
        reason = "it doesn't look like a response of Stagedoor"
    raise UnexpectedResponse(f"{method} {path} returned {response.status_code}: {reason}")
