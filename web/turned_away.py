"""What is said to who can't be served now: as a problem, as a part of a page, or as a page."""

import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from jinja2 import Environment
from litestar import Request
from litestar.types import HTTPScope, Send

from contracts.problems import PROBLEM_JSON, Problem
from web.bodies import SMALL
from web.page import is_partial, local_address

SOONEST, LATEST = 2, 5
"""Seconds after which to come again; not the same ones for all, who would meet again then."""

_PROBLEMS = {
    400: Problem.of(400, "The request broke off", code="broke-off"),
    408: Problem.of(408, "The body took too long to arrive", code="too-slow"),
    413: Problem.of(413, "The body is too large", code="too-large"),
    503: Problem.of(503, "More is asked than can be served right now", code="busy"),
}
_SECRET = "/sign", "/account"
"""Forms with passwords, which don't stand in a page that says to send them again."""
MOST_FIELDS = 50
"""Forms of ours have fewer. To give back many would be more work than what was turned away."""


@dataclass(frozen=True)
class Words:
    title: str
    text: str


_WORDS = {
    400: Words("That didn't reach us whole", "Nothing was changed. Your connection may have broken off."),
    408: Words(
        "That took too long to reach us", "Nothing was changed. Your connection may be slow right now."
    ),
    413: Words("That is too much at once", "Nothing was changed. Send less text, or a smaller picture."),
    503: Words("It is crowded right now", "More people are here than we can look after at once."),
}


class Answers:
    def __init__(self, templates: Environment) -> None:
        self._page = templates.get_template("errors/turned_away.html")
        self._alert = templates.get_template("errors/_turned_away.html")
        self._plain = {status: self._html(status, None).encode() for status in _WORDS}

    async def send(self, status: int, scope: HTTPScope, body: bytes, send: Send) -> None:
        content, headers = self._content(status, scope, body)
        if status == 503:
            headers["retry-after"] = str(secrets.choice(range(SOONEST, LATEST + 1)))
        else:
            headers["connection"] = "close"  # the rest of what was sent isn't read
        headers |= {"cache-control": "no-store", "content-length": str(len(content))}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": content, "more_body": False})

    def _content(self, status: int, scope: HTTPScope, body: bytes) -> tuple[bytes, dict[str, str]]:
        if scope["path"].startswith("/api/") or scope["path"] == "/live":
            return _PROBLEMS[status].to_json().encode(), {"content-type": PROBLEM_JSON}
        html = {"content-type": "text/html; charset=utf-8"}
        if is_partial(Request(scope)):
            alert = self._alert.render(words=_WORDS[status], is_busy=status == 503)
            return alert.encode(), html | {"hx-retarget": "#notice", "hx-reswap": "innerHTML"}
        if scope["method"] != "POST":
            return self._plain[status], html
        return self._html(status, _Form.sent(scope, body)).encode(), html

    def _html(self, status: int, form: "_Form | None") -> str:
        return self._page.render(status=status, words=_WORDS[status], is_busy=status == 503, form=form)


@dataclass(frozen=True)
class _Form:
    """A form that was sent: who sent it can send it again as it was."""

    address: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    """None of them, where they are secret, many or large, or a picture is among them."""

    @classmethod
    def sent(cls, scope: HTTPScope, body: bytes) -> "_Form":
        headers: dict[bytes, Any] = dict(scope["headers"])
        is_plain = headers.get(b"content-type", b"").startswith(b"application/x-www-form-urlencoded")
        is_small = len(body) <= SMALL and body.count(b"&") < MOST_FIELDS
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].partition(b"?")[0].decode("latin-1")
        address = local_address(path + (f"?{query}" if query else ""), otherwise="")
        if not (is_plain and is_small and address) or scope["path"].startswith(_SECRET):
            return cls()
        return cls(address, tuple(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)))
