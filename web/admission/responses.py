"""The responses to rejected requests: problem details for the API, a fragment for htmx, or a page."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from babel import Locale
from jinja2 import Environment
from litestar.types import HTTPScope, Send

from contracts.languages import LANGUAGES
from contracts.problems import PROBLEM_JSON, Problem
from kit.errors import TooManyRequests
from kit.texts import language, using
from web.admission.request_body import SMALL_BODY_BYTES
from web.redirects import local_address
from web.rendering.texts import N_
from web.request import WebRequest
from web.security import is_api

MIN_RETRY_AFTER, MAX_RETRY_AFTER = 2, 5
"""Limits of Retry-After in seconds. The value is random, so that clients don't all return at once."""
MAX_FIELDS = 50
"""Maximum number of fields of a form that is returned to the user. No form of this site has more, and
rendering them would cost too much."""

_PROBLEMS = {
    400: Problem.of(400, "The request was aborted", code="request-aborted"),
    408: Problem.of(408, "The body took too long to arrive", code="too-slow"),
    413: Problem.of(413, "The body is too large", code="too-large"),
    429: Problem.of(429, TooManyRequests.message, code="too-many-requests"),
    503: Problem.of(503, "There are more requests than can be served right now", code="busy"),
}
_WITH_PASSWORDS = "/sign", "/account"
"""Prefixes of the paths of forms that are never returned to the user, because they contain passwords."""


@dataclass(frozen=True)
class Message:
    title: str
    text: str


_MESSAGES = {
    400: Message(
        N_("Your request was incomplete"),
        N_("Nothing was changed. Your connection may have been interrupted."),
    ),
    408: Message(N_("Your request took too long"), N_("Nothing was changed. Your connection may be slow.")),
    413: Message(
        N_("Your input is too large"), N_("Nothing was changed. Send less text, or a smaller picture.")
    ),
    429: Message(
        N_("Too many attempts"),
        N_("There were too many from your network. Nothing was changed. Wait a minute."),
    ),
    503: Message(N_("The site is busy"), N_("There are more visitors than we can serve right now.")),
}


@dataclass(frozen=True)
class _Form:
    """The content of a rejected form, which the response contains so that the user can send it again."""

    address: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    """Names and values of the fields. Empty if the form contains passwords or a picture, or is too large."""

    @classmethod
    def submitted(cls, scope: HTTPScope, body: bytes) -> "_Form":
        headers: dict[bytes, Any] = dict(scope["headers"])
        is_plain = headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded")
        is_small = len(body) <= SMALL_BODY_BYTES and body.count(b"&") < MAX_FIELDS
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        address = local_address(path + (f"?{query}" if query else ""), otherwise="")
        if not (is_plain and is_small and address) or scope["path"].startswith(_WITH_PASSWORDS):
            return cls()
        return cls(address, tuple(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))


class RejectionResponses:
    """Sends the responses to rejected requests, without calling a service.

    Args:
        for_pages, for_api: the security headers of pages and of the API.
    """

    def __init__(
        self, templates: Environment, for_pages: Mapping[str, str], for_api: Mapping[str, str]
    ) -> None:
        self._page = templates.get_template("errors/rejected.html")
        self._alert = templates.get_template("errors/_rejected.html")
        self._plain_pages: dict[tuple[int, str], bytes] = {}
        for code in LANGUAGES:
            with using(Locale(code)):
                for status in _MESSAGES:
                    self._plain_pages[status, code] = self._render_page(status, None)
        self._for_pages, self._for_api = for_pages, for_api

    async def send(
        self, status: int, scope: HTTPScope, body: bytes, send: Send, retry_after: int | None = None
    ) -> None:
        content, headers = self._content(status, scope, body)
        if status == 503:
            retry_after = secrets.choice(range(MIN_RETRY_AFTER, MAX_RETRY_AFTER + 1))
        else:
            headers["connection"] = "close"  # the rest of the body is not read
        if retry_after is not None:
            headers["retry-after"] = str(retry_after)
        headers |= self._for_api if is_api(scope["path"]) else self._for_pages
        headers |= {"cache-control": "no-store", "content-length": str(len(content))}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        shown = b"" if scope["method"] == "HEAD" else content
        await send({"type": "http.response.body", "body": shown, "more_body": False})

    def _content(self, status: int, scope: HTTPScope, body: bytes) -> tuple[bytes, dict[str, str]]:
        if is_api(scope["path"]) or scope["path"] == "/live":
            return _PROBLEMS[status].to_json().encode(), {"content-type": PROBLEM_JSON}
        html = {"content-type": "text/html; charset=utf-8"}
        if WebRequest(scope).wants_fragment:
            alert = self._alert.render(message=_MESSAGES[status], is_busy=status == 503)
            return alert.encode(), html | {"hx-retarget": "#notice", "hx-reswap": "innerHTML"}
        if scope["method"] != "POST":
            return self._plain_pages[status, language()], html
        return self._render_page(status, _Form.submitted(scope, body)), html

    def _render_page(self, status: int, form: _Form | None) -> bytes:
        page = self._page.render(status=status, message=_MESSAGES[status], is_busy=status == 503, form=form)
        return page.encode()
