"""Redirects to pages of this site, but never to another site."""

from typing import Any
from urllib.parse import quote, urlsplit

from litestar import Response
from litestar.plugins.htmx import ClientRedirect
from litestar.response import Redirect

from web.request import WebRequest

MAX_LENGTH = 1000
"""The most characters of an address that comes from a request."""


def redirect(request: WebRequest, address: str) -> Response[Any]:
    """Redirect with 303, or with HX-Redirect for an htmx request, because htmx would follow a 303 itself."""
    if not request.htmx:
        return Redirect(address, status_code=303)
    response = ClientRedirect(address)
    response.status_code = 200  # instead of the handler's default, which is 201 for a POST
    response.content = b""  # instead of JSON's null
    return response


def local_address(value: str | None, otherwise: str = "/") -> str:
    """The value if it is an address on this site, else `otherwise`.

    Browsers interpret `//host` and `/\\host` as the address of another host, and ignore tabs and line breaks.
    """
    if not value or not value.startswith("/") or len(value) > MAX_LENGTH:
        return otherwise
    if not value.isprintable() or "\\" in value:
        return otherwise
    parts = urlsplit(value)
    return otherwise if parts.scheme or parts.netloc else value


def sign_in_address(then: str) -> str:
    """The address of the sign-in page that leads to `then` after signing in."""
    return f"/signin?next={quote(local_address(then), safe='/')}"
