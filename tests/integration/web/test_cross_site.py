"""A request that another site makes a browser send changes nothing."""

import re
from pathlib import Path
from typing import cast

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp

from kit.client_address import CLIENT
from kit.http.cross_site import SAFE_METHODS
from kit.session_use import REPORT_PATH
from tests.integration.web.page_client import EVENT, PageClient, is_page, page_client, text_of
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from web.admission.middleware import AdmissionControl
from web.app import web_app
from web.page_cache.middleware import PageCache

SITE = "http://stagedoor.test"
REFUSED = "The request came from another site"
FORGED = f"9.9.9.9 {'0' * 64}"
"""A client's address that web seems to vouch for."""


@pytest.fixture
def seller(client: PageClient, market: Market) -> PageClient:
    """A signed-in user whose requests say nothing about where they come from."""
    _, token = market.user("seller@example.com")
    client.sign_in_as(token)
    del client.http.headers["Sec-Fetch-Site"]
    return client


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": SITE},
        {"Origin": "http://localhost:3500"},  # the default of WEB_URL
    ],
    ids=["same origin", "the user alone", "old browser", "address of the site"],
)
async def test_a_form_of_this_site_is_accepted(
    seller: PageClient, market: Market, headers: dict[str, str]
) -> None:
    listing = {"title": "Nick Cave", "price": "20", **EVENT}
    response = await seller.http.post("/sell", data=listing, headers=headers)
    assert response.status_code == 303
    assert len(market.tickets) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # a sibling subdomain
        {"Sec-Fetch-Site": "cross-site", "Origin": SITE},
        {"Origin": "http://evil.test"},
        {"Origin": "http://evil.stagedoor.test"},
        {"Origin": "http://stagedoor.test.evil.test"},
        {"Origin": "http://stagedoor.test:8080"},
        {"Origin": "null"},
        {"Origin": ""},
        {},
    ],
    ids=str,
)
async def test_a_form_of_another_site_is_refused(
    seller: PageClient, market: Market, headers: dict[str, str]
) -> None:
    for path in ("/sell", "/signin", "/signout", "/orders/" + "0" * 24 + "/pay"):
        response = await seller.http.post(path, data={"title": "Nick Cave", "price": "20"}, headers=headers)
        assert response.status_code == 403
        assert REFUSED in text_of(response)
    assert market.tickets == {}


async def test_without_both_headers_a_form_is_accepted_only_without_cookies(
    seller: PageClient, market: Market
) -> None:
    seller.http.cookies.clear()
    response = await seller.http.post("/signin", data={"email": "seller@example.com", "password": "wrong"})
    assert response.status_code == 422


async def test_an_api_request_without_both_headers_is_accepted(seller: PageClient, market: Market) -> None:
    body, headers = {"title": "Nick Cave", "price": 20}, {"Idempotency-Key": "k"}
    response = await seller.http.post("/api/tickets", json=body, headers=headers)
    assert response.status_code == 201


async def test_an_api_request_of_another_site_is_refused_with_a_problem(
    seller: PageClient, market: Market
) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        response = await seller.http.request(method, "/api/tickets", headers={"Origin": "http://evil.test"})
        assert response.status_code == 403
        assert response.json()["title"] == REFUSED
    assert {request.path for request in market.seen} <= {REPORT_PATH}


def writing_routes(app: ASGIApp) -> list[tuple[str, str]]:
    """Each method of a page that may change something, with its path."""
    litestar = cast("AdmissionControl", cast("PageCache", app).app)._app
    return [
        (method, re.sub(r"\{[^}]*\}", "0" * 24, route.path))
        for route in cast("Litestar", litestar).routes
        if isinstance(route, HTTPRoute)
        for method in route.methods
        if method not in SAFE_METHODS
    ]


async def test_every_page_that_changes_something_refuses_other_sites(
    seller: PageClient, market: Market, shared_app: ASGIApp
) -> None:
    routes = writing_routes(shared_app)
    assert {path for _, path in routes} > {"/sell", "/signout", "/account/signout", "/signin", "/signup"}
    for method, path in routes:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "http://evil.test"},
            {"Origin": "null"},
            {"Origin": "http://evil.test", CLIENT: FORGED},
            {},
        ):
            response = await seller.http.request(method, path, headers=headers)
            assert response.status_code == 403, (method, path, headers)
    assert {request.path for request in market.seen} <= {REPORT_PATH}


@pytest.mark.parametrize(
    "media_type",
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain; x", " Text/PLAIN ;x"],
)
async def test_what_a_form_can_send_to_the_api_needs_one_of_both_headers(
    seller: PageClient, market: Market, media_type: str
) -> None:
    """Such as a POST without a body, which another site's form can send without a preflight request."""
    for path in ("/api/users/signout-everywhere", "/api/users/signout", f"/api/orders/{'0' * 24}/extend"):
        response = await seller.http.post(path, headers={"Content-Type": media_type})
        assert response.status_code == 403
        assert response.json()["type"] == "/problems/cross-site"
    assert {request.path for request in market.seen} <= {REPORT_PATH}


async def test_a_program_may_send_a_cookie_and_no_body(seller: PageClient, market: Market) -> None:
    for headers in ({}, {"Content-Type": "application/json"}):
        response = await seller.http.post("/api/users/signout", headers=headers)
        assert response.status_code == 200


async def test_a_page_may_be_opened_from_another_site(seller: PageClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.test"}
    assert (await seller.http.get("/", headers=headers)).status_code == 200
    assert (await seller.http.head("/api/tickets", headers=headers)).status_code == 200


async def test_htmx_gets_an_alert_when_a_request_of_another_site_is_refused(seller: PageClient) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "partial", "Origin": "http://evil.test"}
    response = await seller.http.post("/sell", data={}, headers=headers)
    assert response.headers["hx-retarget"] == "#notice"
    assert not is_page(response)


async def test_pages_set_no_cookies(client: PageClient) -> None:
    for path in ("/", "/signin", "/developers"):
        assert "set-cookie" not in (await client.get(path)).headers


@pytest.mark.parametrize(("scheme", "is_accepted"), [("http", False), ("https", True)])
async def test_behind_tls_a_form_of_the_site_without_tls_is_refused(
    scheme: str, is_accepted: bool, services: Services, market: Market, tmp_path: Path
) -> None:
    settings = services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9", cookie_secure=True)
    app = web_app(settings)
    async with alive(app), page_client(app) as client:
        del client.http.headers["Sec-Fetch-Site"]
        headers = {"Origin": f"{scheme}://stagedoor.test"}
        response = await client.http.post("/signin", data={"email": "", "password": ""}, headers=headers)
    assert (response.status_code == 422) is is_accepted
    assert (response.status_code == 403) is not is_accepted
