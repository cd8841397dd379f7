"""`/api/*` on the web tier's port is the services' API, byte for byte."""

import asyncio
import json
from pathlib import Path
from signal import SIGTERM

import httpx
import pytest
from aiohttp import web

from contracts.problems import PROBLEM_JSON, Problem
from sandbox.testing import nats_server, running
from settings import ServiceName
from tests.people import PATIENCE
from tests.web.conftest import Browser, web_of
from tests.web.market import PASSWORD, Market
from tests.web.served import Services


class Echo:
    """A service that tells what reached it."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def respond(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        return web.Response(status=207, text="told", headers={"X-Told": "yes"})

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/{path:.*}", self.respond)]


@pytest.fixture
async def echo(services: Services) -> Echo:
    echo = Echo()
    await services.replace("payments", echo.routes())
    return echo


def problem_of(response: httpx.Response) -> Problem:
    assert response.headers["content-type"] == PROBLEM_JSON
    problem = Problem.model_validate_json(response.content)
    assert problem.status == response.status_code
    return problem


async def answer_with(services: Services, name: ServiceName, response: web.Response) -> None:
    async def respond(_: web.Request) -> web.Response:
        return response

    await services.replace(name, [web.route("*", "/{path:.*}", respond)])


async def test_a_request_arrives_as_it_was_sent(browser: Browser, echo: Echo) -> None:
    body = b'{"b":1,  "a":"\xc3\xa9"}\r\n'
    headers = {
        "Stripe-Signature": "t=1,v1=abc",
        "Idempotency-Key": "7c9b6b3e",
        "Content-Type": "application/json",
        "Authorization": "Bearer x",
    }
    sent = "/api/payments/webhook?a=1&a=2&q=%C3%A9+%2F"
    response = await browser.http.request("PATCH", sent, content=body, headers=headers)
    [request] = echo.requests
    assert (request.method, request.raw_path, echo.bodies) == ("PATCH", sent, [body])
    assert {name: request.headers[name] for name in headers} == headers
    assert (response.status_code, response.text, response.headers["x-told"]) == (207, "told", "yes")


async def test_an_encoded_path_isnt_decoded_on_the_way(browser: Browser, echo: Echo) -> None:
    await browser.http.get("/api/payments/a%2Fb%20c")
    assert echo.requests[0].raw_path == "/api/payments/a%2Fb%20c"


async def test_the_service_learns_whom_it_was_forwarded_for(browser: Browser, echo: Echo) -> None:
    await browser.http.get("/api/payments", headers={"X-Forwarded-For": "198.51.100.1"})
    assert echo.requests[0].headers.getall("X-Forwarded-For") == ["198.51.100.1, 203.0.113.7"]


async def test_the_trace_of_the_browser_goes_on(browser: Browser, echo: Echo) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    await browser.http.get("/api/payments", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert echo.requests[0].headers["traceparent"].split("-")[1] == trace


async def test_headers_of_the_connection_stay_behind(browser: Browser, echo: Echo) -> None:
    hop = {"Connection": "close, X-Secret-Hop", "X-Secret-Hop": "1", "TE": "trailers", "Upgrade": "h2c"}
    await browser.http.get("/api/payments", headers=hop)
    received = {name.lower() for name in echo.requests[0].headers}
    assert not {"x-secret-hop", "te", "upgrade"} & received


async def test_several_cookies_and_a_link_come_back_untouched(browser: Browser, services: Services) -> None:
    response = web.Response(text="{}")
    response.headers.add("Set-Cookie", "session=abc; Path=/; HttpOnly")
    response.headers.add("Set-Cookie", "other=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
    response.headers["Link"] = '</api/tickets?after=1>; rel="next"'
    await answer_with(services, "tickets", response)
    received = await browser.http.get("/api/tickets")
    assert received.headers.get_list("set-cookie") == response.headers.getall("Set-Cookie")
    assert received.headers["link"] == response.headers["Link"]


async def test_a_redirect_is_for_the_browser_to_follow(browser: Browser, services: Services) -> None:
    moved = web.Response(status=302, headers={"Location": "http://elsewhere.test/"})
    await answer_with(services, "tickets", moved)
    received = await browser.http.get("/api/tickets")
    assert (received.status_code, received.headers["location"]) == (302, "http://elsewhere.test/")


async def test_an_api_client_needs_no_form_token(browser: Browser, market: Market) -> None:
    market.user("ann@example.com")
    credentials = {"email": "ann@example.com", "password": PASSWORD}
    response = await browser.http.post("/api/users/signin", json=credentials)
    assert response.status_code == 200
    assert response.cookies["session"] == "token-of-ann"


async def test_a_problem_of_a_service_passes_through(browser: Browser) -> None:
    response = await browser.http.get("/api/orders")
    assert problem_of(response).title == "Sign in first"


@pytest.mark.parametrize(
    "path", ["/api/payments/refunds", "/api/payments//refunds/", "/api/payments/%72efunds"]
)
async def test_what_operators_ask_for_is_not_passed_on(browser: Browser, echo: Echo, path: str) -> None:
    request = browser.http.build_request("POST", "http://stagedoor.test", json={})
    request.url = httpx.URL("http://stagedoor.test").copy_with(raw_path=path.encode())
    assert problem_of(await browser.http.send(request)).status == 404
    assert echo.requests == []


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/ticketsx"])
async def test_an_api_that_nobody_owns_is_not_found(browser: Browser, path: str) -> None:
    request = browser.http.build_request("GET", "http://stagedoor.test")
    request.url = httpx.URL("http://stagedoor.test").copy_with(raw_path=path.encode())
    assert problem_of(await browser.http.send(request)).status == 404


async def test_a_body_above_a_megabyte_is_refused(browser: Browser, echo: Echo) -> None:
    response = await browser.http.post("/api/payments", content=b"x" * 1_000_001)
    assert problem_of(response).status == 413
    assert echo.requests == []


async def test_a_body_without_a_length_is_refused_once_it_is_too_long(browser: Browser, echo: Echo) -> None:
    async def chunks() -> object:
        for _ in range(11):
            yield b"x" * 100_000

    response = await browser.http.post("/api/payments", content=chunks())  # type: ignore[arg-type]
    assert problem_of(response).status == 413
    assert echo.requests == []


async def test_a_service_that_is_down_is_a_503_and_works_again_when_it_is_back(
    browser: Browser, services: Services
) -> None:
    await services.stop("tickets")
    response = await browser.http.get("/api/tickets")
    assert problem_of(response).status == 503
    assert int(response.headers["retry-after"]) > 0
    await services.start("tickets")
    assert (await browser.http.get("/api/tickets")).status_code == 200


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off", b"this isn't HTTP\r\n\r\n", b""],
    ids=["cut off", "not HTTP", "nothing"],
)
async def test_a_broken_answer_is_a_502(browser: Browser, services: Services, answer: bytes) -> None:
    asked = 0

    async def breaks_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(answer)
        await writer.drain()
        writer.close()

    await services.stop("payments")
    async with await asyncio.start_server(breaks_off, "127.0.0.1", services.ports["payments"]):
        response = await browser.http.post("/api/payments", content=b"{}")
    assert problem_of(response).status == 502
    assert asked == 1, "a payment is never sent twice"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_what_a_service_broke_off_over_is_a_502_and_not_asked_again(
    browser: Browser, services: Services, method: str
) -> None:
    asked = []

    async def breaks_off(request: web.Request) -> web.Response:
        asked.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    await services.replace("tickets", [web.route("*", "/{path:.*}", breaks_off)])
    body = None if method == "DELETE" else {"title": "Row 4", "price": 1}
    response = await browser.http.request(method, f"/api/tickets/{'a' * 24}", json=body)
    assert problem_of(response).status == 502
    assert asked == [method]


async def test_an_answer_that_is_too_large_is_a_502(browser: Browser, services: Services) -> None:
    await answer_with(services, "tickets", web.Response(body=b"x" * 10_000_001))
    assert problem_of(await browser.http.get("/api/tickets")).status == 502


async def test_a_service_that_never_answers_is_a_502(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.proxy.TIMEOUT", 0.05)
    never = asyncio.Event()

    async def hangs(_: web.Request) -> web.Response:
        await never.wait()
        raise AssertionError

    await services.replace("tickets", [web.get("/api/tickets", hangs)])
    assert problem_of(await browser.http.get("/api/tickets")).status == 502


async def test_json_of_a_service_isnt_reformatted(browser: Browser, services: Services) -> None:
    odd = json.dumps({"b": 1, "a": [1.10]}, indent=3)
    await answer_with(services, "tickets", web.json_response(text=odd))
    assert (await browser.http.get("/api/tickets")).text == odd


async def test_the_real_server_passes_paths_and_bodies_on_as_they_are(
    services: Services, echo: Echo, tmp_path: Path
) -> None:
    async with nats_server(tmp_path / "nats") as bus:
        process = web_of(services, bus, tmp_path)
        async with (
            running(process, tmp_path / "web.log", SIGTERM),
            httpx.AsyncClient(timeout=PATIENCE) as http,
        ):
            sent = "/api/payments/a%2Fb%20c?q=%C3%A9+%2F"
            await http.post(f"http://127.0.0.1:{process.port}{sent}", content=b"\x00raw\xff")
    assert (echo.requests[0].raw_path, echo.bodies) == (sent, [b"\x00raw\xff"])
