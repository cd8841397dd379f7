"""Each request is recorded once, before it is sent. The record shows only what the answer contains."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from sandbox.testing import free_port
from tests.resilience.chaos.client import Person, RequestLog, browser
from tests.resilience.chaos.load import BUYERS, SELLERS, Addresses, Load, scenario_of
from tests.support.polling import until

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def site(handler: Handler) -> AsyncIterator[str]:
    """A web site that answers every request with this handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def somebody(web_url: str, http: aiohttp.ClientSession | None = None) -> AsyncIterator[Person]:
    async with http or browser() as session:
        person = Person(session, web_url, RequestLog(), "ann@example.com")
        person.id = "ann"
        yield person


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_request_is_recorded_before_it_is_sent_and_its_answer_completes_the_record() -> None:
    seen: list[int | None] = []

    async def answers(_: web.Request) -> web.Response:
        seen.extend(record.status for record in person.log.requests)
        return web.json_response({"id": "o1", "version": 0, "status": "created"}, status=201)

    async with site(answers) as url, somebody(url) as person:
        await person.reserves("t1")
    (record,) = person.log.requests
    assert seen == [None]
    assert (record.what, record.user, record.about) == ("reserve", "ann", "t1")
    assert (record.status, record.made, record.version, record.state) == (201, "o1", 0, "created")


async def test_a_request_without_an_answer_has_no_status() -> None:
    async with somebody(f"http://127.0.0.1:{free_port()}") as person:
        await person.reserves("t1")
    assert [record.status for record in person.log.requests] == [None]
    assert person.log.answers == {0: 1}


async def test_a_partial_answer_is_recorded_as_no_answer() -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201, headers={"Content-Length": "100"})
        response.content_type = "application/json"
        await response.prepare(request)
        await response.write(b'{"id": "o1",')
        assert request.transport is not None
        request.transport.abort()
        return response

    async with site(breaks_off) as url, somebody(url) as person:
        await person.reserves("t1")
    assert [record.status for record in person.log.requests] == [None]


@asynccontextmanager
async def dropping_edits() -> AsyncIterator[tuple[str, list[str]]]:
    """A site that resets the connection after an edit, and the methods of the requests that it received."""
    asked: list[str] = []

    async def drops(request: web.Request) -> web.Response:
        asked.append(request.method)
        if request.method == "PUT":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    async with site(drops) as url:
        yield url, asked


async def test_an_edit_without_an_answer_is_not_sent_again() -> None:
    async with dropping_edits() as (url, asked), somebody(url) as person:
        await person.opens("/")
        await person.edits("t1", "Row 4", "1")
    assert asked == ["GET", "PUT"]


async def test_control_aiohttp_sends_an_edit_again_by_default() -> None:
    async with dropping_edits() as (url, asked), somebody(url, aiohttp.ClientSession()) as person:
        await person.opens("/")
        await person.edits("t1", "Row 4", "1")
    assert asked == ["GET", "PUT", "PUT"]
    assert len(person.log.requests) == 1


PAGE = """
<form action="/tickets/t1/buy"></form>
<form action="/orders/o1/pay"><input type="hidden" name="key" value="k1" /></form>
"""


@pytest.mark.parametrize(
    ("location", "status", "made"), [("/orders/o1", 201, "o1"), ("/signin?next=/tickets/t1", 401, "")]
)
async def test_the_outcome_of_a_form_is_read_from_its_redirect(location: str, status: int, made: str) -> None:
    async def leads(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(text=PAGE, content_type="text/html")
        form = await request.post()
        assert (form["key"], request.headers["Sec-Fetch-Site"]) == ("k1", "same-origin")
        return web.Response(status=303, headers={"Location": location})

    async with site(leads) as url, somebody(url) as person:
        await person.reserves_by_form("t1")
    (record,) = person.log.requests
    assert (record.status, record.made, record.form) == (status, made, True)


async def test_a_state_that_is_seen_twice_is_recorded_once() -> None:
    states = iter(["created", "created", "complete"])

    async def shows(_: web.Request) -> web.Response:
        return web.json_response([{"id": "o1", "version": 0, "status": next(states)}])

    async with site(shows) as url, somebody(url) as person:
        for _ in range(3):
            await person.opens("/api/orders")
    seen = [(record.what, record.about, record.version, record.state) for record in person.log.requests]
    assert seen == [("look", "o1", 0, "created"), ("look", "o1", 0, "complete")]


async def test_the_outcome_of_a_payment_form_is_not_read_from_its_redirect() -> None:
    async def leads(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(text=PAGE, content_type="text/html")
        return web.Response(status=303, headers={"Location": "/orders/o1"})

    async with site(leads) as url, somebody(url) as person:
        await person.pays_by_form("o1")
    (record,) = person.log.requests
    assert (record.is_open, record.is_done, record.is_refused) == (True, False, False)


async def test_nothing_is_sent_from_a_page_without_a_form() -> None:
    async def gone(_: web.Request) -> web.Response:
        return web.Response(text="Sold", content_type="text/html")

    async with site(gone) as url, somebody(url) as person:
        await person.reserves_by_form("t1")
    assert person.log.requests == []


TOKEN = ".".join(("e30", urlsafe_b64encode(b'{"sid": "s1"}').decode().rstrip("="), "signature"))
"""The token of session s1."""


async def test_only_a_successful_sign_up_records_a_session() -> None:
    async def accepts_one_sign_up(request: web.Request) -> web.StreamResponse:
        if request.path != "/api/users/signup":
            return web.json_response({"title": "Invalid credentials"}, status=401)
        return await accepts_sign_ups(request)

    async with site(accepts_one_sign_up) as url, somebody(url) as person:
        assert await person.signs_up()
        assert not await person.signs_in()
    seen = [(record.what, record.status, record.made, record.session) for record in person.log.requests]
    assert seen == [("sign up", 201, "1", "s1"), ("sign in", 401, "", "")]


async def accepts_sign_ups(request: web.Request) -> web.StreamResponse:
    """Accept every sign-up, and never answer any other request."""
    if request.path != "/api/users/signup":
        return await hangs(request)
    answer = web.json_response({"id": "1", "email": "somebody@example.com"}, status=201)
    answer.set_cookie("session", TOKEN)
    return answer


async def begun(url: str, seed: int, scenarios: int) -> Load:
    """A load that was stopped after `scenarios` scenarios had begun."""
    load = Load(Addresses(url, url, url, ""), seed, rate=100, window=5)
    try:
        await load.open()
        running = asyncio.create_task(load.run())
        somebody_owns = asyncio.create_task(load.somebody_owns_a_ticket())

        async def look() -> int:
            return load.scenarios.total()

        await until(look, lambda count: count >= scenarios or running.done(), 60)
        load.stop()
        await running
    finally:
        await load.close()
    assert not await somebody_owns, "nothing was answered"
    return load


async def test_scenarios_begin_on_schedule_while_nothing_answers() -> None:
    async with site(accepts_sign_ups) as url:
        load = await begun(url, 1, 40)
    asked = [request for request in load.requests if request.what != "sign up"]
    assert len([request for request in load.requests if request.made]) >= SELLERS + BUYERS
    assert asked
    assert {request.status for request in asked} == {None}


def test_the_seed_determines_the_scenarios() -> None:
    def drawn(seed: int) -> list[tuple[object, float]]:
        return [
            (scenario, rng.random()) for scenario, rng in (scenario_of(seed, number) for number in range(50))
        ]

    assert drawn(1) == drawn(1) != drawn(2)
