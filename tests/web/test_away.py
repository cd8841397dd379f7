"""A service that is away: the page says so, and works again when it is back."""

import asyncio

import pytest
from aiohttp import web

from settings import ServiceName
from tests.people import PATIENCE
from tests.web.conftest import Browser, is_page, text_of
from tests.web.market import Market
from tests.web.served import Services
from web import hub


@pytest.mark.parametrize(
    ("path", "service", "said"),
    [
        ("/?q=cave&sort=price", "tickets", "The tickets are away"),
        ("/listings", "tickets", "The tickets are away"),
        ("/orders", "orders", "Orders are away"),
    ],
)
async def test_a_page_says_what_is_away_and_recovers(
    browser: Browser, services: Services, market: Market, path: str, service: ServiceName, said: str
) -> None:
    _, token = market.user("ann@example.com")
    browser.sign_in_as(token)
    await services.stop(service)
    page = await browser.get(path)
    assert page.status_code == 503
    assert is_page(page)
    assert said in text_of(page)
    assert "ann@example.com" in text_of(page)
    assert f'href="{path.replace("&", "&amp;")}">Try again</a>' in page.text
    assert page.headers["retry-after"]
    await services.start(service)
    assert (await browser.get(path)).status_code == 200


async def test_a_fragment_that_cant_be_had_leaves_the_page_as_it_is(
    browser: Browser, services: Services
) -> None:
    await services.stop("tickets")
    alert = await browser.get("/", target="div#results")
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
    ids=["no JSON", "another shape", "a gateway's page", "no problem"],
)
async def test_nonsense_from_a_service_is_never_shown(
    browser: Browser, services: Services, response: web.Response
) -> None:
    async def respond(_: web.Request) -> web.Response:
        return response

    await services.replace("tickets", [web.get("/api/tickets", respond)])
    page = await browser.get("/")
    assert page.status_code == 503
    assert "Traceback" not in page.text
    assert "Bad gateway" not in page.text


async def test_an_error_of_a_service_keeps_its_reference(browser: Browser, services: Services) -> None:
    async def fail(_: web.Request) -> web.Response:
        body = '{"type": "about:blank", "title": "x", "status": 500, "errors": [], "reference": "abc123"}'
        return web.Response(status=500, text=body, content_type="application/problem+json")

    await services.replace("tickets", [web.get("/api/tickets", fail)])
    page = await browser.get("/")
    assert page.status_code == 500
    assert "Reference: abc123" in text_of(page)


async def test_an_error_of_our_own_shows_a_reference_and_nothing_else(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("web.pages.browse._search", fail)
    trace = "0af7651916cd43dd8448eb211c80319c"
    page = await browser.get("/", traceparent=f"00-{trace}-b7ad6b7169203331-01")
    assert page.status_code == 500
    assert is_page(page)
    assert f"Reference: {trace}" in text_of(page)
    assert "secret" not in page.text


async def test_being_alive_needs_nobody_else(browser: Browser, services: Services) -> None:
    await services.stop_all()
    assert (await browser.get("/health/live")).status_code == 200


async def test_without_the_bus_the_process_isnt_ready_and_says_why(browser: Browser) -> None:
    response = await browser.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["missing"] == ["nats"]


async def test_metrics_name_the_route_and_not_the_ticket(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller)
    await browser.get(f"/tickets/{ticket.id}")
    metrics = (await browser.get("/metrics")).text
    assert 'path="/tickets/{ticket_id}"' in metrics
    assert ticket.id not in metrics


async def test_a_form_that_is_too_large_is_refused(browser: Browser) -> None:
    response = await browser.submit("/signin", email="x" * 200_000)
    assert response.status_code == 413
    assert is_page(response)


async def test_a_process_with_as_many_streams_as_it_can_have_refuses_more(
    browser: Browser, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its browsers come back later and later, and may reach another copy."""
    ticket = market.ticket(market.user("ann@example.com")[0])
    monkeypatch.setattr(hub, "MAX_WATCHERS", 0)
    async with asyncio.timeout(PATIENCE):
        answer = await browser.get(f"/live?ticket={ticket.id}")
    assert answer.status_code == 503
    assert answer.json()["title"] == "Live updates are unavailable for a moment"
