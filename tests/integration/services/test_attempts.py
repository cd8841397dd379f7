"""Failed sign-ins delay further ones with the same account, without locking out its owner."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
import pytest_asyncio

from contracts.wire import now
from kit import rate_limits
from kit.client_address import CLIENT, Vouching
from services.auth import documents
from services.auth.documents import Failures
from services.auth.passwords import Passwords
from tests.support.service import Served, SettingsWith, messages, serving

ANN = {"email": "ann@example.com", "password": "correct horse"}
WRONG = {**ANN, "password": "wrong horse"}
UNKNOWN = {**WRONG, "email": "bob@example.com"}


class Clock:
    """A clock that a test can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return now() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(documents, "now", clock.now)
    monkeypatch.setattr(rate_limits, "now", clock.now)
    return clock


@pytest_asyncio.fixture(loop_scope="session")
async def auth(settings_with: SettingsWith) -> AsyncIterator[Served]:
    conf = settings_with(
        rate_sign_in=0, max_failed_sign_ins=3, max_failures_per_network=6, alarm_failed_sign_ins=4
    )
    async with serving("auth", conf) as auth:
        await auth.ask("POST", "/api/users/signup", json=ANN)
        auth.http.cookies.clear()
        yield auth


async def sign_in(auth: Served, credentials: dict[str, str], address: str | None = None) -> int:
    headers = {CLIENT: Vouching(auth.app.state.settings).sign(address)} if address else {}
    answer = await auth.ask("POST", "/api/users/signin", json=credentials, headers=headers)
    return answer.status_code


async def statuses(auth: Served, credentials: dict[str, str], times: int) -> list[int]:
    return [await sign_in(auth, credentials) for _ in range(times)]


@pytest.mark.parametrize("credentials", [WRONG, UNKNOWN], ids=["known account", "unknown account"])
async def test_after_some_failures_each_further_attempt_has_to_wait_longer(
    auth: Served, clock: Clock, credentials: dict[str, str]
) -> None:
    assert await statuses(auth, credentials, 4) == [401, 401, 401, 429]
    for delay in (1, 2, 4, 8):
        refused = await auth.ask("POST", "/api/users/signin", json=credentials)
        unit = "seconds"
        assert messages(refused, 429) == [f"There were too many failed attempts. Try again in {delay} {unit}"]
        assert refused.headers["retry-after"] == str(delay)
        clock.ahead += timedelta(seconds=delay)
        assert await statuses(auth, credentials, 2) == [401, 429]


