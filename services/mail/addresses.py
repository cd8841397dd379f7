"""Asks auth for addresses and one-time links when a message is sent. Nothing of them is stored here."""

import logging
from enum import Enum
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from pydantic import ValidationError

from contracts.wire import Wire
from kit.errors import Unavailable
from kit.secrets import mail_token
from kit.tracing import traceparent
from settings import Settings

log = logging.getLogger(__name__)

SECONDS = 5.0

W = TypeVar("W", bound=Wire)


OUTAGES = (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)


class BadAnswer(Exception):
    """Auth answers, but not as it should. Other questions may get an answer."""


class Missing(Enum):
    """Why auth gives no address."""

    UNKNOWN = "unknown"
    """Auth doesn't know the user or the link."""
    OVER = "over"
    """The link was used, replaced, or has expired."""


class Account(Wire):
    email: str
    language: str | None = None
    """The language that the user has chosen. An earlier version of auth doesn't say it, and a later one may
    know more."""


class MailedLink(Wire):
    email: str
    path: str
    """The path on the site, with the secret of the link."""
    language: str | None = None


class Addresses:
    """A client of auth's internal API. `close` ends its connections."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.url_of("auth")
        self._headers = {"Authorization": f"Bearer {mail_token(settings)}"}
        self._http: aiohttp.ClientSession | None = None

    async def of_user(self, user_id: str) -> Account | Missing:
        """The user's address.

        Raises:
            Unavailable, BadAnswer
        """
        return await self._ask("GET", f"/internal/users/{user_id}", Account)

    async def of_link(self, link_id: str) -> MailedLink | Missing:
        """The one-time link and the address that gets it. A repeated call gives the same link.

        Raises:
            Unavailable, BadAnswer
        """
        return await self._ask("POST", f"/internal/links/{link_id}", MailedLink)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def _ask(self, method: str, path: str, kind: type[W]) -> W | Missing:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=SECONDS)
            self._http = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        headers = {**self._headers, "traceparent": traceparent()}
        try:
            async with self._http.request(
                method, self._url + path, headers=headers, allow_redirects=False
            ) as answer:
                status, body = answer.status, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable from error
        if status == HTTPStatus.UNAUTHORIZED:  # all messages wait while it is being replaced
            log.warning("auth has another MAIL_TOKEN than mail, or an earlier version")
            raise Unavailable
        if status in OUTAGES:
            raise Unavailable
        if status == HTTPStatus.NOT_FOUND:
            return Missing.UNKNOWN
        if status == HTTPStatus.GONE:
            return Missing.OVER
        if status != HTTPStatus.OK:
            raise BadAnswer
        try:
            return kind.model_validate_json(body)
        except ValidationError:  # its text would contain the address
            raise BadAnswer from None
