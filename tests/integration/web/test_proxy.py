"""The web process forwards requests to `/api/*` unchanged to the services."""

import asyncio
import json
import re
from pathlib import Path
from signal import SIGTERM

import httpx
import pytest
import pytest_asyncio
from aiohttp import web

from contracts.api import POSITION
from contracts.problems import PROBLEM_JSON, Problem
from kit.client_address import CLIENT
from sandbox.testing import nats_server, running
from settings import ServiceName
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import PASSWORD, Market
from tests.support.fakes.services import Services, web_of
from tests.support.polling import TIMEOUT
from web.proxy import MAX_ANSWER_BYTES


class Echo:
    """A fake service that records its requests."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []

    async def respond(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.bodies.append(await request.read())
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": "1234", "Content-Type": "application/json"})
        return web.Response(status=207, text="echo", headers={"X-Echo": "yes", POSITION: "7"})

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/{path:.*}", self.respond)]


@pytest_asyncio.fixture(loop_scope="session")
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


async def test_a_request_is_forwarded_unchanged(client: PageClient, echo: Echo) -> None:
    body = b'{"b":1,  "a":"\xc3\xa9"}\r\n'
    headers = {
        "Stripe-Signature": "t=1,v1=abc",
        "Idempotency-Key": "7c9b6b3e",
        "Content-Type": "application/json",
        "Authorization": "Bearer x",
    }
    path = "/api/payments/webhook?a=1&a=2&q=%C3%A9+%2F"
    response = await client.http.request("POST", path, content=body, headers=headers)
    [request] = echo.requests
    assert (request.method, request.raw_path, echo.bodies) == ("POST", path, [body])
    assert {name: request.headers[name] for name in headers} == headers
    assert (response.status_code, response.text, response.headers["x-echo"]) == (207, "echo", "yes")
    assert POSITION not in response.headers  # it is only for the web tier


async def test_the_service_receives_the_path_that_was_checked(client: PageClient, echo: Echo) -> None:
    await client.http.get("/api//%70ayments/")
    assert echo.requests[0].raw_path == "/api/payments"


async def test_the_proxy_vouches_for_the_clients_address(client: PageClient, echo: Echo) -> None:
    await client.http.get("/api/payments", headers={"X-Forwarded-For": "198.51.100.1", CLIENT: "forged"})
    assert "X-Forwarded-For" not in echo.requests[0].headers
    (signed,) = echo.requests[0].headers.getall(CLIENT)
    assert re.fullmatch(r"203\.0\.113\.7 [0-9a-f]{64}", signed)


async def test_the_proxy_continues_the_trace_of_the_client(client: PageClient, echo: Echo) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    await client.http.get("/api/payments", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert echo.requests[0].headers["traceparent"].split("-")[1] == trace


async def test_hop_by_hop_headers_are_not_forwarded(client: PageClient, echo: Echo) -> None:
    headers = {"Connection": "close, X-Secret-Hop", "X-Secret-Hop": "1", "TE": "trailers", "Upgrade": "h2c"}
    await client.http.get("/api/payments", headers=headers)
    received = {name.lower() for name in echo.requests[0].headers}
    assert not {"x-secret-hop", "te", "upgrade"} & received


async def test_several_cookies_and_a_link_header_are_returned_unchanged(
    client: PageClient, services: Services
) -> None:
    response = web.Response(text="{}")
    response.headers.add("Set-Cookie", "session=abc; Path=/; HttpOnly")
    response.headers.add("Set-Cookie", "other=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT")
    response.headers["Link"] = '</api/tickets?after=1>; rel="next"'
    await answer_with(services, "tickets", response)
    received = await client.http.get("/api/tickets")
    assert received.headers.get_list("set-cookie") == response.headers.getall("Set-Cookie")
    assert received.headers["link"] == response.headers["Link"]


async def test_a_redirect_of_a_service_is_returned_and_not_followed(
    client: PageClient, services: Services
) -> None:
    moved = web.Response(status=302, headers={"Location": "http://elsewhere.test/"})
    await answer_with(services, "tickets", moved)
    received = await client.http.get("/api/tickets")
    assert (received.status_code, received.headers["location"]) == (302, "http://elsewhere.test/")


async def test_a_user_signs_in_through_the_api(client: PageClient, market: Market) -> None:
    _, token = market.user("ann@example.com")
    credentials = {"email": "ann@example.com", "password": PASSWORD}
    response = await client.http.post("/api/users/signin", json=credentials)
    assert response.status_code == 200
    assert response.cookies["session"] == token


async def test_the_error_response_of_a_service_is_returned_to_the_client(client: PageClient) -> None:
    response = await client.http.get("/api/orders")
    assert problem_of(response).title == "Sign in first"


@pytest.mark.parametrize(
    "path",
    [
        *("/api/payments/refunds", "/api/payments//refunds/", "/api/payments/%72efunds"),
        *("/api/payments/%2Frefunds", "/api/payments/%2572efunds", "/api/payments/x/%2e%2e/refunds"),
        *("/api/payments/health/live", "/api/payments/docs", "/api/metrics"),
        *("/api", "/api/", "/api/nothing", "/api/ticketsx", "/api/tickets/1"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_path_that_is_not_public_is_not_found(
    client: PageClient, echo: Echo, method: str, path: str
) -> None:
    request = client.http.build_request(method, "http://stagedoor.test", json={})
    request.url = httpx.URL("http://stagedoor.test").copy_with(raw_path=path.encode())
    problem = problem_of(await client.http.send(request))
    assert (problem.status, problem.title) == (404, "Not Found")
    assert echo.requests == []


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "TRACE"])
async def test_a_method_that_a_public_path_does_not_have_is_refused(
    client: PageClient, echo: Echo, method: str
) -> None:
    response = await client.http.request(method, "/api/payments")
    assert problem_of(response).status == 405
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert echo.requests == []


async def test_the_response_to_head_has_the_length_that_the_service_declares(
    client: PageClient, echo: Echo
) -> None:
    response = await client.http.head("/api/payments")
    assert (response.headers["content-length"], response.content) == ("1234", b"")
    assert [request.method for request in echo.requests] == ["HEAD"]


async def test_a_body_above_a_megabyte_is_refused(client: PageClient, echo: Echo) -> None:
    response = await client.http.post("/api/payments", content=b"x" * 1_000_001)
    assert problem_of(response).status == 413
    assert echo.requests == []


async def test_a_chunked_body_above_a_megabyte_is_refused(client: PageClient, echo: Echo) -> None:
    async def chunks() -> object:
        for _ in range(11):
            yield b"x" * 100_000

    response = await client.http.post("/api/payments", content=chunks())  # type: ignore[arg-type]
    assert problem_of(response).status == 413
    assert echo.requests == []


async def test_a_stopped_service_is_answered_with_503_and_works_again_after_its_restart(
    client: PageClient, services: Services
) -> None:
    await services.stop("tickets")
    response = await client.http.get("/api/tickets")
    assert problem_of(response).status == 503
    assert int(response.headers["retry-after"]) > 0
    await services.start("tickets")
    assert (await client.http.get("/api/tickets")).status_code == 200


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off", b"this isn't HTTP\r\n\r\n", b""],
    ids=["truncated response", "not HTTP", "no response"],
)
async def test_an_invalid_response_is_answered_with_502(
    client: PageClient, services: Services, answer: bytes
) -> None:
    requests = 0

    async def send_invalid_response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await reader.readuntil(b"\r\n\r\n")
        requests += 1
        writer.write(answer)
        await writer.drain()
        writer.close()

    await services.stop("payments")
    async with await asyncio.start_server(send_invalid_response, "127.0.0.1", services.ports["payments"]):
        response = await client.http.post("/api/payments", content=b"{}")
    assert problem_of(response).status == 502
    assert requests == 1, "a payment is never sent twice"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_request_that_a_service_aborts_is_answered_with_502_and_not_repeated(
    client: PageClient, services: Services, method: str
) -> None:
    methods = []

    async def abort(request: web.Request) -> web.Response:
        methods.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    await services.replace("tickets", [web.route("*", "/{path:.*}", abort)])
    body = None if method == "DELETE" else {"title": "Row 4", "price": 1}
    path = "/api/tickets" if method == "POST" else f"/api/tickets/{'a' * 24}"
    response = await client.http.request(method, path, json=body)
    assert problem_of(response).status == 502
    assert methods == [method]


async def test_a_response_that_is_too_large_is_answered_with_502(
    client: PageClient, services: Services
) -> None:
    await answer_with(services, "tickets", web.Response(body=b"x" * (MAX_ANSWER_BYTES + 1)))
    assert problem_of(await client.http.get("/api/tickets")).status == 502


async def test_a_service_that_never_responds_is_answered_with_502(
    client: PageClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.upstream.TIMEOUT", 0.05)
    forever = asyncio.Event()

    async def never_respond(_: web.Request) -> web.Response:
        await forever.wait()
        raise AssertionError

    await services.replace("tickets", [web.get("/api/tickets", never_respond)])
    assert problem_of(await client.http.get("/api/tickets")).status == 502


async def test_the_json_response_of_a_service_is_not_reformatted(
    client: PageClient, services: Services
) -> None:
    text = json.dumps({"b": 1, "a": [1.10]}, indent=3)
    await answer_with(services, "tickets", web.json_response(text=text))
    assert (await client.http.get("/api/tickets")).text == text


async def test_granian_forwards_queries_and_binary_bodies_unchanged(
    services: Services, echo: Echo, tmp_path: Path
) -> None:
    async with nats_server(tmp_path / "nats") as bus:
        process = web_of(services, bus, tmp_path)
        async with (
            running(process, tmp_path / "web.log", SIGTERM),
            httpx.AsyncClient(timeout=TIMEOUT) as http,
        ):
            path = "/api/payments/webhook?q=%C3%A9+%2F"
            await http.post(f"http://127.0.0.1:{process.port}{path}", content=b"\x00raw\xff")
    assert (echo.requests[0].raw_path, echo.bodies) == (path, [b"\x00raw\xff"])
