"""Every response of the web tier has the security headers that docs/security.md reports."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import httpx
import pytest
import pytest_asyncio
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp

from contracts.identity import SESSION_COOKIE
from settings import Settings
from tests.support.asgi import ADDRESS, alive, client_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from web.admission.middleware import AdmissionControl
from web.app import web_app
from web.page_cache.middleware import PageCache
from web.rendering.assets import ASSETS
from web.security import HTTP_API

DOCS = Path(__file__).parents[3] / "docs"
API = re.findall(r"^### GET (/api/[^\s,?]+)", (DOCS / "api.md").read_text("utf-8"), re.MULTILINE)
"""The paths of the API with GET."""

REPORT = (DOCS / "security.md").read_text("utf-8")
REPORT = REPORT.partition("\n## Security headers\n")[2].partition("\n## ")[0]

ASSET = ASSETS["app.css"].address
OUTDATED = re.sub(r"\.[0-9a-f]{12}\.", ".000000000000.", ASSET)
LIVE = "/live"
FORM = {"Sec-Fetch-Site": "same-origin"}


class Case(NamedTuple):
    """A request of the report."""

    name: str
    method: str
    path: str
    headers: dict[str, str]


class Seen(NamedTuple):
    """The responses to a request of a guest and of a signed-in user."""

    case: Case
    guest: httpx.Response
    member: httpx.Response


@pytest.fixture
def secure_settings(shared_services: Services, tmp_path: Path) -> Settings:
    return shared_services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9", cookie_secure=True)


@pytest_asyncio.fixture(loop_scope="session")
async def app(secure_settings: Settings, services: Services, market: Market) -> AsyncIterator[ASGIApp]:
    market.position = 10
    app = cast("PageCache", web_app(secure_settings))
    async with alive(app):
        app.pages.confirm(10)
        yield app


@pytest_asyncio.fixture(loop_scope="session")
async def seen(app: PageCache, market: Market) -> list[Seen]:
    ann, token = market.user("ann@example.com")
    seller, _ = market.user("seller@example.com")
    order = market.order(ann, market.ticket(seller))
    ids = {
        "ticket_id": market.ticket(ann).id,
        "order_id": order.id,
        "show_id": market.show().id,
        "user": seller.id,
    }
    cookies = {"Cookie": f"__Host-{SESSION_COOKIE}={token}; {SESSION_COOKIE}={token}"}
    found = []
    async with client_of(app) as http:
        for case in cases(app, ids):
            guest = await answer(app, http, case, case.headers)
            member = await answer(app, http, case, {**cookies, **case.headers})
            found.append(Seen(case, guest, member))
    return found


async def answer(
    app: ASGIApp, http: httpx.AsyncClient, case: Case, headers: dict[str, str]
) -> httpx.Response:
    if case.path.startswith(LIVE):
        return await start_of_stream(app, http.build_request("GET", case.path, headers=headers))
    response = await http.request(case.method, case.path, headers=headers)
    http.cookies.clear()
    return response


async def start_of_stream(app: ASGIApp, request: httpx.Request) -> httpx.Response:
    """The response to a request whose body never ends, without its body: the client leaves."""
    scope: Any = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "client": (ADDRESS, 40000),
        "state": {},
        "path": request.url.path,
        "raw_path": request.url.raw_path,
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
    }
    started = asyncio.Event()
    starts: list[Any] = []
    bodies: list[Any] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if bodies:
            return bodies.pop()
        await started.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            starts.append(message)
            started.set()

    await app(scope, receive, send)
    return httpx.Response(starts[0]["status"], headers=starts[0]["headers"])


LISTS = ("/api/payments", "/api/orders/sales")
"""Lists of what belongs to given orders."""


def cases(app: PageCache, ids: dict[str, str]) -> Iterator[Case]:
    """All routes with GET, and examples of other responses."""
    values = {
        **ids,
        "name": ASSET.removeprefix("/static/"),
        "address": "nowhere",
        "passkey_id": "65f0c0ffee00000000000000",
        "subject": "order.created",
        "document": "openapi.yaml",
        "service": "auth",
        "file": "settings.json",
    }
    inside = cast("AdmissionControl", app.app)._app
    for route in cast("Litestar", inside).routes:
        if isinstance(route, HTTPRoute) and "GET" in route.methods:
            name = re.sub(r"{(\w+):\w+}", r"{\1}", route.path)
            path = name.format_map(values).replace("//", "/")
            query = f"?ticket={ids['ticket_id']}" if name == LIVE else ""
            yield Case(f"GET {name}", "GET", path + query, {})
    for path in API:
        example = path.replace("orders/:id", f"orders/{ids['order_id']}")
        example = example.replace("tickets/:id", f"tickets/{ids['ticket_id']}")
        example = example.replace("shows/:id", f"shows/{ids['show_id']}")
        example = re.sub(":(id|userId)", ids["user"], example).replace(":picture", "0" * 64)
        example = example.replace(":file", "0" * 32)
        query = f"?orderId={ids['order_id']}" if path in LISTS else ""
        yield Case(f"GET {path}", "GET", example + query, {})
    yield Case("GET /cards", "GET", f"/cards?id={ids['ticket_id']}", {})
    yield Case("GET /static/{name}, another version", "GET", OUTDATED, {})
    yield Case("POST /signin, wrong", "POST", "/signin", FORM)
    yield Case("POST /signout", "POST", "/signout", FORM)
    yield Case("POST /signout from another site", "POST", "/signout", {"Sec-Fetch-Site": "cross-site"})
    yield Case("POST /api/orders from another site", "POST", "/api/orders", {"Sec-Fetch-Site": "cross-site"})
    yield Case("PUT /signin, not allowed", "PUT", "/signin", FORM)
    yield Case("GET /api/nothing, not found", "GET", "/api/nothing", {})


def line(each: Seen) -> str:
    def cell(response: httpx.Response) -> str:
        return f"{response.status_code} `{response.headers.get('cache-control', '–')}`"  # noqa: RUF001 - as typed

    return f"| `{each.case.name}` | {cell(each.guest)} | {cell(each.member)} |"


def kinds() -> dict[str, tuple[str, str]]:
    """The values of each security header on pages and in the API, as reported."""
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (.+?) \|$", REPORT, re.MULTILINE)
    return {name.lower(): (page.strip("`"), api.strip("`")) for name, page, api in rows}


async def test_the_report_of_headers_is_that_of_the_document(seen: list[Seen]) -> None:
    lines = sorted(line(each) for each in seen)
    written = re.findall(r"^\| `[A-Z]+ /.*$", REPORT, re.MULTILINE)
    assert written == lines, "the report is now:\n" + "\n".join(lines)


async def test_every_response_has_the_security_headers(seen: list[Seen]) -> None:
    assert len(kinds()) > 5
    wrong = []
    for each in seen:
        is_api = each.case.path.startswith("/api/")
        for response in (each.guest, each.member):
            for name, values in kinds().items():
                if each.case.path == HTTP_API and name == "content-security-policy":
                    continue
                if response.headers.get(name, "–") != values[is_api]:  # noqa: RUF001 - as typed
                    wrong.append(f"{each.case.name}: {name}: {response.headers.get(name)}")
            assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
    assert wrong == []


async def test_no_response_grants_access_to_another_origin(app: ASGIApp, seen: list[Seen]) -> None:
    async with client_of(app) as http:
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
        asked = await http.options("/api/tickets", headers=preflight)
    for response in (asked, *(response for each in seen for response in each[1:])):
        assert not any(name.startswith("access-control") for name in response.headers)


async def test_every_response_with_a_body_has_a_content_type(seen: list[Seen]) -> None:
    for each in seen:
        for response in (each.guest, each.member):
            content_type = response.headers.get("content-type", "")
            assert content_type or not response.content, each.case.name
            assert not content_type.startswith("text/") or "charset=utf-8" in content_type, each.case.name


async def test_trace_is_not_supported(app: ASGIApp) -> None:
    async with client_of(app) as http:
        for path in ("/", "/signin", "/live", "/api/tickets", "/health/live"):
            traced = await http.request("TRACE", path, headers={"Secret": "swordfish", **FORM})
            assert traced.status_code in {404, 405}
            assert "swordfish" not in traced.text
