"""Error pages. An htmx request gets an alert instead, which is shown on the current page."""

import logging
from dataclasses import dataclass
from typing import Any, cast

from litestar.exceptions import HTTPException
from litestar.plugins.htmx import HTMXTemplate
from litestar.response import Response
from litestar.types import ExceptionHandlersMap

from contracts.problems import Problem
from kit.errors import CrossSite
from kit.http.problems import problem_response
from kit.tracing import trace_id
from web.api_client import Refused, ServiceDown
from web.page_context import Viewer, cache_headers, layout_context
from web.recorded_user import AnotherUser
from web.redirects import redirect, sign_in_address
from web.rendering.texts import N_, _
from web.request import WebRequest
from web.security import is_api, requested_path

log = logging.getLogger(__name__)

_SERVICE_DOWN = {
    "auth": N_("Sign-in is temporarily unavailable"),
    "tickets": N_("Tickets are temporarily unavailable"),
    "orders": N_("Orders are temporarily unavailable"),
    "payments": N_("Payments are temporarily unavailable"),
    "expiration": N_("Part of the marketplace is temporarily unavailable"),
    "mail": N_("Email settings are temporarily unavailable"),
    "payouts": N_("Payouts are temporarily unavailable"),
}


@dataclass(frozen=True)
class PageError:
    """The texts and links of an error page."""

    status: int
    title: str
    text: str
    retry: str | None = None
    """The address of the link "Try again"."""
    reference: str | None = None
    """The trace id under which the error is in the logs."""
    continues: str | None = None
    """The address of the link with which another user than that of the page continues."""


def _refused(request: WebRequest, error: Refused) -> Response[Any]:
    if error.status == 401:
        return redirect(request, sign_in_address(_page_address(request)))
    if error.status == 404:
        return _response(request, _not_found())
    if error.status >= 500:
        reference = error.problem.reference
        log.error("%s %s failed: %s, reference %s", request.method, request.scope["path"], error, reference)
        return _response(request, _internal_error(request, reference))
    response = _response(request, PageError(error.status, error.problem.title, _("Nothing was changed.")))
    if error.retry_after:
        response.headers["Retry-After"] = error.retry_after
    return response


def _service_down(request: WebRequest, error: ServiceDown) -> Response[Any]:
    log.warning("%s %s failed: %s (%r)", request.method, request.scope["path"], error, error.__cause__)
    title = _(_SERVICE_DOWN[error.service])
    text = _("Nothing is lost, and the rest of the site still works. Please try again in a few seconds.")
    response = _response(request, PageError(503, title, text, _page_address(request)))
    response.headers["Retry-After"] = "3"
    return response


def _cross_site(request: WebRequest, error: CrossSite) -> Response[Any]:
    if is_api(requested_path(request.scope)):
        return problem_response(Problem.of(error.status, error.detail, code=error.code))
    text = _("Nothing was changed. Open the page on this site, and send the form again.")
    return _response(request, PageError(403, _("The request came from another site"), text))


def _another_user(request: WebRequest, error: AnotherUser) -> Response[Any]:
    request.state.viewer = Viewer.of(error.identity)
    text = (
        _("This page was opened before you signed in. Nothing was changed.")
        if error.was_guest
        else _("This page belongs to the account that was signed in before. Nothing was changed.")
    )
    title = _("You are now signed in as %(email)s", email=error.identity.email)
    return _response(request, PageError(409, title, text, continues=_address_for_others(request)))


def _address_for_others(request: WebRequest) -> str:
    """The address of a page like that of the submitted form which any user may see."""
    area, *rest = request.scope["path"].removeprefix("/").split("/")
    if area == "tickets":
        return f"/tickets/{rest[0]}"
    return f"/{area}" if area in {"account", "orders", "sell"} else "/"


def _http_error(request: WebRequest, error: HTTPException) -> Response[Any]:
    status = error.status_code
    if is_api(requested_path(request.scope)):
        return problem_response(Problem.of(status, error.detail))
    match status:
        case 404:
            return _response(request, _not_found())
        case 405:
            error_405 = PageError(405, _("This action isn't possible"), _("Go back and try another way."))
            response = _response(request, error_405)
            response.headers.update(error.headers or {})
            return response
        case 413:
            return _response(request, PageError(413, _("Your input is too large"), _("Send less text.")))
    return _response(request, PageError(status, _("Invalid request"), _("Go back and try again.")))


def _unexpected(request: WebRequest, error: Exception) -> Response[Any]:
    reference = trace_id()
    log.error("%s %s failed, reference %s", request.method, request.scope["path"], reference, exc_info=error)
    return _response(request, _internal_error(request, reference))


def _not_found() -> PageError:
    text = _("The page may have moved, or the address may contain a typo.")
    return PageError(404, _("Page not found"), text)


def _internal_error(request: WebRequest, reference: str | None) -> PageError:
    text = _("We have been notified. Please try again in a moment.")
    return PageError(500, _("Something went wrong on our side"), text, _page_address(request), reference)


def _response(request: WebRequest, error: PageError) -> HTMXTemplate:
    viewer = getattr(request.state, "viewer", None)
    is_partial = request.wants_fragment
    return HTMXTemplate(
        template_name="errors/_alert.html" if is_partial else "errors/page.html",
        context={**layout_context(request, viewer, _page_address(request)), "error": error},
        status_code=error.status,
        headers=cache_headers(viewer),
        re_target="#notice" if is_partial else None,
        re_swap="innerHTML" if is_partial else None,
    )


def _page_address(request: WebRequest) -> str:
    """The address of the requested page, or of the page that contains the submitted form."""
    if request.method in {"GET", "HEAD"}:
        return request.address
    path = request.scope["path"]
    for action in ("/buy", "/pay", "/cancel", "/signout"):
        path = path.removesuffix(action)
    return path or "/"


# Litestar expects handlers that accept any Request, but all requests of this app are WebRequests.
EXCEPTION_HANDLERS = cast(
    "ExceptionHandlersMap",
    {
        AnotherUser: _another_user,
        CrossSite: _cross_site,
        Refused: _refused,
        ServiceDown: _service_down,
        HTTPException: _http_error,
        Exception: _unexpected,
    },
)
