"""Redirects to pages of this site, but never to another site."""

from typing import Any
from urllib.parse import quote

from litestar import Response
from litestar.plugins.htmx import ClientRedirect
from litestar.response import Redirect
from litestar.utils import url_quote

from web.request import WebRequest

MAX_LENGTH = 1000
"""The most characters of an address that comes from a request."""


def redirect(request: WebRequest, address: str) -> Response[Any]:
    """Redirect with 303, or with HX-Redirect for an htmx request, because htmx would follow a 303 itself."""
    if not request.htmx:
        return Redirect(address, status_code=303)
    response = ClientRedirect(url_quote(address))  # a header can't contain other characters
    response.status_code = 200  # instead of the handler's default, which is 201 for a POST
    response.content = b""  # instead of JSON's null
    return response


def local_address(value: str | None, otherwise: str = "/") -> str:
    """The value if it is a path of this site, with or without a query, else `otherwise`.

    Browsers resolve an address that begins with one slash against the origin of the page (WHATWG URL, section
    4.4), and one that begins with more slashes to another host. They treat a backslash as a slash, and remove
    tabs and line breaks first, so that addresses with such characters are refused. Python's parser follows
    other rules, and raises errors, so that it isn't used here.
    """
    if not value or not value.startswith("/") or len(value) > MAX_LENGTH or not value.isprintable():
        return otherwise
    return otherwise if value.startswith(("//", "/\\")) else value


def sign_in_address(then: str, *, again: bool = False) -> str:
    """The address of the sign-in page that leads to `then` after signing in.

    Args:
        again: also ask somebody who is signed in.
    """
    return f"/signin?next={quote(local_address(then), safe='/')}{'&again' if again else ''}"
