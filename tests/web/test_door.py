"""At the door: who is served, who waits, who is told to come again and how, and what a body may be."""

import asyncio
from contextlib import suppress
from typing import Any, cast, get_args

import pytest

from settings import Settings
from tests.people import until
from tests.web.asgi import Answer, Inside, ask
from tests.web.conftest import Browser
from tests.web.market import Market
from web import bodies as of_bodies
from web.bodies import LARGEST, SMALL, Bodies
from web.door import Door, Name, room_of
from web.room import Room
from web.templating import engine
from web.turned_away import LATEST, SOONEST, Answers

FORM = "application/x-www-form-urlencoded"
HTMX = {"hx_request": "true", "hx_request_type": "partial"}

ANSWERS = Answers(engine(Settings(_env_file=None)).engine)


class House:
    """A door with one place in each room, and nobody waits."""

    def __init__(self, places: int = 1, line: int = 0, bodies: Bodies | None = None) -> None:
        self.inside = Inside()
        self.rooms = {name: Room(places, line, 60.0) for name in get_args(Name)}
        self.door = Door(self.inside, self.rooms, ANSWERS, bodies or Bodies())

    async def is_full(self, *addresses: str, method: str = "GET") -> None:
        """Somebody is in each of these rooms, and stays."""
        for number, address in enumerate(addresses, 1):
            task = asyncio.create_task(ask(self.door, method, address, [b""]))
            task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
            await self.inside.has(number)

    async def empties(self) -> None:
        async def inside() -> int:
            return sum(room.inside for room in self.rooms.values())

        await until(inside, lambda count: count == 0, seconds=30)


@pytest.fixture
async def house() -> House:
    return House()


async def refused(house: House, *args: object, **headers: str) -> Answer:
    answer = await ask(house.door, *args, **headers)  # type: ignore[arg-type]
    assert answer.status == 503
    assert SOONEST <= int(answer.headers["retry-after"]) <= LATEST
    assert answer.headers["cache-control"] == "no-store"
    return answer


@pytest.mark.parametrize(
    ("method", "path", "room"),
    [
        ("GET", "/", "pages"),
        ("GET", "/tickets/1", "pages"),
        ("GET", "/signin", "pages"),
        ("GET", "/api/users/currentuser", "pages"),
        ("POST", "/sell", "pages"),
        ("GET", "/health", "pages"),
        ("GET", "/static/a/b", "pages"),
        ("POST", "/signin", "passwords"),
        ("POST", "/signup", "passwords"),
        ("POST", "/account/password", "passwords"),
        ("POST", "/api/users/signin", "passwords"),
        ("POST", "/api/users/signup", "passwords"),
        ("POST", "/api/users/password", "passwords"),
        ("GET", "/orders", "orders"),
        ("GET", "/orders/1", "orders"),
        ("POST", "/tickets/1/buy", "orders"),
        ("POST", "/api/orders", "orders"),
        ("DELETE", "/api/orders/1", "orders"),
        ("POST", "/orders/1/pay", "payments"),
        ("POST", "/api/payments", "payments"),
        ("GET", "/api/payments", "orders"),
        ("POST", "/api/payments/webhook", "webhooks"),
        ("GET", "/live", "live"),
        ("GET", "/health/live", None),
        ("GET", "/health/ready", None),
        ("GET", "/metrics", None),
        ("GET", "/static/app.0123456789ab.css", None),
    ],
)
def test_who_waits_for_the_same_thing_shares_a_room(method: str, path: str, room: str | None) -> None:
    assert room_of(method, path) == room


SPELLINGS = pytest.mark.parametrize("spelling", ["/{}", "//{}", "/{}/", "///{}//"])


@SPELLINGS
@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "live"),
        ("GET", "tickets/1"),
        ("POST", "signin"),
        ("POST", "api/users//signin"),
        ("POST", "orders/1//pay"),
        ("POST", "api/payments"),
        ("POST", "api/payments/webhook"),
    ],
)
async def test_an_odd_spelling_of_an_address_leads_into_its_room(
    house: House, method: str, address: str, spelling: str
) -> None:
    await house.is_full(spelling.format(address), method=method)
    [name] = [name for name, room in house.rooms.items() if room.inside]
    assert name == room_of(method, f"/{address}".replace("//", "/"))


@SPELLINGS
async def test_the_door_and_the_router_read_addresses_alike(browser: Browser, spelling: str) -> None:
    """The control: were an odd spelling another address to the router, the door needn't know it."""
    for address, status in (("live", 400), ("signin", 200)):
        answer = await browser.get(str(browser.http.base_url) + spelling.format(address))
        assert answer.status_code == status


# --- Who is served ---


async def test_who_finds_no_place_is_told_at_once_when_to_come_again(house: House) -> None:
    await house.is_full("/")
    assert (await refused(house, "GET", "/api/tickets")).problem["type"] == "/problems/busy"
    assert len(house.inside.came) == 1


