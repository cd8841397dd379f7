"""Asking another service: about an entity of which there is no replica yet, or about a user."""

import logging
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from pydantic import ValidationError

from contracts.wire import Wire
from kit.errors import Forbidden, NotFound, NotSignedIn, Unavailable
from kit.tracing import traceparent

log = logging.getLogger(__name__)

MAX_CONCURRENT = 8
"""Maximum number of requests to one owner at the same time. While the owner is slow, each of them occupies a
permit in the web tier, which must have permits left for requests that don't depend on the owner."""

SECONDS = 2.0
"""How long to wait for the owner."""

RETRY_AFTER = 2

W = TypeVar("W", bound=Wire)


class Owner:
    """The HTTP API of a service that owns entities of which the calling service has replicas.

    The calling service asks only if it has no replica. Most often that means that the id is made up, and
    otherwise that the entity's first event hasn't arrived yet.
    """

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        self._url = url
        self._seconds = seconds
        self._running = 0

    async def get(self, path: str, kind: type[W], *, session: str | None = None) -> W:
        """The entity at this path, as the owner shows it to the user with this session token.

        Raises:
            NotFound, NotSignedIn, Forbidden: the owner's answer.
            Unavailable: the owner doesn't answer in time, or too many requests wait for it.
        """
        return await self.send("GET", path, kind, session=session)

    async def send(self, method: str, path: str, kind: type[W], *, session: str | None = None) -> W:
        """Like `get`, with another method. If it isn't safe, a request that fails may have taken effect."""
        if self._running >= MAX_CONCURRENT:
            raise Unavailable(retry_after=RETRY_AFTER)
        self._running += 1
        try:
            status, body = await self._request(method, path, session)
            return _answered(status, body, kind)
        except (aiohttp.ClientError, TimeoutError, ValidationError) as error:
            log.warning("%s%s gave no valid response: %r", self._url, path, error)
            raise Unavailable(retry_after=RETRY_AFTER) from error
        finally:
            self._running -= 1

    async def _request(self, method: str, path: str, session: str | None) -> tuple[int, bytes]:
        headers = {"traceparent": traceparent()}
        if session is not None:
            headers["Authorization"] = f"Bearer {session}"
        # These requests are rare, so a client that stays open would bring nothing.
        timeout = aiohttp.ClientTimeout(total=self._seconds)
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as client,
            client.request(method, self._url + path, headers=headers, allow_redirects=False) as answer,
        ):
            return answer.status, await answer.read()


def _answered(status: int, body: bytes, kind: type[W]) -> W:
    match status:
        case HTTPStatus.OK:
            return kind.model_validate_json(body)
        case HTTPStatus.NOT_FOUND:
            raise NotFound
        case HTTPStatus.UNAUTHORIZED:
            raise NotSignedIn
        case HTTPStatus.FORBIDDEN:
            raise Forbidden
        case _:
            raise Unavailable(retry_after=RETRY_AFTER)
