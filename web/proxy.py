"""`/api/*` on the web tier's own port: passed to the service that owns the path, byte for byte."""

import io
import logging
import re
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import unquote

import aiohttp
from litestar import asgi
from litestar.enums import ScopeType
from litestar.types import HTTPScope, Receive, Scope, Send
from multidict import CIMultiDict
from yarl import URL

from contracts.problems import PROBLEM_JSON, Problem
from settings import ServiceName, Settings
from web.services import PAYMENT_TIMEOUT, TIMEOUT, child_of, trace_of

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 1_000_000
MAX_PICTURE_BYTES = 5 * 1024 * 1024
MAX_ANSWER_BYTES = 10_000_000
OWNERS: dict[str, ServiceName] = {
    "users": "auth",
    "tickets": "tickets",
    "orders": "orders",
    "payments": "payments",
}

_PICTURE = re.compile(r"/api/tickets/[0-9a-fA-F]{24}/picture", re.ASCII)

# RFC 9110 section 7.6.1, and what is written anew for the next hop.
_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    "transfer-encoding upgrade host content-length x-forwarded-for traceparent expect".split()
)
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")

Headers = Iterable[tuple[bytes, bytes]]


class _Failed(Exception):
    def __init__(self, problem: Problem, retry_after: int | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after


@asgi("/api", is_mount=True, copy_scope=True, opt={"exclude_from_csrf": True})
async def api(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing is retried: what a service did before it broke off isn't known here."""
    if scope["type"] != ScopeType.HTTP:
        return
    state = scope["litestar_app"].state
    try:
        await _pass_on(scope, receive, send, state.http, state.settings)
    except _Failed as failure:
        await _answer_problem(send, failure.problem, failure.retry_after)


async def _pass_on(
    scope: HTTPScope, receive: Receive, send: Send, http: aiohttp.ClientSession, settings: Settings
) -> None:
    service, target = _target(scope, settings)
    is_picture = scope["method"] == "PUT" and _PICTURE.fullmatch(target.raw_path) is not None
    body = await _read(scope["headers"], receive, MAX_PICTURE_BYTES if is_picture else MAX_REQUEST_BYTES)
    payment = service == "payments" and scope["method"] == "POST"
    waits = PAYMENT_TIMEOUT if payment else TIMEOUT
    try:
        async with http.request(
            scope["method"],
            target,
            data=io.BytesIO(body) if body else None,
            headers=_request_headers(scope),
            skip_auto_headers=_NOT_ADDED,
            allow_redirects=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=waits, connect=3),
        ) as answer:
            content = await _content(answer, service)
            headers = _end_to_end(answer.raw_headers)
    except aiohttp.ClientConnectorError as error:
        log.warning("%s can't be reached: %s", service, error)
        problem = Problem.of(503, f"The {service} service is unavailable", code="service-down")
        raise _Failed(problem, retry_after=2) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        log.warning("%s gave no proper answer: %r", service, error)
        raise _Failed(_bad_gateway(service)) from error
    await _send(send, answer.status, headers, content)


def _target(scope: HTTPScope, settings: Settings) -> tuple[ServiceName, URL]:
    """The path goes on as it was written, not as it was decoded."""
    path = scope["raw_path"].partition(b"?")[0].decode("latin-1")
    owner = OWNERS.get(path.removeprefix("/api/").partition("/")[0]) if path.startswith("/api/") else None
    if owner is None or ".." in path.split("/") or _is_for_operators(path):
        raise _Failed(Problem.of(404, "Not found", code="not-found"))
    query = scope["query_string"].decode("latin-1")
    return owner, URL(settings.url_of(owner) + path + (f"?{query}" if query else ""), encoded=True)


def _is_for_operators(path: str) -> bool:
    """They ask the service itself. However the path is written: services decode it, and drop empty parts."""
    return [unquote(part) for part in path.split("/") if part][:3] == ["api", "payments", "refunds"]


async def _read(headers: Headers, receive: Receive, limit: int) -> bytes:
    declared = next((value for name, value in headers if name == b"content-length"), b"0")
    too_large = _Failed(Problem.of(413, "The body is too large", code="too-large"))
    if not declared.isdigit() or int(declared) > limit:
        raise too_large
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Failed(Problem.of(400, "The request broke off"))
        body += message.get("body", b"")  # type: ignore[arg-type] # of http.request only
        more = bool(message.get("more_body"))
        if len(body) > limit:
            raise too_large
    return bytes(body)


def _request_headers(scope: HTTPScope) -> CIMultiDict[str]:
    given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    dropped = _HOP_BY_HOP | _named_in_connection(scope["headers"])
    headers = CIMultiDict((name, value) for name, value in given if name.lower() not in dropped)
    came_through = [value for name, value in given if name.lower() == "x-forwarded-for"]
    peer = scope["client"][0] if scope["client"] else "unknown"
    headers["X-Forwarded-For"] = ", ".join([*came_through, peer])
    traceparent = next((value for name, value in given if name.lower() == "traceparent"), None)
    headers["traceparent"] = child_of(trace_of(traceparent))
    return headers


def _end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    headers = list(headers)
    dropped = _HOP_BY_HOP | _named_in_connection(headers)
    return [(name.lower(), value) for name, value in headers if name.decode("latin-1").lower() not in dropped]


def _named_in_connection(headers: Headers) -> set[str]:
    named = (value for name, value in headers if name.lower() == b"connection")
    return {token.strip().lower() for value in named for token in value.decode("latin-1").split(",")}


async def _content(answer: aiohttp.ClientResponse, service: ServiceName) -> bytes:
    content = bytearray()
    async for chunk in answer.content.iter_any():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            log.warning("%s answered with more than %s bytes", service, MAX_ANSWER_BYTES)
            raise _Failed(_bad_gateway(service))
    return bytes(content)


def _bad_gateway(service: ServiceName) -> Problem:
    return Problem.of(502, f"The {service} service gave no proper answer", code="bad-gateway")


async def _answer_problem(send: Send, problem: Problem, retry_after: int | None) -> None:
    headers = [(b"content-type", PROBLEM_JSON.encode())]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await _send(send, problem.status, headers, problem.to_json().encode())


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    if status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        headers = [*headers, (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})