async def test_through_a_door_without_a_bound_everybody_comes_in_at_once() -> None:
    """The control: what keeps them out is the number of places and nothing else."""
    house = House(places=1_000)
    await house.is_full(*["/"] * 100)
    assert len(house.inside.came) == 100


async def test_how_the_process_is_doing_is_told_however_crowded_it_is(house: House) -> None:
    everywhere = ("/", "/orders", "/api/payments/webhook", "/live")
    await house.is_full(*everywhere)
    paths = ("/health/live", "/health/ready", "/metrics", "/static/app.0.css")
    asked = [asyncio.create_task(ask(house.door, address=path)) for path in paths]
    await house.inside.has(len(everywhere) + len(paths))
    house.inside.may_answer.set()
    assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 4


async def test_a_stripe_that_is_slow_keeps_nobody_from_looking_around(house: House) -> None:
    await house.is_full("/api/payments", method="POST")
    house.inside.may_answer.set()
    assert (await ask(house.door)).status == 200


async def test_who_waits_is_served_when_a_place_falls_free() -> None:
    house = House(line=1)
    await house.is_full("/")
    waits = asyncio.create_task(ask(house.door))
    house.inside.may_answer.set()
    async with asyncio.timeout(30):
        assert (await waits).body == b"served"


async def test_a_place_falls_free_when_something_goes_wrong_inside(house: House) -> None:
    await house.is_full("/broken")
    house.inside.may_answer.set()
    await house.empties()


async def test_a_place_falls_free_when_a_request_is_stopped(house: House) -> None:
    task = asyncio.create_task(ask(house.door))
    await house.inside.has(1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await house.empties()


@pytest.mark.parametrize("address", ["/live", "/live/", "//live", "/tickets"])
async def test_a_stream_has_a_place_until_it_begins(house: House, address: str) -> None:
    house.inside.streams = True
    await house.is_full(*[address] * 3)
    await house.empties()


# --- What they are told ---


async def test_a_program_that_watches_is_told_as_one(house: House) -> None:
    await house.is_full("/live")
    assert (await refused(house, "GET", "/live")).problem["title"]


async def test_a_page_says_so_and_offers_to_try_again(house: House) -> None:
    await house.is_full("/")
    page = await refused(house, "GET", "/?q=cave")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert b"<!doctype html>" in page.body
    assert b'<a class="button" href="">Try again</a>' in page.body


async def test_a_part_of_a_page_is_left_as_it_is_with_all_that_was_typed(house: House) -> None:
    await house.is_full("/")
    alert = await refused(house, "POST", "/sell", [b"title=x"], content_length="7", **HTMX)
    assert alert.headers["hx-retarget"] == "#notice"
    assert b"<!doctype html>" not in alert.body
    assert b"still here" in alert.body


async def test_a_form_can_be_sent_again_as_it_was_filled_in(house: House) -> None:
    await house.is_full("/")
    typed = b"_csrf_token=abc&title=%22%3E%3Cscript%3E&price="
    page = await refused(
        house, "POST", "/tickets/1/edit?a=%22", [typed], content_length=str(len(typed)), content_type=FORM
    )
    text = page.body.decode()
    assert 'action="/tickets/1/edit?a=%22"' in text
    assert '<input type="hidden" name="_csrf_token" value="abc">' in text
    assert '<input type="hidden" name="title" value="&#34;&gt;&lt;script&gt;">' in text
    assert '<input type="hidden" name="price" value="">' in text
    assert "<script" not in text


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("/account/password", b"current=hush", FORM),
        ("/signout", b"current=hush", FORM),
        ("/sell", b"hush", "multipart/form-data; boundary=x"),
        ("/sell", b"hush", ""),
    ],
)
async def test_what_is_secret_or_a_picture_stays_with_the_browser(
    house: House, path: str, body: bytes, content_type: str
) -> None:
    await house.is_full("/")
    house.rooms["passwords"].places = 0
    page = await refused(house, "POST", path, [body], content_length="12", content_type=content_type)
    assert b"hush" not in page.body
    assert b"reload this page to send it again" in page.body


@pytest.mark.parametrize(
    ("address", "secret"),
    [
        ("//evil.example/x", "a=hush"),
        ("/\\evil.example", "a=hush"),
        ("//signout", "a=hush"),
        ("/sell", "a=hush&" + "a&" * 300_000),
        ("/sell", "a=hush&" + "a&" * 50),
        ("/sell", "a=hush" * 3_000),
    ],
    ids=["another site", "a backslash", "an odd spelling", "very many fields", "many fields", "a large one"],
)
async def test_no_form_of_ours_is_like_that_and_it_stays_with_the_browser(
    house: House, address: str, secret: str
) -> None:
    await house.is_full("/")
    body = secret.encode()
    page = await refused(house, "POST", address, [body], content_length=str(len(body)), content_type=FORM)
    assert b"<form" not in page.body
    assert b"hush" not in page.body
    assert b"reload this page to send it again" in page.body


# --- Bodies ---


async def test_a_body_arrives_whole_in_however_many_pieces_it_comes(house: House) -> None:
    house.inside.may_answer.set()
    answer = await ask(house.door, "POST", "/", [b"ab", b"", b"c"], content_length="3")
    assert answer.status == 200
    assert house.inside.came == [("/", b"abc")]


