"""Translates exceptions into RFC 9457 problems with messages for users."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from litestar import Request
from litestar.exceptions import ClientException, HTTPException, ValidationException
from litestar.params import ParameterKwarg
from litestar.response import Response
from litestar.types import ExceptionHandlersMap
from pydantic.alias_generators import to_camel

from contracts.problems import PROBLEM_JSON, Problem, ProblemItem
from kit.errors import NotJson, ServiceError
from kit.tracing import trace_id

log = logging.getLogger(__name__)

_DATE_AND_TIME = "{label} must be a date and time, as in 2026-12-31T20:00:00Z"

# Messages for users, by pydantic's error type.
_MESSAGES = {
    "missing": "{label} is required",
    "string_type": "{label} must be text",
    "string_too_short": "{label} is required",
    "string_too_long": "{label} must be at most {max_length} characters",
    "string_pattern_mismatch": "{label} isn't valid",
    "string_unicode": "{label} must be text",
    "value_error": "{label} must be valid",
    "extra_forbidden": "{label} isn't a known field",
    "timezone_aware": "{label} must include a time zone, as in 2026-12-31T20:00:00Z",
    "datetime_type": _DATE_AND_TIME,
    "datetime_parsing": _DATE_AND_TIME,
    "datetime_from_date_parsing": _DATE_AND_TIME,
    "datetime_object_invalid": _DATE_AND_TIME,
    "model_type": "The body must be a JSON object",
}

MAX_ERRORS = 20
"""The most errors that a problem lists."""

# Litestar gives the name of a missing parameter only in this message.
_MISSING = re.compile(r"Missing required \w+ parameter '([^']+)'")

TITLES = {
    404: "Not Found",
    405: "That can't be done here",
    413: "The body is too large",
}


def problem_response(problem: Problem, *, retry_after: int | None = None) -> Response[bytes]:
    headers = {"Cache-Control": "no-store"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Response(
        problem.to_json().encode(),
        status_code=problem.status,
        media_type=PROBLEM_JSON,
        headers=headers,
    )


def _service_error(_: Request[Any, Any, Any], error: ServiceError) -> Response[bytes]:
    return problem_response(
        Problem.of(error.status, error.detail, code=error.code, field=error.field),
        retry_after=error.retry_after,
    )


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    match error:
        case ValidationException():
            return problem_response(_validation_problem(request, error))
        case ClientException(status_code=400):
            return problem_response(Problem.of(400, NotJson.message, code="not-json"))
        case _:
            title = TITLES.get(error.status_code, error.detail)
            answer = problem_response(Problem.of(error.status_code, title))
            for name, value in (error.headers or {}).items():
                answer.headers.setdefault(name, value)
            return answer


def unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    reference = trace_id()
    log.exception(
        "%s %s failed, reference %s", request.method, request.scope["path"], reference, exc_info=error
    )
    return problem_response(Problem.of(500, "Something went wrong on our side", reference=reference))


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    ServiceError: _service_error,
    HTTPException: _http_error,
    Exception: unexpected,
}


def _validation_problem(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    """A problem with one error for each invalid field."""
    details = getattr(error.__cause__, "errors", None)
    if isinstance(details, list):
        items = [_item(detail) for detail in details[:MAX_ERRORS]]
    elif isinstance(error.extra, list):
        items = [_parameter_item(request, detail) for detail in error.extra[:MAX_ERRORS]]
    elif missing := _MISSING.match(error.detail):
        items = [ProblemItem(message=_MESSAGES["missing"].format(label=_label(missing[1])), field=missing[1])]
    else:
        items = [ProblemItem(message=error.detail)]
    title = items[0].message if len(items) == 1 else "Some fields are wrong"
    return Problem(type="/problems/validation", title=title, status=400, errors=items)


def _item(detail: Mapping[str, Any]) -> ProblemItem:
    location: Iterable[str | int] = detail.get("loc", ())
    field = ".".join(to_camel(part) if isinstance(part, str) else str(part) for part in location)
    if template := _MESSAGES.get(detail["type"]):
        message = template.format(label=_label(field), **detail.get("ctx", {}))
    else:
        message = detail["msg"] if _is_ours(detail) else f"{_label(field)}: {detail['msg']}"
    return ProblemItem(message=message, field=field or None)


def _is_ours(detail: Mapping[str, Any]) -> bool:
    """Whether our contracts define the error. Only errors that pydantic defines have a documentation link."""
    return "url" not in detail


def _parameter_item(request: Request[Any, Any, Any], detail: Mapping[str, Any]) -> ProblemItem:
    key = detail.get("key")
    if key == "data":
        return ProblemItem(message=_MESSAGES["model_type"])
    # Litestar gives the name of the handler's argument, but callers know the parameter by its own name.
    argument = request.route_handler.parsed_fn_signature.parameters.get(key or "")
    definition = argument.kwarg_definition if argument else None
    name = (definition.name if isinstance(definition, ParameterKwarg) else None) or key
    return ProblemItem(message=f"{_label(name or 'parameter')} isn't valid", field=name)


def _label(field: str) -> str:
    """Capitalize a field's name, as the Node version does: ticketId → TicketId."""
    return field[:1].upper() + field[1:]
