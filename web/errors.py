"""What people see when something goes wrong: a page, or an alert in the page that they have."""

import logging
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException
from litestar.response import Response, Template
from litestar.types import ExceptionHandlersMap

from web.forms import CSRF_COOKIE
from web.page import go, is_partial, page_headers, reader_of, sign_in_address
from web.services import Refused, ServiceDown, trace_of

log = logging.getLogger(__name__)

_AWAY = {
    "auth": "Sign-in is away for a moment",
    "tickets": "The tickets are away for a moment",
    "orders": "Orders are away for a moment",
    "payments": "Payments are away for a moment",
    "expiration": "Part of the marketplace is away for a moment",
}


@dataclass(frozen=True)
class Trouble:
    status: int
    title: str
    text: str
    retry: str | None = None
    """Address of a page that may work the next time."""
    reference: str | None = None


NOT_FOUND = Trouble(404, "There is nothing here", "The page may have moved, or the address has a typo.")
EXPIRED_FORM = Trouble(
    403, "That form has expired", "Nothing was changed. Open the page again and send the form once more."
)


def _refused(request: Request[Any, Any, Any], error: Refused) -> Response[Any]:
    if error.status == 401:
        return go(request, sign_in_address(_where(request)))
    if error.status == 404:
        return _answer(request, NOT_FOUND)
    if error.status >= 500:
        reference = error.problem.reference
        log.error("%s %s: %s, reference %s", request.method, request.url.path, error, reference)
        text = "It has been noted. It may work in a moment."
        return _answer(
            request, Trouble(500, "Something went wrong on our side", text, _where(request), reference)
        )
    answer = _answer(request, Trouble(error.status, error.problem.title, "Nothing was changed."))
    if error.retry_after:
        answer.headers["Retry-After"] = error.retry_after
    return answer


def _service_down(request: Request[Any, Any, Any], error: ServiceDown) -> Response[Any]:
    log.warning("%s %s: %s: %r", request.method, request.url.path, error, error.__cause__)
    text = "Everything else keeps working, and nothing is lost. It should be back in a few seconds."
    answer = _answer(request, Trouble(503, _AWAY[error.service], text, _where(request)))
    answer.headers["Retry-After"] = "3"
    return answer


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    match error.status_code:
        case 404:
            return _answer(request, NOT_FOUND)
        case 403:
            answer = _answer(request, EXPIRED_FORM)
            # A token that this site didn't sign is replaced; the next form works.
            answer.delete_cookie(CSRF_COOKIE)
            return answer
        case 405:
            answer = _answer(
                request, Trouble(405, "That isn't possible here", "Go back and try another way.")
            )
            answer.headers.update(error.headers or {})
            return answer
        case 413:
            return _answer(request, Trouble(413, "That is too much at once", "Send less text."))
    return _answer(request, Trouble(error.status_code, "We didn't understand that", "Go back and try again."))


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    reference = trace_of(request.headers.get("traceparent"))
    log.error("%s %s failed, reference %s", request.method, request.url.path, reference, exc_info=error)
    text = "It has been noted. It may work in a moment."
    return _answer(
        request, Trouble(500, "Something went wrong on our side", text, _where(request), reference)
    )


def _answer(request: Request[Any, Any, Any], trouble: Trouble) -> Template:
    viewer = getattr(request.state, "viewer", None)
    headers = page_headers(viewer)
    if is_partial(request):
        headers |= {"HX-Retarget": "#notice", "HX-Reswap": "innerHTML"}
    return Template(
        "errors/_alert.html" if is_partial(request) else "errors/page.html",
        context={
            "trouble": trouble,
            "viewer": viewer,
            "address": _where(request),
            "locale": reader_of(request),
        },
        status_code=trouble.status,
        headers=headers,
    )


def _where(request: Request[Any, Any, Any]) -> str:
    """A page to go back to: this one, or the one whose form was sent."""
    path = request.url.path
    if request.method == "GET":
        return path + (f"?{request.url.query}" if request.url.query else "")
    for action in ("/buy", "/pay", "/cancel", "/signout"):
        path = path.removesuffix(action)
    return path or "/"


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Refused: _refused,
    ServiceDown: _service_down,
    HTTPException: _http_error,
    Exception: _unexpected,
}
