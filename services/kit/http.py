"""The edge between HTTP and a service: who asks, what is refused, how errors look."""

import logging
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import ClientException, HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.response import Response
from litestar.types import ASGIApp, ExceptionHandlersMap, Receive, Scope, Send
from pydantic.alias_generators import to_camel

from contracts.identity import SESSION_COOKIE, Identity
from contracts.problems import PROBLEM_JSON, Problem, ProblemItem
from services.kit.errors import NotSignedIn, ServiceError, Unavailable, UnsupportedMediaType
from services.kit.mongo import OUT_OF_REACH
from services.kit.tokens import Sessions
from services.kit.tracing import continue_trace, trace_id
from settings import Settings

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000

# What people read instead of pydantic's words, by the type of its error.
_WORDS = {
    "missing": "{label} is required",
    "string_type": "{label} must be text",
    "string_too_short": "{label} is required",
    "string_too_long": "{label} must be at most {max_length} characters",
    "string_pattern_mismatch": "{label} isn't valid",
    "string_unicode": "{label} must be text",
    "value_error": "{label} must be valid",
    "extra_forbidden": "{label} isn't a known field",
    "timezone_aware": "{label} must say its time zone, as in 2026-12-31T20:00:00Z",
    "model_type": "The body must be a JSON object",
}


class ApiRequest(Request[Identity, Any, Any]):
    """A request to a service's API; `user` is set on routes that need a signed-in user."""

    async def json(self) -> Any:
        """The decoded body.

        Raises:
            UnsupportedMediaType: the body isn't declared to be JSON.
        """
        if self.content_type[0] != "application/json":
            raise UnsupportedMediaType
        return await super().json()

    @property
    def client_address(self) -> str:
        """Where the request comes from, as far as trusted proxies tell."""
        settings: Settings = self.app.state.settings
        hops = [hop.strip() for hop in self.headers.get("x-forwarded-for", "").split(",") if hop.strip()]
        hops.append(self.client.host if self.client else "unknown")
        # From the right: each proxy of ours wrote the hop before it; what stands further left can be made up.
        while len(hops) > 1 and _is_within(hops[-1], settings.trusted_proxies):
            hops.pop()
        return hops[-1]


async def signed_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: sets `request.user`. Guards run before the body is read.

    Raises:
        NotSignedIn: there is no token, or it is nobody's.
    """
    sessions: Sessions = connection.app.state.sessions
    token = token_of(connection)
    identity = await sessions.identify(token) if token else None
    if identity is None:
        raise NotSignedIn
    connection.scope["user"] = identity


def token_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The session token: a bearer's, or else the cookie's."""
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip() or None
    return connection.cookies.get(SESSION_COOKIE) or None


def tracing_middleware(app: ASGIApp) -> ASGIApp:
    """Continue the caller's trace, so that the events of a request are part of it."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            headers = dict(scope["headers"])
            continue_trace(headers.get(b"traceparent", b"").decode("latin-1"))
        await app(scope, receive, send)

    return middleware


def problem_response(problem: Problem, *, retry_after: int | None = None) -> Response[bytes]:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return Response(
        problem.to_json().encode(),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=headers,
    )


def _service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[bytes]:
    return problem_response(
        Problem.of(error.status, error.detail, code=error.code), retry_after=error.retry_after
    )


def _http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    match error:
        case ValidationException():
            return problem_response(_validation_problem(error))
        case ClientException(status_code=400):
            return problem_response(Problem.of(400, "The body isn't valid JSON", code="not-json"))
        case _:
            answer = problem_response(Problem.of(error.status_code, error.detail))
            for name, value in (error.headers or {}).items():
                answer.headers.setdefault(name, value)
            return answer


def _out_of_reach(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("the database can't be reached: %s", error)
    return problem_response(Problem.of(503, Unavailable.message, code="unavailable"), retry_after=2)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    reference = trace_id()
    log.exception("%s %s failed, reference %s", request.method, request.url.path, reference, exc_info=error)
    return problem_response(Problem.of(500, "Something went wrong on our side", reference=reference))


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    ServiceError: _service_error,
    HTTPException: _http_error,
    **dict.fromkeys(OUT_OF_REACH, _out_of_reach),
    Exception: _unexpected,
}


def _validation_problem(error: ValidationException) -> Problem:
    """Name every field that is wrong, in words for people."""
    details = getattr(error.__cause__, "errors", None)
    if isinstance(details, list):
        items = [_item(detail) for detail in details]
    elif isinstance(error.extra, list):
        items = [_parameter_item(detail) for detail in error.extra]
    else:
        items = [ProblemItem(message=error.detail)]
    title = items[0].message if len(items) == 1 else "Some fields are wrong"
    return Problem(type="/problems/validation", title=title, status=400, errors=items)


def _item(detail: Mapping[str, Any]) -> ProblemItem:
    location: Iterable[str | int] = detail.get("loc", ())
    field = ".".join(to_camel(part) if isinstance(part, str) else str(part) for part in location)
    words = _WORDS.get(detail["type"], detail["msg"] if _is_ours(detail) else "{label}: " + detail["msg"])
    message = words.format(label=_label(field), **detail.get("ctx", {}))
    return ProblemItem(message=message, field=field or None)


def _is_ours(detail: Mapping[str, Any]) -> bool:
    """Errors that contracts define have no page in pydantic's documentation, and words of their own."""
    return "url" not in detail


def _parameter_item(detail: Mapping[str, Any]) -> ProblemItem:
    key = detail.get("key")
    if key == "data":
        return ProblemItem(message=_WORDS["model_type"])
    return ProblemItem(message=f"{_label(key or 'parameter')} isn't valid", field=key)


def _label(field: str) -> str:
    """ticketId → TicketId, as clients of the first version of this API know it."""
    return field[:1].upper() + field[1:]


def _is_within(address: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False
