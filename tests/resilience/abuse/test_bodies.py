"""Bodies that are costly to receive or to check."""

import asyncio
import json
from contextlib import suppress

import httpx

from contracts.identity import SESSION_COOKIE
from tests.resilience.fuzz.market import market
from tests.resilience.fuzz.test_requests import port_of
from tests.support.stack import Stack

BIG = 5_700_000


async def test_a_body_with_100_000_unknown_fields_costs_nothing(stack: Stack) -> None:
    body = json.dumps({f"f{number}": 1 for number in range(100_000)}).encode()
    headers = {"Content-Type": "application/json"}
    for url in (stack.web, stack.settings.url_of("auth")):
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            answer = await client.post("/api/users/signin", content=body, headers=headers)
    assert (answer.status_code, len(answer.content) < 1_000) == (413, True)


async def test_the_errors_of_a_small_body_with_many_unknown_fields_are_few(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.settings.url_of("auth"), timeout=60) as client:
        answer = await client.post("/api/users/signin", json={f"{number}": 1 for number in range(1_300)})
    assert (answer.status_code, len(answer.content) < 10_000) == (400, True)


async def test_a_form_with_millions_of_fields_is_refused_before_it_is_parsed(stack: Stack) -> None:
    """Signed in, because the form of an anonymous visitor isn't even read."""

    def submit() -> int:
        with market(stack.web) as people:
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "Sec-Fetch-Site": "same-origin",
                "Cookie": f"{SESSION_COOKIE}={people.token}",
            }
            body = b"a&" * (BIG // 2)
            return httpx.post(f"{stack.web}/sell", content=body, headers=headers, timeout=60).status_code

    assert await asyncio.to_thread(submit) == 413


async def test_unfinished_bodies_do_not_keep_others_from_uploading(stack: Stack) -> None:
    """Nine signed-in senders stop just before the end of their bodies of 5.7 MB."""

    def sign_up() -> str:
        with market(stack.web) as people:
            return people.token

    token = await asyncio.to_thread(sign_up)
    senders = [await unfinished(stack, token) for _ in range(9)]
    try:
        for size in (20_000, 1_000_000):
            answer = await asyncio.to_thread(upload, stack, token, size)
            assert answer.status_code == 422, answer.text[:300]  # it was read: the form lacks a title
    finally:
        for sender in senders:
            sender.transport.abort()


async def unfinished(stack: Stack, token: str) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port_of(stack.web))
    writer.write(
        f"POST /sell HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        f"Sec-Fetch-Site: same-origin\r\nCookie: {SESSION_COOKIE}={token}\r\n"
        f"Content-Length: {BIG}\r\n\r\n".encode()
        + b"x" * (BIG - 10)
    )
    with suppress(TimeoutError, ConnectionError):  # the server may have rejected the body
        async with asyncio.timeout(2):
            await writer.drain()
    return writer


def upload(stack: Stack, token: str, size: int) -> httpx.Response:
    return httpx.post(
        f"{stack.web}/sell",
        files={"picture": ("a.jpg", b"x" * size, "image/jpeg")},
        headers={"Sec-Fetch-Site": "same-origin", "Cookie": f"{SESSION_COOKIE}={token}"},
        timeout=60,
    )
