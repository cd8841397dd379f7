"""Pages while a service is unavailable or responds with an error."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from litestar.types import ASGIApp

from settings import ServiceName
from tests.integration.web.page_client import PageClient, is_page, page_client, text_of
from tests.support.asgi import alive, client_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from tests.support.polling import TIMEOUT
from web.app import web_app
from web.live import hub


@pytest.mark.parametrize(
    ("path", "service", "message"),
    [
        ("/?q=cave&sort=price", "tickets", "Tickets are temporarily unavailable"),
        ("/listings", "tickets", "Tickets are temporarily unavailable"),
        ("/orders", "orders", "Orders are temporarily unavailable"),
    ],
)
async def test_a_page_names_the_unavailable_service_and_works_again_after_its_restart(
    client: PageClient, services: Services, market: Market, path: str, service: ServiceName, message: str
) -> None:
    _, token = market.user("ann@example.com")
    client.sign_in_as(token)
    await services.stop(service)
    page = await client.get(path)
    assert page.status_code == 503
    assert is_page(page)
    assert message in text_of(page)
    assert "ann@example.com" in text_of(page)
    assert f'href="{path.replace("&", "&amp;")}">Try again</a>' in page.text
    assert page.headers["retry-after"]
    await services.start(service)
    assert (await client.get(path)).status_code == 200


async def test_while_a_service_is_unavailable_an_htmx_request_is_answered_with_an_alert(
    client: PageClient, services: Services
) -> None:
    await services.stop("tickets")
    alert = await client.get("/", target="div#results")
    assert alert.status_code == 503
    assert alert.headers["hx-retarget"] == "#notice"
    assert not is_page(alert)


@pytest.mark.parametrize(
    "response",
    [
        web.Response(text="not json", content_type="application/json"),
        web.json_response([{"id": "x"}]),
        web.Response(status=502, text="<h1>Bad gateway</h1>"),
        web.Response(status=500, text="Traceback: secret"),
    ],
    ids=["not JSON", "unexpected fields", "HTML of a gateway", "text instead of a problem"],
)
async def test_an_invalid_response_of_a_service_is_never_shown(
    client: PageClient, services: Services, response: web.Response
) -> None:
    async def respond(_: web.Request) -> web.Response:
        return response

    await services.replace("tickets", [web.get("/api/tickets", respond)])
    page = await client.get("/")
    assert page.status_code == 503
    assert "Traceback" not in page.text
    assert "Bad gateway" not in page.text


async def test_the_error_page_shows_the_reference_from_the_service(
    client: PageClient, services: Services
) -> None:
    async def fail(_: web.Request) -> web.Response:
        body = '{"type": "about:blank", "title": "x", "status": 500, "errors": [], "reference": "abc123"}'
        return web.Response(status=500, text=body, content_type="application/problem+json")

    await services.replace("tickets", [web.get("/api/tickets", fail)])
    page = await client.get("/")
    assert page.status_code == 500
    assert "Reference: abc123" in text_of(page)


async def test_the_error_page_for_an_exception_in_web_shows_a_reference_and_no_details(
    client: PageClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("web.pages.browse._search", fail)
    trace = "0af7651916cd43dd8448eb211c80319c"
    page = await client.get("/", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    assert page.status_code == 500
    assert is_page(page)
    assert f"Reference: {trace}" in text_of(page)
    assert "secret" not in page.text


async def test_the_liveness_check_succeeds_without_any_service(
    client: PageClient, services: Services
) -> None:
    await services.stop_all()
    assert (await client.get("/health/live")).status_code == 200


async def test_the_readiness_check_fails_without_nats_and_reports_nats_as_missing(client: PageClient) -> None:
    response = await client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["missing"] == ["nats"]


async def test_metrics_are_hidden_from_clients_on_the_internet(shared_app: ASGIApp) -> None:
    for address, status in (("2600::1", 404), ("9.9.9.9", 404), ("10.0.0.9", 200), ("127.0.0.1", 200)):
        async with client_of(shared_app, address) as http:
            assert (await http.get("/metrics")).status_code == status, address


async def test_metrics_contain_routes_instead_of_ids(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller)
    await client.get(f"/tickets/{ticket.id}")
    metrics = (await client.get("/metrics")).text
    assert 'path="/tickets/{ticket_id}"' in metrics
    assert ticket.id not in metrics


async def test_a_form_that_is_too_large_is_answered_with_413(client: PageClient) -> None:
    response = await client.submit("/signin", email="x" * 200_000)
    assert response.status_code == 413
    assert is_page(response)


async def test_a_stream_above_the_limit_of_the_process_is_answered_with_503(
    client: PageClient, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 503, the browser retries with growing delays, and another web process may answer."""
    ticket = market.ticket(market.user("ann@example.com")[0])
    monkeypatch.setattr(hub, "MAX_WATCHERS", 0)
    async with asyncio.timeout(TIMEOUT):
        answer = await client.get(f"/live?ticket={ticket.id}")
    assert answer.status_code == 503
    assert answer.json()["title"] == "Live updates are unavailable for a moment"


async def test_a_stream_about_own_orders_is_refused_while_it_is_unknown_who_is_signed_in(
    services: Services, market: Market, tmp_path: Path
) -> None:
    """It would receive no signals about the orders, and would survive the end of the session."""
    buyer, token = market.user("buyer@example.com")
    order = market.order(buyer, market.ticket(market.user("seller@example.com")[0]))
    await services.stop("auth")
    app = web_app(services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9"))
    async with alive(app), page_client(app) as client:
        client.sign_in_as(token)
        for topics in (f"order={order.id}", "buyer=me"):
            refused = await client.get(f"/live?{topics}")
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
