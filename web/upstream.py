"""The HTTP client for requests to the services, which the pages and the proxy share."""

import aiohttp

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


def open_session() -> aiohttp.ClientSession:
    """The HTTP client of a process. It stores no cookies, so that cookies of one user never reach another."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=400, limit_per_host=100),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[sent_once],
    )
