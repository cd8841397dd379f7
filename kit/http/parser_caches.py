"""Keeps Litestar's caches of parsed inputs small, and free of what people typed.

Litestar keeps the last 1,024 query strings, cookie headers and forms as keys of caches. Clients could fill
the memory with them, and passwords would stay in it.
"""

from litestar._parsers import parse_cookie_string, parse_query_string, parse_url_encoded_form_data
from litestar.types import HTTPScope

MAX_KEPT = 2_000
"""The size in bytes from which a query string or cookie header is forgotten after its request."""

_READ_ONLY = ("GET", "HEAD", "OPTIONS")


def forget(scope: HTTPScope) -> None:
    """Clear each cache that may contain a form or a large input of this request."""
    if scope["method"] not in _READ_ONLY:
        parse_url_encoded_form_data.cache_clear()
    if len(scope["query_string"]) > MAX_KEPT:
        parse_query_string.cache_clear()
    if any(len(value) > MAX_KEPT for name, value in scope["headers"] if name == b"cookie"):
        parse_cookie_string.cache_clear()
