"""Passes requests to `/api/*` on to the service that owns the path. Bodies are passed on unchanged."""

import io
import logging
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import aiohttp
from litestar import Request, Response, asgi
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send
from multidict import CIMultiDict
from yarl import URL

from contracts.api import POSITION, VALID_UNTIL
from contracts.problems import Problem
from kit.client_address import CLIENT
from kit.http.problems import TITLES, problem_response
from kit.http.tracing import name_request
from kit.tracing import traceparent
from settings import ServiceName, Settings
from web import upstream
from web.api_client import Freshness
from web.live.changes import Topic
from web.page_cache.renderings import CATALOGUE, MAX_SHARED_SECONDS, SHARING, Sharing
from web.public_api import public_route

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 12_000_000

_PUBLIC = re.compile(
    r"/api/tickets(?:/facets|/[0-9a-f]{24}/similar|/sellers/(?P<seller>[0-9a-f]{24})|/(?P<ticket>[0-9a-f]{24}))?",
    re.ASCII,
)

# The hop-by-hop headers of RFC 9110, section 7.6.1, and the headers that this proxy replaces.
_NOT_PASSED_ON = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    "transfer-encoding upgrade host content-length x-forwarded-for traceparent expect".split()
) | {POSITION.lower(), VALID_UNTIL.lower(), CLIENT.lower()}
# Headers that aiohttp would otherwise add to a request without them.
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

Headers = Iterable[tuple[bytes, bytes]]


class _Failed(Exception):
    def __init__(self, problem: Problem, retry_after: int | None = None, allow: str | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after
        self.allow = allow
        super().__init__(problem.title)


def _problem(_: Request[Any, Any, Any], failure: _Failed) -> Response[bytes]:
    response = problem_response(failure.problem, retry_after=failure.retry_after)
    if failure.allow is not None:
        response.headers["Allow"] = failure.allow
    return response


@asgi(
    "/api",
    is_mount=True,
    copy_scope=True,
    exception_handlers={_Failed: _problem},
)
async def api(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass a request on, only once: the service may have handled a request whose connection broke."""
    if scope["type"] != ScopeType.HTTP:
        return
    state = scope["litestar_app"].state
    await _pass_on(scope, receive, send, state.http, state.settings)


async def _pass_on(
    scope: HTTPScope, receive: Receive, send: Send, http: upstream.Upstream, settings: Settings
) -> None:
    service, target = _target(scope, settings)
    body = await _read(receive)
    try:
        async with http.request(
            scope["method"],
            target,
            data=io.BytesIO(body) if body else None,
            headers=_request_headers(scope),
            skip_auto_headers=_NOT_ADDED,
            allow_redirects=False,
            auto_decompress=False,
            timeout=upstream.timeout(service, scope["method"]),
        ) as answer:
            content = await _content(answer, service)
            length = answer.headers.get("Content-Length") if scope["method"] == "HEAD" else str(len(content))
            headers = _end_to_end(answer.raw_headers)
            if service == "tickets" and scope["method"] == "GET":
                _share(scope, target.raw_path, answer.headers)
    except aiohttp.ClientConnectorError as error:
        log.warning("The %s service can't be reached: %s", service, error)
        problem = Problem.of(503, f"The {service} service is unavailable", code="service-down")
        raise _Failed(problem, retry_after=2) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("The %s service gave no valid response: %r", service, error)
        raise _Failed(_bad_gateway(service)) from error
    await _send(send, answer.status, headers, content, length)


def _share(scope: HTTPScope, path: str, headers: Mapping[str, str]) -> None:
    """Declare that a public response about tickets or a seller is the same for everyone."""
    freshness = Freshness()
    freshness.add(headers)
    public = _PUBLIC.fullmatch(path)
    if freshness.position is None or public is None:
        return
    topic: Topic = CATALOGUE
    differs_for: frozenset[str] | None = frozenset()
    if seller := public["seller"]:
        topic = ("seller", seller)
    elif ticket := public["ticket"]:
        topic, differs_for = ("ticket", ticket), None  # only the buyer and the seller see the order
    seconds = freshness.seconds(MAX_SHARED_SECONDS)
    scope["state"][SHARING] = Sharing(frozenset({topic}), freshness.position, seconds, differs_for)


def _target(scope: HTTPScope, settings: Settings) -> tuple[ServiceName, URL]:
    """The service that owns the public route, and the address there.

    Raises:
        _Failed: there is no such route, or it doesn't have the method.
    """
    route = public_route(scope["raw_path"].partition(b"?")[0])
    if route is None:
        raise _Failed(Problem.of(404, TITLES[404]))
    name_request(scope["method"], route.template)
    if scope["method"] not in route.methods:
        raise _Failed(Problem.of(405, TITLES[405]), allow=route.allow)
    query = scope["query_string"].decode("latin-1")
    address = settings.url_of(route.service) + route.path + (f"?{query}" if query else "")
    return route.service, URL(address, encoded=True)


async def _read(receive: Receive) -> bytes:
    """The body, whose size admission control has limited."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Failed(Problem.of(400, "The request was aborted"))
        body += message.get("body", b"")  # type: ignore[arg-type] # of http.request only
        more = bool(message.get("more_body"))
    return bytes(body)


def _request_headers(scope: HTTPScope) -> CIMultiDict[str]:
    given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    dropped = _NOT_PASSED_ON | _named_in_connection(scope["headers"])
    headers = CIMultiDict((name, value) for name, value in given if name.lower() not in dropped)
    state = scope["litestar_app"].state
    headers[CLIENT] = state.vouching.sign(state.addresses.of(scope))
    headers["traceparent"] = traceparent()
    return headers


def _end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    headers = list(headers)
    dropped = _NOT_PASSED_ON | _named_in_connection(headers)
    return [(name.lower(), value) for name, value in headers if name.decode("latin-1").lower() not in dropped]


def _named_in_connection(headers: Headers) -> set[str]:
    named = (value for name, value in headers if name.lower() == b"connection")
    return {token.strip().lower() for value in named for token in value.decode("latin-1").split(",")}


async def _content(answer: aiohttp.ClientResponse, service: ServiceName) -> bytes:
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            log.warning("The response of the %s service has more than %s bytes", service, MAX_ANSWER_BYTES)
            raise _Failed(_bad_gateway(service))
    return bytes(content)


def _bad_gateway(service: ServiceName) -> Problem:
    return Problem.of(502, f"The {service} service gave no valid response", code="bad-gateway")


async def _send(
    send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes, length: str | None
) -> None:
    if length is not None and status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        headers = [*headers, (b"content-length", length.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})
