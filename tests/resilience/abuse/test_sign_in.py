"""Floods of sign-ins from one network, and guessing the password of one account from many networks."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import pytest_asyncio

from tests.support.people import PASSWORD
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor

Address = Callable[[], str]

VISITS = 6
WARM_UP = 30
"""Attempts before the measurement, more than one subscriber may make in a minute."""
SLOWER = 10
"""How many times longer than without a flood a sign-in may take."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A marketplace with the usual limits of sign-ins and the usual password hash."""
    limits = {
        "RATE_SIGN_IN": "20",
        "RATE_SIGN_UP": "10",
        "MAX_FAILED_SIGN_INS": "5",
        "MAX_FAILURES_PER_NETWORK": "100",
        "ALARM_FAILED_SIGN_INS": "10",
    }
    folder = tmp_path_factory.mktemp("guarded")
    async with stagedoor(folder, variants=False, fast_passwords=False, **limits) as stack:
        yield stack


def random_address_of_one_subscriber() -> str:
    return f"2600:1:2:3:{secrets.randbits(16):x}:{secrets.randbits(16):x}::1"


def random_address_of_one_site() -> str:
    return f"2600:1:9:{secrets.randbits(16):x}::1"


def one_address() -> str:
    return "8.8.4.4"


async def _seconds_to_sign_in(visitor: "Visitor", times: int) -> float:
    """How long it takes on average."""
    began = time.monotonic()
    assert [await visitor.sign_in() for _ in range(times)] == [200] * times
    return (time.monotonic() - began) / times


def _length_of(statuses: list[int]) -> Callable[[], Awaitable[int]]:
    async def length() -> int:
        return len(statuses)

    return length


class Visitor:
    """Somebody with a network and a browser of their own."""

    def __init__(self, web: str) -> None:
        self.account = {"email": f"{secrets.token_hex(8)}@example.com", "password": PASSWORD}
        self.http = httpx.AsyncClient(
            base_url=web, timeout=60, headers={"X-Forwarded-For": f"2600:2:{secrets.randbits(16):x}::1"}
        )

    async def sign_up(self) -> None:
        answer = await self.http.post("/api/users/signup", json=self.account)
        assert answer.status_code == 201, answer.text

    async def sign_in(self, **changes: str) -> int:
        return (await self.http.post("/api/users/signin", json={**self.account, **changes})).status_code


@asynccontextmanager
async def visitor(web: str) -> AsyncIterator[Visitor]:
    found = Visitor(web)
    async with found.http:
        await found.sign_up()
        yield found


@asynccontextmanager
async def flood(web: str, address: Address, connections: int, per_second: float) -> AsyncIterator[list[int]]:
    """Wrong sign-ins within the block. Yields their statuses."""
    statuses: list[int] = []
    limits = httpx.Limits(max_connections=connections)

    async def attack(http: httpx.AsyncClient) -> None:
        while True:
            guess = {"email": f"{secrets.token_hex(8)}@example.com", "password": "wrong horse"}
            headers = {"X-Forwarded-For": address()}
            with suppress(httpx.HTTPError):
                answer = await http.post("/api/users/signin", json=guess, headers=headers)
                statuses.append(answer.status_code)
            await asyncio.sleep(connections / per_second)

    async with httpx.AsyncClient(base_url=web, timeout=60, limits=limits) as http:
        attackers = [asyncio.create_task(attack(http)) for _ in range(connections)]
        try:
            yield statuses
        finally:
            for attacker in attackers:
                attacker.cancel()
            await asyncio.gather(*attackers, return_exceptions=True)


@pytest.mark.parametrize(
    ("address", "connections", "per_second"),
    [
        (random_address_of_one_subscriber, 48, 100),
        (random_address_of_one_site, 48, 100),
        (one_address, 48, 100),
    ],
    ids=["one IPv6 subscriber", "one IPv6 site", "one address"],
)
async def test_a_flood_of_sign_ins_from_one_network_does_not_keep_others_from_signing_in(
    guarded: Stack, address: Address, connections: int, per_second: float
) -> None:
    async with visitor(guarded.web) as ann:
        calm = await _seconds_to_sign_in(ann, times=2)
        async with flood(guarded.web, address, connections, per_second) as attacks:
            await until(_length_of(attacks), lambda length: length > WARM_UP, seconds=60)
            assert await _seconds_to_sign_in(ann, times=VISITS) < SLOWER * calm


async def test_guessing_the_password_of_one_account_from_many_networks_is_slow(guarded: Stack) -> None:
    async with visitor(guarded.web) as ann, httpx.AsyncClient(base_url=guarded.web, timeout=60) as attacker:

        async def guess(number: int) -> int:
            body = {"email": ann.account["email"], "password": f"wrong horse {number}"}
            headers = {"X-Forwarded-For": f"9.9.{number}.1"}
            return (await attacker.post("/api/users/signin", json=body, headers=headers)).status_code

        statuses = [await guess(number) for number in range(30)]
        assert statuses[:5] == [401] * 5
        assert statuses.count(401) < 15, "each further guess has to wait longer"
        assert await ann.sign_in() == 200, "the owner's browser is known"


async def test_guesses_sent_at_the_same_time_are_limited_as_well(guarded: Stack) -> None:
    async with visitor(guarded.web) as ann, httpx.AsyncClient(base_url=guarded.web, timeout=60) as attacker:

        async def guess(number: int) -> int:
            body = {"email": ann.account["email"], "password": f"wrong horse {number}"}
            headers = {"X-Forwarded-For": f"9.10.{number}.1"}
            return (await attacker.post("/signin", data=body, headers=headers)).status_code

        statuses = await asyncio.gather(*(guess(number) for number in range(20)))
        assert statuses.count(422) <= 10, "those with a wrong password, which were compared"


async def test_guessing_the_passwords_of_many_accounts_raises_an_alarm(guarded: Stack) -> None:
    async with httpx.AsyncClient(base_url=guarded.web, timeout=60) as attacker:
        for number in range(200):
            body = {"email": f"{secrets.token_hex(8)}@example.com", "password": "wrong horse"}
            headers = {"X-Forwarded-For": f"9.11.{number}.1"}
            await attacker.post("/api/users/signin", json=body, headers=headers)
            if "failed sign-ins within a minute" in guarded.log_of("auth"):
                return
    raise AssertionError("no alarm")
