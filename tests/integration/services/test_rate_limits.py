"""Rate limits per address and per user."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from kit import rate_limits
from tests.support.service import Served, SettingsWith, messages, new_id, old_id, serving

WRONG = {"email": "ann@example.com", "password": "wrong horse"}


class Clock:
    """A clock that shows ten seconds past a minute until a test changes `at`."""

    def __init__(self) -> None:
        self.at = time.time() // 60 * 60 + 10

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rate_limits, "now", clock.now)
    return clock


async def sign_in_statuses(auth: Served, times: int, forwarded: str | None = None) -> list[int]:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    requests = [auth.ask("POST", "/api/users/signin", json=WRONG, headers=headers) for _ in range(times)]
    return sorted(answer.status_code for answer in await asyncio.gather(*requests))


async def test_sign_ins_are_limited_per_address_and_minute(settings_with: SettingsWith, clock: Clock) -> None:
    async with serving("auth", settings_with(rate_sign_in=3)) as auth:
        assert await sign_in_statuses(auth, 3) == [401, 401, 401]
        refused = await auth.ask("POST", "/api/users/signin", json=WRONG)
        assert messages(refused, 429) == ["Too many requests. Try again in a moment"]
        assert refused.headers["retry-after"] == "51"
        clock.at += 51
        assert await sign_in_statuses(auth, 4) == [401, 401, 401, 429]


async def test_concurrent_requests_cannot_exceed_the_limit(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=5)) as auth:
        assert await sign_in_statuses(auth, 20) == [401] * 5 + [429] * 15


async def test_instances_of_a_service_share_their_counters(settings_with: SettingsWith) -> None:
    conf = settings_with(rate_sign_in=3)
    async with serving("auth", conf) as first:
        assert await sign_in_statuses(first, 2) == [401, 401]
    async with serving("auth", conf, fresh=False) as second:
        assert await sign_in_statuses(second, 2) == [401, 429]


async def test_a_limit_of_zero_disables_the_rate_limit(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=0)) as auth:
        assert await sign_in_statuses(auth, 30) == [401] * 30
        assert await auth.database["rate_counters"].count_documents({}) == 0


async def test_each_kind_of_request_has_its_own_limit(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1, rate_sign_up=1)) as auth:
        assert await sign_in_statuses(auth, 1) == [401]
        user = {"email": "ann@example.com", "password": "correct horse"}
        assert (await auth.ask("POST", "/api/users/signup", json=user)).status_code == 201
        again = await auth.ask("POST", "/api/users/signup", json={**user, "email": "bob@example.com"})
        assert messages(again, 429)


async def test_a_forwarded_address_from_an_untrusted_client_is_ignored(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1), address="203.0.113.7") as auth:
        assert await sign_in_statuses(auth, 1, "198.51.100.1") == [401]
        assert await sign_in_statuses(auth, 1, "198.51.100.2") == [429]


async def test_a_forwarded_address_from_a_trusted_proxy_is_used(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1), address="127.0.0.1") as auth:
        assert await sign_in_statuses(auth, 1, "198.51.100.1") == [401]
        assert await sign_in_statuses(auth, 1, "198.51.100.2") == [401]
        assert await sign_in_statuses(auth, 1, "198.51.100.1") == [429]


async def test_addresses_before_the_address_that_a_trusted_proxy_added_are_ignored(
    settings_with: SettingsWith,
) -> None:
    conf = settings_with(rate_sign_in=1, trusted_proxies="127.0.0.0/8, 10.0.0.0/8")
    async with serving("auth", conf, address="127.0.0.1") as auth:
        assert await sign_in_statuses(auth, 1, "192.0.2.1, 198.51.100.1, 10.1.2.3") == [401]
        assert await sign_in_statuses(auth, 1, "192.0.2.2, 198.51.100.1") == [429]
        assert await sign_in_statuses(auth, 1, "192.0.2.1, no address") == [401]


async def test_reservations_are_limited_per_user(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with(rate_reserve=2)) as orders:
        ann, bob = new_id(), new_id()
        body = {"ticketId": old_id()}
        for expected in (404, 404, 429):
            answer = await orders.ask("POST", "/api/orders", by=ann, json=body)
            assert messages(answer, expected)
        assert int(answer.headers["retry-after"]) > 0
        assert (await orders.ask("POST", "/api/orders", by=bob, json=body)).status_code == 404


async def test_payments_are_limited_per_user(settings_with: SettingsWith) -> None:
    async with serving("payments", settings_with(rate_pay=2)) as payments:
        ann, bob = new_id(), new_id()
        body = {"orderId": old_id()}
        for expected in (404, 404, 429):
            answer = await payments.ask("POST", "/api/payments", by=ann, json=body)
            assert messages(answer, expected)
        assert (await payments.ask("POST", "/api/payments", by=bob, json=body)).status_code == 404


async def test_a_request_above_its_limit_is_refused_before_its_body_is_parsed(
    settings_with: SettingsWith,
) -> None:
    async with serving("payments", settings_with(rate_pay=1)) as payments:
        ann = new_id()
        for expected in (400, 429):
            answer = await payments.ask(
                "POST",
                "/api/payments",
                by=ann,
                content=b"not json",
                headers={"Content-Type": "application/json"},
            )
            assert messages(answer, expected)
