"""Rate limits per network and per user."""

import asyncio
import time
from datetime import UTC, datetime

import pytest

from kit import network_counts, rate_limits
from kit.client_address import CLIENT
from kit.networks import WIDE_FACTOR
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


async def sign_in_statuses(auth: Served, times: int, client: str | None = "9.9.9.9") -> list[int]:
    """The statuses of sign-ins of a client for whose address web vouches, or of the connection's peer."""
    headers = {CLIENT: auth.app.state.vouching.sign(client)} if client else {}
    requests = [auth.ask("POST", "/api/users/signin", json=WRONG, headers=headers) for _ in range(times)]
    return sorted(answer.status_code for answer in await asyncio.gather(*requests))


async def test_sign_ins_are_limited_per_network_and_minute(settings_with: SettingsWith, clock: Clock) -> None:
    async with serving("auth", settings_with(rate_sign_in=3, max_failed_sign_ins=0)) as auth:
        assert await sign_in_statuses(auth, 3) == [401, 401, 401]
        signed = {CLIENT: auth.app.state.vouching.sign("9.9.9.9")}
        refused = await auth.ask("POST", "/api/users/signin", json=WRONG, headers=signed)
        assert messages(refused, 429) == ["Too many requests. Try again in a moment"]
        assert refused.headers["retry-after"] == "51"
        clock.at += 51
        assert await sign_in_statuses(auth, 4) == [401, 401, 401, 429]


async def test_concurrent_requests_cannot_exceed_the_limit(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=5, max_failed_sign_ins=0)) as auth:
        assert await sign_in_statuses(auth, 20) == [401] * 5 + [429] * 15


async def test_instances_of_a_service_share_their_counters(settings_with: SettingsWith) -> None:
    conf = settings_with(rate_sign_in=3, max_failed_sign_ins=0)
    async with serving("auth", conf) as first:
        assert await sign_in_statuses(first, 2) == [401, 401]
    async with serving("auth", conf, fresh=False) as second:
        assert await sign_in_statuses(second, 2) == [401, 429]


async def test_a_limit_of_zero_disables_the_rate_limit(settings_with: SettingsWith) -> None:
    failures = {"max_failed_sign_ins": 0, "max_failures_per_network": 0, "alarm_failed_sign_ins": 0}
    async with serving("auth", settings_with(rate_sign_in=0, **failures)) as auth:
        assert await sign_in_statuses(auth, 30) == [401] * 30
        assert await auth.database["rate_counters"].count_documents({}) == 0


async def test_each_kind_of_request_has_its_own_limit(settings_with: SettingsWith) -> None:
    conf = settings_with(rate_sign_in=1, rate_sign_up=1)
    async with serving("auth", conf, address="9.9.9.9") as auth:
        assert await sign_in_statuses(auth, 1) == [401]
        user = {"email": "ann@example.com", "password": "correct horse"}
        assert (await auth.ask("POST", "/api/users/signup", json=user)).status_code == 201
        again = await auth.ask("POST", "/api/users/signup", json={**user, "email": "bob@example.com"})
        assert messages(again, 429)


async def test_clients_in_other_networks_have_their_own_limit(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1)) as auth:
        assert await sign_in_statuses(auth, 1, "9.9.9.1") == [401]
        assert await sign_in_statuses(auth, 1, "9.9.9.2") == [401]
        assert await sign_in_statuses(auth, 1, "9.9.9.1") == [429]


async def test_addresses_of_one_ipv6_network_share_a_limit(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1)) as auth:
        assert await sign_in_statuses(auth, 1, "2600:1:1:1::1") == [401]
        assert await sign_in_statuses(auth, 1, "2600:1:1:1:ffff::2") == [429]
        assert await sign_in_statuses(auth, 1, "2600:1:1:2::1") == [401]


@pytest.mark.parametrize("clients", ["9.9.9.{}", "2600:1:1:{}::1"])
async def test_a_wider_network_has_a_looser_limit(clients: str, settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1)) as auth:
        for number in range(1, WIDE_FACTOR + 1):
            assert await sign_in_statuses(auth, 1, clients.format(number)) == [401]
        assert await sign_in_statuses(auth, 1, clients.format(99)) == [429]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "fd00::1"])
async def test_clients_with_local_addresses_have_no_limit(address: str, settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_sign_in=1), address=address) as auth:
        assert await sign_in_statuses(auth, 3, client=None) == [401] * 3


async def test_a_service_takes_the_clients_address_from_web_only(settings_with: SettingsWith) -> None:
    forged = [f"9.9.9.{number} {'0' * 64}" for number in (1, 2)]
    async with serving("auth", settings_with(rate_sign_in=1), address="9.9.8.1") as auth:
        for headers in ({CLIENT: forged[0]}, {CLIENT: forged[1]}, {"X-Forwarded-For": "9.9.9.3"}):
            answer = await auth.ask("POST", "/api/users/signin", json=WRONG, headers=headers)
            assert answer.status_code == (401 if headers == {CLIENT: forged[0]} else 429)


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


TICKET = {"title": "Low Roar", "price": 19.99}


async def test_listings_are_limited_per_user(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(rate_list=2)) as tickets:
        ann, bob = new_id(), new_id()
        listings = [await tickets.ask("POST", "/api/tickets", by=ann, json=TICKET) for _ in range(3)]
        assert [answer.status_code for answer in listings] == [201, 201, 429]
        assert (await tickets.ask("POST", "/api/tickets", by=bob, json=TICKET)).status_code == 201


async def test_edits_and_withdrawals_are_counted_separately(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(rate_change=1)) as tickets:
        ann = new_id()
        made = (await tickets.ask("POST", "/api/tickets", by=ann, json=TICKET)).json()
        path = f"/api/tickets/{made['id']}"
        edits = [await tickets.ask("PUT", path, by=ann, json=TICKET) for _ in range(2)]
        assert [answer.status_code for answer in edits] == [200, 429]
        assert (await tickets.ask("DELETE", path, by=ann)).status_code == 204


async def test_signing_out_without_a_session_is_limited_per_network(settings_with: SettingsWith) -> None:
    async with serving("auth", settings_with(rate_change=2), address="9.9.9.9") as auth:
        answers = [await auth.ask("POST", "/api/users/signout") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]


async def test_new_searches_are_limited_per_network_and_repeated_ones_are_not(
    settings_with: SettingsWith, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_counts, "now", clock.now)
    async with serving("tickets", settings_with(rate_search=2), address="2600:1:1:1::1") as tickets:

        async def search(words: str) -> int:
            return (await tickets.ask("GET", f"/api/tickets?q={words}")).status_code

        assert [await search(f"a{number}") for number in range(3)] == [200, 200, 429]
        assert [await search("a1") for _ in range(5)] == [200] * 5
        assert (await tickets.ask("GET", "/api/tickets/facets?q=a1")).status_code == 429
        clock.at += 60
        assert await search("a4") == 200
