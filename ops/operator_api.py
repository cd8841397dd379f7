"""Requests to the routes of the services that only operators may call."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import aiohttp

from kit.secrets import operator_token
from ops.errors import CommandError
from settings import ServiceName, Settings

ANSWER_SECONDS = 40.0
"""Seconds to wait for a response. Payments waits for Stripe for a shorter time."""


class ServiceDown(CommandError):
    """The service doesn't answer, or not in time."""


def client() -> aiohttp.ClientSession:
    """An HTTP client for `request`."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))


async def request(
    http: aiohttp.ClientSession,
    conf: Settings,
    service: ServiceName,
    path: str,
    body: Mapping[str, Any] | None,
    *,
    failure: str,
    unknown: str,
    method: str = "POST",
) -> Any:
    """Send a request with the operator token. Return the parsed body of the response.

    Args:
        failure: how the error begins if the service refuses, such as "Order 65f0… isn't refunded".
        unknown: how it ends if the service answers 404.

    Raises:
        ServiceDown
        CommandError: the service refused, or something else answers at its address.
    """
    url = conf.url_of(service)
    headers = {"Authorization": f"Bearer {operator_token(conf)}"}
    try:
        async with http.request(method, f"{url}{path}", json=body, headers=headers) as answer:
            result: Any = await answer.json(content_type=None)
            status = answer.status
    except TimeoutError:
        raise ServiceDown(
            f"The {service} service didn't answer within {ANSWER_SECONDS:.0f} s and may still act. Repeat it."
        ) from None
    except (aiohttp.ClientError, OSError):
        raise ServiceDown(
            f"The {service} service doesn't answer at {url}. Is the marketplace running?"
        ) from None
    except ValueError:
        raise CommandError(f"The server at {url} isn't the {service} service.") from None
    if status in (200, 201):
        return result
    reason = {401: f"the {service} service has another OPERATOR_TOKEN than this command", 404: unknown}
    raise CommandError(f"{failure}: {reason.get(status) or _reason(service, status, result)}.")


async def download(
    http: aiohttp.ClientSession, conf: Settings, service: ServiceName, path: str, *, failure: str
) -> bytes:
    """The content of a file, requested with the operator token.

    Args:
        failure: how the error begins.

    Raises:
        CommandError: the service doesn't answer, or refuses.
    """
    headers = {"Authorization": f"Bearer {operator_token(conf)}"}
    try:
        async with http.get(f"{conf.url_of(service)}{path}", headers=headers) as answer:
            content, status = await answer.read(), answer.status
    except (TimeoutError, aiohttp.ClientError, OSError):
        raise ServiceDown(f"{failure}: the {service} service doesn't answer.") from None
    if status != HTTPStatus.OK:
        raise CommandError(f"{failure}: the {service} service answered {status}.")
    return content


def _reason(service: ServiceName, status: int, result: Any) -> str:
    """The sentence of a problem, or of its first detail, such as a wrong field."""
    title = result.get("title") if isinstance(result, dict) else None
    errors = result.get("errors") if isinstance(result, dict) else None
    messages = [each.get("message") for each in errors or () if isinstance(each, dict)]
    return str(next(filter(None, [*messages, title]), f"the {service} service answered {status}")).rstrip(".")
