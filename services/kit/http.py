"""The edge between HTTP and a service: who asks, what is refused, how errors look."""

import hmac
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import HttpMethod, ScopeType
from litestar.exceptions import ClientException, HTTPException, InternalServerException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import SecurityRequirement
from litestar.params import ParameterKwarg
from litestar.plugins import ReceiveRoutePlugin
from litestar.response import Response
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import ASGIApp, ExceptionHandlersMap, Receive, Scope, Send
from pydantic.alias_generators import to_camel

from contracts.identity import SESSION_COOKIE, Identity
from contracts.problems import PROBLEM_JSON, Problem, ProblemItem
from services.kit.errors import (
    BrokeOff,
    NotAnOperator,
    NotJson,
    NotSignedIn,
    ServiceError,
    Unavailable,
    UnsupportedMediaType,
)
from services.kit.mongo import OUT_OF_REACH, Refused, is_outage
from services.kit.tokens import Sessions
from services.kit.tracing import continue_trace, trace_id
from settings import Settings

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_000_000

_DATE_AND_TIME = "{label} must be a date and time, as in 2026-12-31T20:00:00Z"

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
    "datetime_type": _DATE_AND_TIME,
    "datetime_parsing": _DATE_AND_TIME,
    "datetime_from_date_parsing": _DATE_AND_TIME,
    "datetime_object_invalid": _DATE_AND_TIME,
    "model_type": "The body must be a JSON object",
}

# What Litestar says of a parameter that isn't there; it says it nowhere else.
_MISSING = re.compile(r"Missing required \w+ parameter '([^']+)'")

_TITLES = {
    404: "There is nothing at this address",
    405: "That can't be done here",
    413: "The body is too large",
}


class ApiRequest(Request[Identity, Any, Any]):
    """A request to a service's API; `user` is set on routes that need a signed-in user."""

    async def body(self) -> bytes:
        """All of the body.

        Raises:
            BrokeOff: it ended too early, or its chunks aren't chunks.
        """
        try:
            return await super().body()
        except InternalServerException:  # which says that the client left, and nothing else
            raise BrokeOff from None

    async def json(self) -> Any:
        """The decoded body.

        Raises:
            UnsupportedMediaType: the body isn't declared to be JSON.
            NotJson: it is nested beyond all measure, or no UTF-8.
        """
        if self.content_type[0] != "application/json":
            raise UnsupportedMediaType
        try:
            return await super().json()
        except (RecursionError, UnicodeDecodeError):
            raise NotJson from None  # Litestar takes other mistakes for what they are, but not these

    @property
    def client_address(self) -> str:
        """Where the request comes from, as far as trusted proxies tell."""
        settings: Settings = self.app.state.settings
        came_through = self.headers.get("x-forwarded-for", "")
        return settings.origin_of(f"{came_through}, {self.client.host if self.client else 'unknown'}")


SIGNED_IN: Sequence[SecurityRequirement] = [{"cookie": []}, {"bearer": []}]
"""How the documentation says that a route needs a session token: either way of sending it will do."""

OPERATORS: Sequence[SecurityRequirement] = [{"operator": []}]


def problems(descriptions: Mapping[int, str]) -> dict[int, ResponseSpec]:
    """What the documentation says of the refusals of a route, by status."""
    return {
        status: ResponseSpec(Problem, description=words, media_type=PROBLEM_JSON, generate_examples=False)
        for status, words in descriptions.items()
    }


_PROBLEMS = problems(
    {
        400: "Something in the request is wrong: each field is named",
        401: "Nobody is signed in",
        403: "Not allowed to this user",
        404: "There is no such thing",
        409: "Not possible in its present state",
        429: "Too often; Retry-After says when to try again",
        503: "Out of reach for a moment; asking again is safe",
    }
)


class DocumentedProblems(ReceiveRoutePlugin):
    """Names in the documentation what every route may answer besides success."""

    def receive_route(self, route: BaseRoute) -> None:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                handler.responses = {**_PROBLEMS, **(handler.responses or {})}


class AllMethodsAllowed(ReceiveRoutePlugin):
    """Has OPTIONS name all methods of a path. Litestar 2.25 names those of the handler that came first."""

    def receive_route(self, route: BaseRoute) -> None:
        if not isinstance(route, HTTPRoute):
            return
        allow = ", ".join(sorted(route.methods))

        async def name_them(_: Request[Any, Any, Any]) -> Response[None]:
            return Response(None, status_code=204, headers={"Allow": allow})

        for handler in route.route_handlers:
            if handler.http_methods == {HttpMethod.OPTIONS}:
                handler.before_request = name_them


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


async def operators_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Guard: lets in who sends the operator token, as a bearer's.

    Raises:
        NotAnOperator
    """
    settings: Settings = connection.app.state.settings
    given = (_bearer(connection) or "").encode()
    if not hmac.compare_digest(given, settings.operator_secret.encode()):
        raise NotAnOperator


def token_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    """The session token: a bearer's, or else the cookie's."""
    scheme = connection.headers.get("authorization", "").partition(" ")[0]
    return (
        _bearer(connection) if scheme.lower() == "bearer" else connection.cookies.get(SESSION_COOKIE) or None
    )


def _bearer(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    return (credentials.strip() or None) if scheme.lower() == "bearer" else None


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


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    match error:
        case ValidationException():
            return problem_response(_validation_problem(request, error))
        case ClientException(status_code=400):
            return problem_response(Problem.of(400, NotJson.message, code="not-json"))
        case _:
            title = _TITLES.get(error.status_code, error.detail)
            answer = problem_response(Problem.of(error.status_code, title))
            for name, value in (error.headers or {}).items():
                answer.headers.setdefault(name, value)
            return answer


def _out_of_reach(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("the database can't be reached: %s", error)
    return problem_response(Problem.of(503, Unavailable.message, code="unavailable"), retry_after=2)


def _refused(request: Request[Any, Any, Any], error: Refused) -> Response[bytes]:
    return _out_of_reach(request, error) if is_outage(error) else _unexpected(request, error)


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    reference = trace_id()
    log.exception("%s %s failed, reference %s", request.method, request.url.path, reference, exc_info=error)
    return problem_response(Problem.of(500, "Something went wrong on our side", reference=reference))


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    ServiceError: _service_error,
    HTTPException: _http_error,
    **dict.fromkeys(OUT_OF_REACH, _out_of_reach),
    Refused: _refused,
    Exception: _unexpected,
}


def _validation_problem(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    """Name every field that is wrong, in words for people."""
    details = getattr(error.__cause__, "errors", None)
    if isinstance(details, list):
        items = [_item(detail) for detail in details]
    elif isinstance(error.extra, list):
        items = [_parameter_item(request, detail) for detail in error.extra]
    elif missing := _MISSING.match(error.detail):
        items = [ProblemItem(message=_WORDS["missing"].format(label=_label(missing[1])), field=missing[1])]
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


def _parameter_item(request: Request[Any, Any, Any], detail: Mapping[str, Any]) -> ProblemItem:
    key = detail.get("key")
    if key == "data":
        return ProblemItem(message=_WORDS["model_type"])
    # Litestar names the handler's argument; callers know the parameter.
    argument = request.route_handler.parsed_fn_signature.parameters.get(key or "")
    definition = argument.kwarg_definition if argument else None
    name = (definition.name if isinstance(definition, ParameterKwarg) else None) or key
    return ProblemItem(message=f"{_label(name or 'parameter')} isn't valid", field=name)


def _label(field: str) -> str:
    """ticketId → TicketId, as clients of the first version of this API know it."""
    return field[:1].upper() + field[1:]
