"""Each request is one note, made before it is sent, which tells no more than was answered."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from sandbox.testing import free_port
from tests.chaos.client import Notes, Person, browser
from tests.chaos.people import BUYERS, SELLERS, Load, Places, story_of
from tests.people import until

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def site(handler: Handler) -> AsyncIterator[str]:
    """Answers every request so."""
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
        person = Person(session, web_url, Notes(), "ann@example.com")
        person.id = "ann"
        yield person


async def hangs(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_request_is_noted_before_it_is_sent_and_completed_when_it_is_answered() -> None:
    seen: list[int | None] = []

    async def answers(_: web.Request) -> web.Response:
        seen.extend(note.status for note in person.notes.requests)
        return web.json_response({"id": "o1", "version": 0, "status": "created"}, status=201)

    async with site(answers) as url, somebody(url) as person:
        await person.reserves("t1")
    (note,) = person.notes.requests
    assert seen == [None]
    assert (note.what, note.user, note.about) == ("reserve", "ann", "t1")
    assert (note.status, note.made, note.version, note.told) == (201, "o1", 0, "created")


async def test_what_nobody_answers_has_no_status() -> None:
    async with somebody(f"http://127.0.0.1:{free_port()}") as person:
        await person.reserves("t1")
    assert [note.status for note in person.notes.requests] == [None]
    assert person.notes.answers == {0: 1}


async def test_half_an_answer_is_none() -> None:
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
    assert [note.status for note in person.notes.requests] == [None]


@asynccontextmanager
async def dropping_edits() -> AsyncIterator[tuple[str, list[str]]]:
    """A site that breaks the connection off when it has got an edit; yields what it was asked too."""
    asked: list[str] = []

    async def drops(request: web.Request) -> web.Response:
        asked.append(request.method)
        if request.method == "PUT":
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({})

    async with site(drops) as url:
        yield url, asked


async def test_an_edit_that_was_broken_off_is_not_sent_again() -> None:
    async with dropping_edits() as (url, asked), somebody(url) as person:
        await person.opens("/")
        await person.edits("t1", "Row 4", "1")
    assert asked == ["GET", "PUT"]


async def test_control_by_itself_aiohttp_would_send_it_again() -> None:
    async with dropping_edits() as (url, asked), somebody(url, aiohttp.ClientSession()) as person:
        await person.opens("/")
        await person.edits("t1", "Row 4", "1")
    assert asked == ["GET", "PUT", "PUT"]
    assert len(person.notes.requests) == 1


PAGE = '<form><input type="hidden" name="_csrf_token" value="proof" /></form>'


@pytest.mark.parametrize(
    ("location", "status", "made"), [("/orders/o1", 201, "o1"), ("/signin?next=/tickets/t1", 401, "")]
)
async def test_a_form_is_answered_by_where_it_leads(location: str, status: int, made: str) -> None:
    async def leads(request: web.Request) -> web.Response:
        if request.method == "GET":
            page = web.Response(text=PAGE, content_type="text/html")
            page.set_cookie("csrf", "proof")
            return page
        form = await request.post()
        assert (form["_csrf_token"], request.cookies["csrf"]) == ("proof", "proof")
        return web.Response(status=303, headers={"Location": location})

    async with site(leads) as url, somebody(url) as person:
        await person.reserves_by_form("t1")
    (note,) = person.notes.requests
    assert (note.status, note.made, note.form) == (status, made, True)


async def test_what_somebody_sees_again_is_noted_once() -> None:
    states = iter(["created", "created", "complete"])

    async def shows(_: web.Request) -> web.Response:
        return web.json_response([{"id": "o1", "version": 0, "status": next(states)}])

    async with site(shows) as url, somebody(url) as person:
        for _ in range(3):
            await person.opens("/api/orders")
    seen = [(note.what, note.about, note.version, note.told) for note in person.notes.requests]
    assert seen == [("look", "o1", 0, "created"), ("look", "o1", 0, "complete")]


async def test_of_a_payment_by_form_it_is_not_known_what_came_of_it() -> None:
    async def leads(request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.Response(text=PAGE, content_type="text/html")
        return web.Response(status=303, headers={"Location": "/orders/o1"})

    async with site(leads) as url, somebody(url) as person:
        await person.pays_by_form("o1")
    (note,) = person.notes.requests
    assert (note.is_open, note.is_done, note.is_refused) == (True, False, False)


async def test_a_page_without_the_form_sends_nothing() -> None:
    async def gone(_: web.Request) -> web.Response:
        return web.Response(text="Sold", content_type="text/html")

    async with site(gone) as url, somebody(url) as person:
        await person.reserves_by_form("t1")
    assert person.notes.requests == []


TOKEN = ".".join(("e30", urlsafe_b64encode(b'{"sid": "s1"}').decode().rstrip("="), "signature"))
"""Of session s1."""


async def test_who_is_let_in_notes_their_session_and_who_is_not_has_none() -> None:
    async def lets_in_once(request: web.Request) -> web.StreamResponse:
        if request.path != "/api/users/signup":
            return web.json_response({"title": "Invalid credentials"}, status=401)
        return await lets_in(request)

    async with site(lets_in_once) as url, somebody(url) as person:
        assert await person.signs_up()
        assert not await person.signs_in()
    seen = [(note.what, note.status, note.made, note.session) for note in person.notes.requests]
    assert seen == [("sign up", 201, "1", "s1"), ("sign in", 401, "", "")]


async def lets_in(request: web.Request) -> web.StreamResponse:
    """Everybody signs up; whatever else they ask for is never answered."""
    if request.path != "/api/users/signup":
        return await hangs(request)
    answer = web.json_response({"id": "1", "email": "somebody@example.com"}, status=201)
    answer.set_cookie("session", TOKEN)
    return answer


async def begun(url: str, seed: int, stories: int) -> Load:
    """People who have begun so many stories, and were then sent away."""
    load = Load(Places(url, url, url, ""), seed, rate=100, window=5)
    try:
        await load.open()
        running = asyncio.create_task(load.run())
        somebody_owns = asyncio.create_task(load.somebody_owns_a_ticket())

        async def look() -> int:
            return load.stories.total()

        await until(look, lambda count: count >= stories or running.done(), 60)
        load.stop()
        await running
    finally:
        await load.close()
    assert not await somebody_owns, "nothing was answered"
    return load


async def test_people_come_at_their_time_while_nothing_answers() -> None:
    async with site(lets_in) as url:
        load = await begun(url, 1, 40)
    asked = [request for request in load.requests if request.what != "sign up"]
    assert len([request for request in load.requests if request.made]) >= SELLERS + BUYERS
    assert asked
    assert {request.status for request in asked} == {None}


def test_the_seed_says_who_does_what() -> None:
    def told(seed: int) -> list[tuple[object, float]]:
        return [(story, rng.random()) for story, rng in (story_of(seed, number) for number in range(50))]

    assert told(1) == told(1) != told(2)
