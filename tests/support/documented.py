"""Looking into OpenAPI and AsyncAPI documents, and checking that responses have statuses that they list."""

import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any

import httpx

from sandbox.openapi import openapi_of
from settings import ServiceName

ANYWHERE = {405, 414, 431, 500}
"""Statuses that no operation lists, because they concern HTTP, or because they are errors of ours."""

MALFORMED = "The address is malformed"
"""The title of a 400 that no operation lists either."""


def parts(document: Any) -> Iterator[dict[str, Any]]:
    """All objects in a document."""
    if isinstance(document, dict):
        yield document
    for part in document.values() if isinstance(document, dict) else document:
        if isinstance(part, dict | list):
            yield from parts(part)


Check = Callable[[httpx.Response], Awaitable[None]]


def documented(name: ServiceName) -> Check:
    """A response hook for httpx that fails if the service's document doesn't list the status."""
    operations = _operations(name)

    async def check(response: httpx.Response) -> None:
        status, request = response.status_code, response.request
        path = request.url.raw_path.decode("latin-1").partition("?")[0]
        method = "get" if request.method == "HEAD" else request.method.lower()
        item = next((item for pattern, item in operations if pattern.fullmatch(path)), None)
        if item is None or method not in item or status in ANYWHERE:
            return
        if status == 400 and MALFORMED in (await response.aread()).decode("utf-8", "replace"):
            return
        assert str(status) in item[method]["responses"], (
            f"{request.method} {path} answered {status}, but {item[method]['operationId']} lists only "
            f"{', '.join(item[method]['responses'])}"
        )

    return check


@cache
def _operations(name: ServiceName) -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """The operations by a pattern of their path. Fixed paths come before those with parameters."""
    paths = openapi_of(import_module(f"streams.{name}").service)["paths"]
    ordered = sorted(paths, key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"{\w+}", "[^/]+", path)), paths[path]) for path in ordered]
