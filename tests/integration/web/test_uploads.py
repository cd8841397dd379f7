"""Large bodies are accepted only for pictures, from signed-in users and pages of this site."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext

import pytest

from contracts.api import User
from contracts.tickets import MAX_PICTURE_BYTES
from kit.networks import networks_of
from settings import Settings
from tests.integration.web.asgi_client import ask
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market
from web.admission.request_body import MAX_LISTING_FORM_BYTES, BodyReader, BodyRejected
from web.app import body_reader

MULTIPART = {"content_type": "multipart/form-data; boundary=x"}
FORM = {"content_type": "application/x-www-form-urlencoded"}
DEFAULTS = Settings(_env_file=None)


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
    page = await client.http.post(f"/tickets/{ticket.id}/picture", files=files)
    assert (page.status_code, page.headers["location"].partition("?")[0]) == (303, "/signin")
    assert (await client.http.post("/sell", files=files)).status_code == 401
    answer = await client.http.put(f"/api/tickets/{ticket.id}/picture", content=b"x" * 1_000_000)
    assert answer.status_code == 401


async def test_a_picture_from_another_site_is_not_read(client: PageClient, buyer: User) -> None:
    files = {"picture": ("a.jpg", b"x" * 1_000_000, "image/jpeg")}
    answer = await client.http.post("/sell", files=files, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403


async def too_large() -> AsyncIterator[bytes]:
    """A body whose length isn't declared, so that only reading it shows how large it is."""
    for _ in range(MAX_LISTING_FORM_BYTES // 100_000 + 1):
        yield b"x" * 100_000


async def test_a_picture_that_nobody_may_send_is_discarded_however_large_it_is(
    client: PageClient, market: Market
) -> None:
    """If it were read, it would be refused with 413, like the seller's own."""
    seller, token = market.user("seller@example.com")
    ticket = market.ticket(seller)
    multipart = {"Content-Type": MULTIPART["content_type"]}
    requests = [
        ("POST", "/sell", multipart, 401),
        ("POST", f"/tickets/{ticket.id}/picture", multipart, 303),
        ("PUT", f"/api/tickets/{ticket.id}/picture", {}, 401),
    ]
    for method, path, headers, anonymous in requests:
        client.http.cookies.clear()
        answer = await client.http.request(method, path, content=too_large(), headers=headers)
        assert answer.status_code == anonymous, path
        client.sign_in_as(token)
        elsewhere = {**headers, "Sec-Fetch-Site": "cross-site"}
        answer = await client.http.request(method, path, content=too_large(), headers=elsewhere)
        assert answer.status_code == 403, path
        answer = await client.http.request(method, path, content=too_large(), headers=headers)
        assert answer.status_code == 413, path


async def test_a_picture_above_5_megabytes_is_refused_before_it_reaches_the_service(
    client: PageClient, market: Market
) -> None:
    seller, token = market.user("seller@example.com")
    ticket = market.ticket(seller)
    client.sign_in_as(token)
    market.seen.clear()
    path = f"/api/tickets/{ticket.id}/picture"
    answer = await client.http.put(path, content=b"x" * (MAX_PICTURE_BYTES + 1))
    assert answer.status_code == 413
    assert path not in {request.path for request in market.seen}
    await client.http.put(path, content=b"x" * MAX_PICTURE_BYTES)
    assert path in {request.path for request in market.seen}


async def test_a_webhook_above_256_kilobytes_is_refused(client: PageClient) -> None:
    for size, is_refused in ((262_144, False), (262_145, True)):
        answer = await client.http.post("/api/payments/webhook", content=b"x" * size)
        assert (answer.status_code == 413) is is_refused, size


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


async def test_the_body_that_has_waited_longest_for_its_next_part_makes_room() -> None:
    """Not the one that began first."""
    reader = BodyReader(max_memory=1_000_000)
    steady, stalled = Sender(), Sender()
    reading = [asyncio.create_task(sender.read_by(reader)) for sender in (steady, stalled)]
    for sender in (steady, stalled, steady):
        await sender.sends(300_000)
    async with reader.read(whole(b"y" * 300_000), 300_000) as body:  # type: ignore[arg-type]
        assert len(body) == 300_000
    done, pending = await asyncio.wait(reading, timeout=30, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    assert done == {reading[1]}
    assert isinstance(reading[1].exception(), BodyRejected)


async def test_a_body_that_is_in_use_keeps_its_memory() -> None:
    reader = BodyReader(max_memory=1_000_000)
    async with reader.read(whole(b"x" * 900_000), 900_000):  # type: ignore[arg-type]
        with pytest.raises(BodyRejected):
            async with reader.read(whole(b"y" * 500_000), 500_000):  # type: ignore[arg-type]
                pass
    async with reader.read(whole(b"y" * 500_000), 500_000) as body:  # type: ignore[arg-type]
        assert len(body) == 500_000


@pytest.mark.parametrize("setting", ["body_memory_mb", "body_memory_mb_per_network"])
async def test_the_memory_for_bodies_is_a_setting(setting: str) -> None:
    networks = networks_of("93.184.216.34")
    for megabytes, is_refused in ((1, True), (2, False)):
        reader = body_reader(DEFAULTS.model_copy(update={setting: megabytes}))
        with pytest.raises(BodyRejected) if is_refused else nullcontext():
            async with reader.read(whole(b"x" * 1_000_001), None, networks=networks):  # type: ignore[arg-type]
                pass


@pytest.mark.parametrize("rate", [None, 10**9])
async def test_the_time_for_a_body_is_a_setting(rate: int | None) -> None:
    """The body stops, or keeps arriving, but more slowly than the minimum rate."""

    async def receive() -> object:
        await (asyncio.sleep(0) if rate else asyncio.Event().wait())
        return {"type": "http.request", "body": b"x", "more_body": True}

    limits = {"body_timeout_seconds": 0.05, **({"min_body_rate": rate} if rate else {})}
    async with asyncio.timeout(8):  # less than the default
        with pytest.raises(BodyRejected) as rejected:
            async with body_reader(DEFAULTS.model_copy(update=limits)).read(receive, None):  # type: ignore[arg-type]
                pass
    assert rejected.value.status == 408


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


class Sender:
    """A client that sends the parts of a body one by one."""

    def __init__(self) -> None:
        self._parts: asyncio.Queue[object] = asyncio.Queue()

    async def sends(self, size: int) -> None:
        """Send a part, and return when it has been read."""
        await self._parts.put({"type": "http.request", "body": b"x" * size, "more_body": True})
        await self._parts.join()

    async def read_by(self, reader: BodyReader) -> None:
        is_reading = False

        async def receive() -> object:
            nonlocal is_reading
            if is_reading:
                self._parts.task_done()
            part = await self._parts.get()
            is_reading = True
            return part

        async with reader.read(receive, None):  # type: ignore[arg-type]
            raise AssertionError("the body is never complete")
