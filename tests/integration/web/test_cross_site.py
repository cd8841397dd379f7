"""A request that another site makes a browser send changes nothing."""

from pathlib import Path

import pytest

from tests.integration.web.page_client import PageClient, is_page, page_client, text_of
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from web.app import web_app

SITE = "http://stagedoor.test"
REFUSED = "The request came from another site"


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
    response = await seller.http.post("/sell", data={"title": "Nick Cave", "price": "20"}, headers=headers)
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
    assert market.seen == []


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