@pytest.mark.parametrize(
    "said",
    [
        {"content_length": "10"},
        {"transfer_encoding": "chunked"},
        {"content_length": "0", "transfer_encoding": "chunked"},
        {"content_length": str(LARGEST)},
    ],
    ids=["a length", "chunks", "no length and chunks", "a large length"],
)
async def test_who_sends_a_head_and_nothing_more_takes_up_no_place(
    house: House, said: dict[str, str]
) -> None:
    slow = [asyncio.create_task(ask(house.door, "POST", "/", [b"a", None], **said)) for _ in range(5)]
    await asyncio.sleep(0)  # all of them are at the door
    house.inside.may_answer.set()
    answer = await ask(house.door, "POST", "/", [b"a"], content_length="1")
    assert answer.status == 200
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_body_that_does_not_come_is_given_up() -> None:
    house = House(bodies=Bodies(seconds=0.01))
    async with asyncio.timeout(30):
        answer = await ask(house.door, "POST", "/api/orders", [b"a", None], content_length="2")
    assert answer.status == 408
    assert answer.problem["type"] == "/problems/too-slow"
    assert answer.headers["connection"] == "close"
    assert house.inside.came == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_larger_than_any_may_be_is_refused_unread(house: House, method: str) -> None:
    async with asyncio.timeout(30):
        answer = await ask(house.door, method, "/api/tickets", [None], content_length=str(LARGEST + 1))
    assert answer.status == 413
    assert answer.problem["type"] == "/problems/too-large"


async def test_a_body_that_grows_larger_than_any_may_be_is_refused(house: House) -> None:
    pieces = [b"x" * 1_000_000] * 7
    answer = await ask(house.door, "POST", "/sell", pieces, transfer_encoding="chunked")
    assert answer.status == 413
    assert house.inside.came == []


async def test_a_form_that_is_too_large_is_read_to_its_end_and_answered_by_its_page(house: House) -> None:
    house.inside.may_answer.set()
    pieces = [b"x" * 1_000_000] * 7
    answer = await ask(house.door, "POST", "/sell", pieces, content_length="7000000")
    assert answer.status == 200
    assert house.inside.came == [("/sell", b"")]


async def test_a_stream_that_is_asked_for_with_too_large_a_body_lasts_until_its_browser_leaves(
    browser: Browser, market: Market
) -> None:
    """As long as it lasts it asks whether the browser is still there, and waits for the answer."""
    ticket = market.ticket(market.user("seller@example.com")[0])
    app = cast("Any", browser.http)._transport.app
    async with asyncio.timeout(30):
        answer = await ask(
            app, "GET", f"/live?ticket={ticket.id}", [b"x" * 1_000_000] * 7, content_length="7000000"
        )
    assert answer.status == 200


async def test_large_bodies_share_the_memory_there_is_and_small_ones_come_in_beside_them() -> None:
    whole = b"x" * (SMALL + 1)
    house = House(places=10, bodies=Bodies(most_held=2 * len(whole)))
    large = {"content_length": str(2 * len(whole))}
    slow = [asyncio.create_task(ask(house.door, "POST", "/", [whole, None], **large)) for _ in range(2)]
    await asyncio.sleep(0)  # both have begun to be read
    await refused(house, "POST", "/api/tickets", [whole, None], **large)
    house.inside.may_answer.set()
    assert (await ask(house.door, "POST", "/", [b"x"], content_length="1")).status == 200
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert (await ask(house.door, "POST", "/", [whole, whole], **large)).status == 200


async def test_who_announces_much_and_sends_little_keeps_nobody_from_sending_much() -> None:
    whole = b"x" * LARGEST
    house = House(places=10, bodies=Bodies(most_held=LARGEST))
    large = {"content_length": str(LARGEST)}
    slow = [asyncio.create_task(ask(house.door, "POST", "/", [b"x", None], **large)) for _ in range(50)]
    await asyncio.sleep(0)  # all of them have begun to be read
    house.inside.may_answer.set()
    for _ in range(2):  # what was held falls free
        assert (await ask(house.door, "POST", "/", [whole], **large)).status == 200
    assert not any(task.done() for task in slow)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_request_that_breaks_off_is_refused_at_the_door(house: House) -> None:
    """Whoever sends chunks that aren't chunks is still there to hear of it."""
    answer = await ask(house.door, "POST", "/", content_length="10")
    assert answer.status == 400
    assert house.inside.came == []


async def test_a_body_that_keeps_coming_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte that has come is worth a minute here, so the next one may take longer than the first."""
    monkeypatch.setattr(of_bodies, "BYTES_A_SECOND", 1 / 60)
    house = House(bodies=Bodies(seconds=0.01))
    asked = asyncio.create_task(ask(house.door, "POST", "/", [b"a", None], content_length="2"))
    done, _ = await asyncio.wait({asked}, timeout=0.2)
    assert not done
    asked.cancel()
