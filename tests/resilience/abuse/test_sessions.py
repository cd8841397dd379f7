"""A session ends when it should, and only its user's browser can use it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic

import httpx
import jwt
import pytest
import pytest_asyncio

from contracts.identity import SESSION_COOKIE, Identity
from contracts.wire import now
from kit.tokens import Signer
from services.auth.keys import private_key
from settings import ServiceName
from tests.support.people import PASSWORD, Person, signed_up
from tests.support.polling import TIMEOUT, until
from tests.support.stack import Stack, stagedoor

IDLE_SECONDS = 3


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("sessions") / "data"
    async with stagedoor(folder, variants=False, SESSION_IDLE_SECONDS=str(IDLE_SECONDS)) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def ann(stack: Stack) -> AsyncIterator[Person]:
    async with signed_up(stack.web, 1) as (ann,):
        yield ann


def token_of(person: Person) -> str:
    return person.client.headers["Authorization"].removeprefix("Bearer ")


async def statuses(stack: Stack, token: str) -> list[int]:
    """The statuses with which each service answers a request that needs a user."""
    headers = {"Authorization": f"Bearer {token}"}
    places: list[tuple[ServiceName, str]] = [
        ("tickets", "/api/tickets/mine"),
        ("orders", "/api/orders"),
        ("payments", f"/api/payments?orderId={'0' * 24}"),
    ]
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        return [
            (await http.get(stack.settings.url_of(service) + path, headers=headers)).status_code
            for service, path in places
        ]


async def seconds_until_the_stream_ends(web: str, query: str, token: str) -> float:
    """How long a stream of live updates stays open."""
    headers = {"Cookie": f"{SESSION_COOKIE}={token}", "Sec-Fetch-Mode": "cors"}
    async with (
        httpx.AsyncClient(base_url=web, timeout=TIMEOUT) as http,
        http.stream("GET", f"/live?{query}", headers=headers) as stream,
    ):
        assert stream.status_code == 200
        opened_at = monotonic()
        async with asyncio.timeout(TIMEOUT):
            async for _ in stream.aiter_lines():
                pass
        return monotonic() - opened_at


@pytest.mark.parametrize("path", ["/signin", "/api/users/signin"])
async def test_the_previous_session_of_a_browser_ends_everywhere(
    stack: Stack, ann: Person, path: str
) -> None:
    previous = token_of(ann)
    assert await statuses(stack, previous) == [200] * 3
    account = {"email": ann.email, "password": PASSWORD}
    headers = {"Cookie": f"{SESSION_COOKIE}={previous}", "Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(base_url=stack.web, timeout=TIMEOUT) as browser:
        body = {"data": account} if path == "/signin" else {"json": account}
        answer = await browser.post(path, headers=headers, **body)  # type: ignore[arg-type]
    assert answer.status_code in {200, 303}
    await until(lambda: statuses(stack, previous), lambda found: found == [401] * 3)
    assert await statuses(stack, answer.cookies[SESSION_COOKIE]) == [200] * 3


async def test_an_idle_session_ends_everywhere_and_an_active_one_goes_on(stack: Stack) -> None:
    began = monotonic()
    async with signed_up(stack.web, 2) as (idle, active):
        idle_ends = asyncio.create_task(seconds_until_the_stream_ends(stack.web, "seller=me", token_of(idle)))
        while not idle_ends.done():
            assert await statuses(stack, token_of(active)) == [200] * 3
            await asyncio.wait({idle_ends}, timeout=0.2)
        await idle_ends
        assert monotonic() - began >= IDLE_SECONDS
        await until(lambda: statuses(stack, token_of(idle)), lambda found: found == [401] * 3)
        assert await statuses(stack, token_of(active)) == [200] * 3


async def test_a_stream_of_live_updates_ends_with_its_token(stack: Stack, ann: Person) -> None:
    claims = jwt.decode(token_of(ann), options={"verify_signature": False})
    identity = Identity(id=claims["sub"], email=claims["email"], session_id=claims["sid"])
    brief = Signer(private_key(stack.settings)).sign(identity, now() + timedelta(seconds=4))
    assert await seconds_until_the_stream_ends(stack.web, "seller=me", brief) < 40


async def test_another_site_cannot_sign_a_user_out_or_extend_a_reservation(stack: Stack, ann: Person) -> None:
    cookie = {"Cookie": f"{SESSION_COOKIE}={token_of(ann)}"}
    ways = [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ]
    extend = f"/api/orders/{'0' * 24}/extend"
    targets = [
        *(
            stack.web + path
            for path in ("/signout", "/account/signout", "/api/users/signout-everywhere", extend)
        ),
        stack.settings.url_of("auth") + "/api/users/signout-everywhere",
        stack.settings.url_of("orders") + extend,
    ]
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        for target in targets:
            for headers in ways:
                answer = await http.post(target, headers={**cookie, **headers})
                assert answer.status_code == 403, (target, headers)
    assert await statuses(stack, token_of(ann)) == [200] * 3


async def test_no_cache_may_store_what_depends_on_the_user(stack: Stack, ann: Person) -> None:
    ticket = await ann.lists_ticket()
    paths = ["/api/users/currentuser", "/api/tickets/mine", "/api/tickets/mine/summary", "/api/orders"]
    paths += [
        f"/api/tickets/{ticket['id']}",
        f"/tickets/{ticket['id']}",
        "/orders",
        "/listings",
        "/account",
        "/sell",
    ]
    headers = {"Cookie": f"{SESSION_COOKIE}={token_of(ann)}"}
    async with httpx.AsyncClient(base_url=stack.web, timeout=TIMEOUT) as browser:
        for path in paths:
            answer = await browser.get(path, headers=headers)
            assert answer.status_code == 200, path
            assert "no-store" in answer.headers["cache-control"], path
        shared = await browser.get(f"/api/tickets/{ticket['id']}")
        assert "Cookie, Authorization" in shared.headers["vary"]
