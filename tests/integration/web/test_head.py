"""HEAD is answered like GET, without the body (RFC 9110, section 9.3.2)."""

import asyncio

import pytest

from contracts.api import User
from tests.integration.web.asgi_client import ask
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market
from web.rendering.assets import ASSETS

VARIES = {"date", "retry-after"}


async def expect_same_headers(client: PageClient, path: str) -> None:
    get, head = await client.get(path), await client.http.head(path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert {name: value for name, value in head.headers.items() if name not in VARIES} == {
        name: value for name, value in get.headers.items() if name not in VARIES
    }


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/?q=cave", "/results", "/signin", "/signup", "/sell", "/orders", "/sales"),
        *("/developers", "/health/live", ASSETS["app.css"].address),
        *("/api/tickets", "/api/tickets/facets", "/api/users/currentuser", "/api/orders"),
    ],
)
async def test_head_has_the_headers_of_get_and_no_body(client: PageClient, path: str) -> None:
    await expect_same_headers(client, path)


@pytest.mark.parametrize(
    "path", ["/", "/signin", "/nowhere", "/health/live", ASSETS["app.css"].address, "/api/tickets"]
)
async def test_the_app_itself_sends_no_body_in_response_to_head(client: PageClient, path: str) -> None:
    """HTTP clients and servers would drop a body."""
    answers = [await ask(client.app, method, path) for method in ("GET", "HEAD")]
    assert [answer.body != b"" for answer in answers] == [True, False]


async def test_head_of_a_ticket_has_the_headers_of_get(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller, "Nick Cave")
    for path in (f"/tickets/{ticket.id}", f"/tickets/{ticket.id}/card", f"/cards?id={ticket.id}"):
        await expect_same_headers(client, path)


async def test_head_of_a_page_for_one_user_has_the_headers_of_get(client: PageClient, buyer: User) -> None:
    await expect_same_headers(client, "/orders")


async def test_head_of_the_metrics_has_no_body(client: PageClient) -> None:
    head = await client.http.head("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


async def test_head_of_the_live_stream_ends_at_once(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller, "Nick Cave")
    async with asyncio.timeout(30):
        head = await client.http.head(f"/live?ticket={ticket.id}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_head_of_the_live_stream_ends_although_the_browser_stays_connected(
    client: PageClient, market: Market
) -> None:
    ticket = market.ticket(market.user("seller@example.com")[0])
    async with asyncio.timeout(30):
        head = await ask(client.app, "HEAD", f"/live?ticket={ticket.id}", [b"", *[None] * 5])
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/signin", "GET, HEAD, OPTIONS, POST"),
        ("/signout", "OPTIONS, POST"),
        ("/health/live", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_lists_head_where_get_is_allowed(client: PageClient, path: str, allow: str) -> None:
    assert (await client.http.options(path)).headers["allow"] == allow


async def test_a_path_without_get_has_no_head(client: PageClient) -> None:
    answer = await client.http.head("/signout")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"OPTIONS", "POST"}
