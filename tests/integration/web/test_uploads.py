"""Large bodies are accepted only for pictures, from signed-in users and pages of this site."""

import asyncio

import pytest

from contracts.api import User
from kit.networks import networks_of
from tests.integration.web.asgi_client import ask
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market
from web.admission.request_body import BodyReader, BodyRejected

MULTIPART = {"content_type": "multipart/form-data; boundary=x"}
FORM = {"content_type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/sell", FORM),
        ("/signin", FORM),
        ("/signin", MULTIPART),
        ("/orders/1/pay", MULTIPART),
        ("/api/orders", {"content_type": "application/json"}),
        ("/api/tickets", {"content_type": "application/json"}),
    ],
)
async def test_other_bodies_above_16_kilobytes_are_refused(
    client: PageClient, buyer: User, path: str, headers: dict[str, str]
) -> None:
    cookie = "; ".join(f"{name}={value}" for name, value in client.http.cookies.items())
    for size, is_refused in ((16_384, False), (16_385, True)):
        answer = await ask(
            client.app,
            "POST",
            path,
            [b"&" * size],
            content_length=str(size),
            cookie=cookie,
            sec_fetch_site="same-origin",
            **headers,
        )
        assert (answer.status == 413) is is_refused, (path, size, answer.status)


async def test_an_anonymous_picture_is_not_read(client: PageClient, market: Market) -> None:
    ticket = market.ticket(market.user("seller@example.com")[0])
    files = {"picture": ("a.jpg", b"x" * 1_000_000, "image/jpeg")}
    for path in ("/sell", f"/tickets/{ticket.id}/picture"):
        page = await client.http.post(path, files=files)
        assert (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/signin")
    answer = await client.http.put(f"/api/tickets/{ticket.id}/picture", content=b"x" * 1_000_000)
    assert answer.status_code == 401


async def test_a_picture_from_another_site_is_not_read(client: PageClient, buyer: User) -> None:
    files = {"picture": ("a.jpg", b"x" * 1_000_000, "image/jpeg")}
    answer = await client.http.post("/sell", files=files, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


async def test_a_body_that_has_stalled_makes_room_for_others() -> None:
    reader, stalled = BodyReader(max_memory=1_000_000), asyncio.Event()

    async def stall() -> None:
        pieces = [b"x" * 900_000]

        async def receive() -> object:
            if not pieces:
                stalled.set()
                await asyncio.Event().wait()
            return {"type": "http.request", "body": pieces.pop(), "more_body": True}

        async with reader.read(receive, 950_000):  # type: ignore[arg-type]
            raise AssertionError("the body is never complete")

    attacker = asyncio.create_task(stall())
    await stalled.wait()
    async with reader.read(whole(b"y" * 500_000), 500_000) as body:  # type: ignore[arg-type]
        assert len(body) == 500_000
    with pytest.raises(BodyRejected) as rejected:
        await attacker
    assert rejected.value.status == 503


async def test_bodies_of_one_network_may_occupy_only_their_share() -> None:
    reader = BodyReader(max_memory=1_000_000, max_memory_per_network=100_000)
    with pytest.raises(BodyRejected):
        async with reader.read(whole(b"y" * 100_001), 100_001, networks=networks_of("93.184.216.34")):  # type: ignore[arg-type]
            pass
    async with reader.read(whole(b"y" * 100_001), 100_001, networks=networks_of("127.0.0.1")) as body:  # type: ignore[arg-type]
        assert len(body) == 100_001


async def test_a_body_that_stalls_is_rejected_although_it_was_fast_before() -> None:
    reader = BodyReader(timeout=0.05, rate=1)
    pieces = [b"x" * 100_000]

    async def receive() -> object:
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.pop(), "more_body": True}

    async with asyncio.timeout(30):
        with pytest.raises(BodyRejected) as rejected:
            async with reader.read(receive, 200_000):  # type: ignore[arg-type]
                pass
    assert rejected.value.status == 408


def whole(body: bytes) -> object:
    """A `receive` that returns the body as one message."""

    async def receive() -> object:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
