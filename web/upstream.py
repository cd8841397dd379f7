"""The HTTP client for requests to the services, which the pages and the proxy share."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Self

import aiohttp
from yarl import URL

from settings import ServiceName

TIMEOUT = 15.0
"""Seconds after which a service that doesn't respond is considered down."""
PAYMENT_TIMEOUT = 35.0
"""Seconds to wait for a payment. Stripe may be slow, and the payment continues even if web stops waiting."""
CONNECT_TIMEOUT = 3.0
"""Seconds to wait for a connection to a service."""
SAFE_METHODS = {"GET", "HEAD"}
"""Methods of requests that may be repeated."""


def timeout(service: ServiceName, method: str) -> aiohttp.ClientTimeout:
    is_payment = service == "payments" and method == "POST"
    return aiohttp.ClientTimeout(total=PAYMENT_TIMEOUT if is_payment else TIMEOUT, connect=CONNECT_TIMEOUT)


class ConnectionLost(aiohttp.ClientError):
    """The connection ended before the response, so the request may have taken effect."""


async def sent_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating a PUT or DELETE after a lost connection.

    A repeated edit could overwrite a later edit. Also, if the service has crashed while it handled the
    request, the repetition can't connect: it would seem that the service never received the request.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method in SAFE_METHODS:
            raise
        raise ConnectionLost(str(error)) from error


class Upstream:
    """The HTTP client of a process. It stores no cookies, so that cookies of one user never reach another.

    Reads reuse connections, and are repeated if the service has closed such a connection. A change can't be
    repeated, so each gets a connection of its own: a service that stops closes connections that it believes
    idle, while a request may be under way on them. Restarting an instance therefore makes no change fail.
    """

    def __init__(self) -> None:
        self._reads = _session(force_close=False)
        self._changes = _session(force_close=True)

    def request(
        self, method: str, url: URL | str, **options: Any
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send a request with these options of aiohttp."""
        session = self._reads if method in SAFE_METHODS else self._changes
        return session.request(method, url, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self._reads.close()
        await self._changes.close()


def _session(*, force_close: bool) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=400, limit_per_host=100, force_close=force_close),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[sent_once],
    )
