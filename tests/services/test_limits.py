import asyncio
import time
from datetime import UTC, datetime

import pytest

from services.kit import limits
from tests.services.conftest import SettingsWith
from tests.services.served import Served, messages, new_id, old_id, serving

WRONG = {"email": "ann@example.com", "password": "wrong horse"}


class Clock:
    """Ten seconds into a minute, until somebody turns it on."""

    def __init__(self) -> None:
        self.at = time.time() // 60 * 60 + 10

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "now", clock.now)
    return clock


async def statuses(auth: Served, times: int, forwarded: str | None = None) -> list[int]:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    asked = [auth.ask("POST", "/api/users/signin", json=WRONG, headers=headers) for _ in range(times)]
    return sorted(answer.status_code for answer in await asyncio.gather(*asked))


async def test_sign_ins_of_one_address_are_limited_by_the_minute(
    settings_with: SettingsWith, clock: Clock
) -> None:
    async with serving("auth", settings_with(rate_sign_in=3)) as auth:
        assert await statuses(auth, 3) == [401, 401, 401]
        refused = await auth.ask("POST", "/api/users/signin", json=WRONG)
        assert messages(refused, 429) == ["Too many requests. Try again in a moment"]
        assert refused.headers["retry-after"] == "51"
        clock.at += 51
        assert await statuses(auth, 4) == [401, 401, 401, 429]


async def test_requests_at_once_get_no_more_than_requests_in_turn(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=5)) as auth:
        assert await statuses(auth, 20) == [401] * 5 + [429] * 15


async def test_copies_of_a_service_count_together(settings_with: SettingsWith) -> None:
    conf = settings_with(rate_sign_in=3)
    async with serving("auth", conf) as one:
        assert await statuses(one, 2) == [401, 401]
    async with serving("auth", conf, fresh=False) as another:
        assert await statuses(another, 2) == [401, 429]


async def test_zero_turns_a_limit_off(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=0)) as auth:
        assert await statuses(auth, 30) == [401] * 30
        assert await auth.database["rate_counters"].count_documents({}) == 0


async def test_each_kind_of_request_has_its_own_limit(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1, rate_sign_up=1)) as auth:
        assert await statuses(auth, 1) == [401]
        user = {"email": "ann@example.com", "password": "correct horse"}
        assert (await auth.ask("POST", "/api/users/signup", json=user)).status_code == 201
        again = await auth.ask("POST", "/api/users/signup", json={**user, "email": "bob@example.com"})
        assert messages(again, 429)


async def test_an_address_that_a_stranger_claims_is_not_believed(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1), address="203.0.113.7") as auth:
        assert await statuses(auth, 1, "198.51.100.1") == [401]
        assert await statuses(auth, 1, "198.51.100.2") == [429]


async def test_an_address_that_a_trusted_proxy_tells_is_believed(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1), address="127.0.0.1") as auth:
        assert await statuses(auth, 1, "198.51.100.1") == [401]
        assert await statuses(auth, 1, "198.51.100.2") == [401]
        assert await statuses(auth, 1, "198.51.100.1") == [429]


async def test_what_stands_left_of_a_proxys_own_word_is_not_believed(settings_with: SettingsWith) -> None:
    conf = settings_with(rate_sign_in=1, trusted_proxies="127.0.0.0/8, 10.0.0.0/8")
    async with serving("auth", conf, address="127.0.0.1") as auth:
        assert await statuses(auth, 1, "192.0.2.1, 198.51.100.1, 10.1.2.3") == [401]
        assert await statuses(auth, 1, "192.0.2.2, 198.51.100.1") == [429]
        assert await statuses(auth, 1, "192.0.2.1, no address") == [401]


async def test_reservations_are_limited_by_user(settings_with: SettingsWith) -> None:
    async with serving("orders", settings_with(rate_reserve=2)) as orders:
        ann, bob = new_id(), new_id()
        body = {"ticketId": old_id()}
        for expected in (404, 404, 429):
            answer = await orders.ask("POST", "/api/orders", by=ann, json=body)
            assert messages(answer, expected)
        assert int(answer.headers["retry-after"]) > 0
        assert (await orders.ask("POST", "/api/orders", by=bob, json=body)).status_code == 404


async def test_payments_are_limited_by_user(settings_with: SettingsWith) -> None:
    async with serving("payments", settings_with(rate_pay=2)) as payments:
        ann, bob = new_id(), new_id()
        body = {"orderId": old_id()}
        for expected in (404, 404, 429):
            answer = await payments.ask("POST", "/api/payments", by=ann, json=body)
            assert messages(answer, expected)
        assert (await payments.ask("POST", "/api/payments", by=bob, json=body)).status_code == 404