async def test_a_delayed_attempt_is_rejected_without_hashing_the_password(
    auth: Served, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await statuses(auth, WRONG, 3)
    monkeypatch.delattr(Passwords, "match")
    assert await statuses(auth, WRONG, 1) == [429]


async def test_the_right_password_ends_the_delays(auth: Served, clock: Clock) -> None:
    assert await statuses(auth, WRONG, 3) == [401] * 3
    clock.ahead += timedelta(seconds=1)
    assert await sign_in(auth, ANN) == 200
    auth.http.cookies.clear()
    assert await statuses(auth, WRONG, 4) == [401, 401, 401, 429]


async def test_failures_are_forgotten_after_a_day(auth: Served, clock: Clock) -> None:
    await statuses(auth, WRONG, 3)
    clock.ahead += timedelta(days=1)
    assert await statuses(auth, WRONG, 4) == [401, 401, 401, 429]


async def test_attempts_with_another_account_are_not_delayed(auth: Served, clock: Clock) -> None:
    assert await statuses(auth, UNKNOWN, 4) == [401, 401, 401, 429]
    assert await sign_in(auth, ANN) == 200


async def test_the_owner_can_sign_in_on_a_known_device_during_an_attack(auth: Served, clock: Clock) -> None:
    assert await sign_in(auth, ANN) == 200
    device = auth.http.cookies["device"]
    auth.http.cookies.clear()
    assert await statuses(auth, WRONG, 4) == [401, 401, 401, 429]
    assert await sign_in(auth, ANN) == 429
    auth.http.cookies.set("device", device)
    assert await sign_in(auth, ANN) == 200


async def test_a_device_has_to_wait_after_its_own_failures(auth: Served, clock: Clock) -> None:
    assert await sign_in(auth, ANN) == 200
    assert await statuses(auth, WRONG, 4) == [401, 401, 401, 429]
    auth.http.cookies.clear()
    assert await sign_in(auth, ANN) == 200


async def test_the_device_of_another_user_does_not_help_to_guess(auth: Served, clock: Clock) -> None:
    assert (await auth.ask("POST", "/api/users/signup", json={**ANN, "email": "eve@example.com"})).is_success
    assert auth.http.cookies["device"]
    assert await statuses(auth, WRONG, 4) == [401, 401, 401, 429]
    auth.http.cookies.clear()
    assert await sign_in(auth, ANN) == 429


async def test_concurrent_attempts_cannot_exceed_the_limit(auth: Served, clock: Clock) -> None:
    assert sorted(await concurrent_attempts(auth)) == [401] * 3 + [429] * 9


async def test_control_without_the_guard_concurrent_attempts_exceed_the_limit(
    auth: Served, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def replace_always(found: Failures | None, changed: Failures) -> bool:
        await Failures.get_pymongo_collection().replace_one(
            {"_id": changed.id}, changed.model_dump(exclude={"id"}), upsert=True
        )
        return True

    monkeypatch.setattr(Failures, "_replace", replace_always)
    assert (await concurrent_attempts(auth)).count(401) > 3


async def concurrent_attempts(auth: Served) -> list[int]:
    return await asyncio.gather(*(sign_in(auth, WRONG) for _ in range(12)))


async def test_guessing_the_current_password_of_a_session_is_delayed_too(auth: Served, clock: Clock) -> None:
    assert await sign_in(auth, ANN) == 200
    change = {"currentPassword": "wrong horse", "newPassword": "battery staple"}
    answers = [await auth.ask("POST", "/api/users/password", json=change) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429]
    assert await sign_in(auth, ANN) == 200


async def test_failures_with_many_accounts_are_limited_per_network_and_hour(
    auth: Served, clock: Clock
) -> None:
    guesses = [{**WRONG, "email": f"user{number}@example.com"} for number in range(8)]
    found = [await sign_in(auth, guess, f"2600:1::{number}") for number, guess in enumerate(guesses)]
    assert found == [401] * 6 + [429] * 2
    assert await sign_in(auth, ANN, "2600:1::9") == 429
    assert await sign_in(auth, ANN, "2600:2::1") == 200
    clock.ahead += timedelta(hours=1)
    assert await sign_in(auth, ANN, "2600:1::9") == 200


async def test_successful_sign_ins_of_a_network_are_not_counted(auth: Served, clock: Clock) -> None:
    assert [await sign_in(auth, ANN, "8.8.8.8") for _ in range(8)] == [200] * 8


async def test_loopback_has_no_limit_per_network(auth: Served, clock: Clock) -> None:
    guesses = [{**WRONG, "email": f"user{number}@example.com"} for number in range(8)]
    assert [await sign_in(auth, guess) for guess in guesses] == [401] * 8


async def test_an_alarm_is_raised_once_a_minute_if_there_are_too_many_failures(
    auth: Served, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    guesses = [{**WRONG, "email": f"user{number}@example.com"} for number in range(8)]
    with caplog.at_level(logging.ERROR, logger="kit.alerts"):
        await asyncio.gather(*(sign_in(auth, guess) for guess in guesses))
    assert [record.getMessage() for record in caplog.records if record.name == "kit.alerts"] == [
        "more than 4 failed sign-ins within a minute"
    ]


async def test_instances_share_the_failures(settings_with: SettingsWith) -> None:
    conf = settings_with(rate_sign_in=0, max_failed_sign_ins=2)
    async with serving("auth", conf) as first:
        assert await statuses(first, WRONG, 1) == [401]
    async with serving("auth", conf, fresh=False) as second:
        assert await statuses(second, WRONG, 2) == [401, 429]


async def test_a_limit_of_zero_disables_the_delays(settings_with: SettingsWith) -> None:
    conf = settings_with(
        rate_sign_in=0, max_failed_sign_ins=0, max_failures_per_network=0, alarm_failed_sign_ins=0
    )
    async with serving("auth", conf) as auth:
        assert await statuses(auth, WRONG, 12) == [401] * 12
        assert await auth.database["failures"].count_documents({}) == 0
        assert await auth.database["rate_counters"].count_documents({}) == 0
