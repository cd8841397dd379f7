"""Hoarding: limits of repeated holds and of the holds of a network, under concurrency."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from kit.networks import NetworkHasher
from services.orders import holds
from services.orders.documents import ONE_ORDER_A_HOLD, ONE_ORDER_A_NETWORK_SLOT, ONE_ORDER_A_WIDE_SLOT
from tests.integration.services.test_reservations import (
    request_reservation,
    reserve,
    reserve_and_release_after_the_read,
)
from tests.support.events import fire_timer, follow_ticket_event, on_sale
from tests.support.service import Served, SettingsWith, messages, new_id, serving

ANN, BOB = new_id(), new_id()
ADDRESS = "8.8.8.8"
MAX_LIVE = 3


@pytest_asyncio.fixture(loop_scope="session")
async def global_orders(settings_with: SettingsWith) -> AsyncIterator[Served]:
    """The orders service, whose client has a global address."""
    async with serving("orders", settings_with(max_live_per_network=MAX_LIVE), address=ADDRESS) as served:
        yield served


async def hold_and_release(orders: Served, ticket: str, *, by: str = ANN) -> None:
    order = await reserve(orders, ticket, by)
    assert (await orders.ask("DELETE", f"/api/orders/{order['id']}", by=by)).status_code == 204


async def test_the_third_hold_of_a_ticket_by_one_buyer_has_to_wait(orders: Served) -> None:
    ticket = await on_sale()
    for _ in range(2):
        await hold_and_release(orders, ticket)
    refused = await request_reservation(orders, ticket, ANN)
    assert messages(refused, 429) == [
        "You have reserved this ticket several times without buying it. You can reserve it again in 1 minute"
    ]
    assert refused.json()["type"] == "/problems/reserved-too-often"
    assert 0 < int(refused.headers["retry-after"]) <= 60
    await reserve(orders, await on_sale(), ANN)
    await reserve(orders, ticket, BOB)


async def test_a_buyer_who_holds_a_ticket_gets_the_order_although_another_hold_would_have_to_wait(
    orders: Served,
) -> None:
    ticket = await on_sale()
    await follow_ticket_event(ticket, 1, status="available")
    await hold_and_release(orders, ticket)
    order = await reserve(orders, ticket, ANN)
    again = await request_reservation(orders, ticket, ANN)
    assert (again.status_code, again.json()) == (200, order)


async def test_the_total_time_that_a_buyer_holds_a_ticket_is_limited(settings_with: SettingsWith) -> None:
    conf = settings_with(max_ticket_hold_seconds=1000, expiration_window_seconds=900)
    async with serving("orders", conf) as orders:
        ticket = await on_sale()
        order = await reserve(orders, ticket, ANN)
        await fire_timer(order)
        refused = await request_reservation(orders, ticket, ANN)
        assert refused.json()["type"] == "/problems/held-too-long"
        assert int(refused.headers["retry-after"]) > 3600


async def test_a_cool_down_counts_a_hold_that_ended_during_the_request(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await _status_after_a_race(orders, monkeypatch) == 429


async def test_control_without_unique_hold_numbers_a_concurrent_hold_is_not_counted(
    orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await orders.database["orders"].drop_index(ONE_ORDER_A_HOLD)
    assert await _status_after_a_race(orders, monkeypatch) == 201


async def _status_after_a_race(orders: Served, monkeypatch: pytest.MonkeyPatch) -> int:
    """The status of a second hold, while a concurrent second hold of the same buyer begins and ends."""
    ticket = await on_sale()
    await follow_ticket_event(ticket, 1, status="available")
    await hold_and_release(orders, ticket)
    reserve_and_release_after_the_read(orders, monkeypatch, ticket, by=ANN)
    return (await request_reservation(orders, ticket, ANN)).status_code


async def test_accounts_of_one_network_that_take_turns_have_to_wait(global_orders: Served) -> None:
    ticket = await on_sale()
    for _ in range(4):
        await hold_and_release(global_orders, ticket, by=new_id())
    refused = await request_reservation(global_orders, ticket, new_id())
    assert refused.status_code == 429
    assert "from your network" in refused.json()["title"]


async def test_only_three_of_eight_concurrent_reservations_from_one_network_succeed(
    global_orders: Served,
) -> None:
    assert await _statuses_of_eight_buyers(global_orders) == {201: MAX_LIVE, 429: 5}
    refused = await request_reservation(global_orders, await on_sale(), new_id())
    assert messages(refused, 429) == [
        "Too many tickets are on hold from your network. Try again when some are paid for or released"
    ]
    assert refused.json()["type"] == "/problems/too-many-from-network"


async def test_control_without_the_unique_index_more_reservations_from_one_network_succeed(
    global_orders: Served,
) -> None:
    await global_orders.database["orders"].drop_index(ONE_ORDER_A_NETWORK_SLOT)
    assert (await _statuses_of_eight_buyers(global_orders))[201] > MAX_LIVE


async def _statuses_of_eight_buyers(orders: Served) -> Counter[int]:
    tickets = [await on_sale() for _ in range(8)]
    answers = await asyncio.gather(*(request_reservation(orders, ticket, new_id()) for ticket in tickets))
    return Counter(answer.status_code for answer in answers)


async def test_a_released_ticket_no_longer_counts_towards_the_limit_of_its_network(
    global_orders: Served,
) -> None:
    first, *_ = [await reserve(global_orders, await on_sale(), new_id()) for _ in range(MAX_LIVE)]
    await global_orders.ask("DELETE", f"/api/orders/{first['id']}", by=first["userId"])
    await reserve(global_orders, await on_sale(), new_id())


async def test_the_wide_network_has_a_limit_of_its_own(
    global_orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "WIDE_FACTOR", 0.7)
    for _ in range(2):
        await reserve(global_orders, await on_sale(), new_id())
    assert (await request_reservation(global_orders, await on_sale(), new_id())).status_code == 429


async def test_only_two_of_eight_concurrent_reservations_from_one_wide_network_succeed(
    global_orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "WIDE_FACTOR", 0.7)
    assert await _statuses_of_eight_buyers(global_orders) == {201: 2, 429: 6}


async def test_control_without_the_unique_index_more_reservations_from_one_wide_network_succeed(
    global_orders: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "WIDE_FACTOR", 0.7)
    await global_orders.database["orders"].drop_index(ONE_ORDER_A_WIDE_SLOT)
    for _ in range(20):  # whether two buyers choose the same slot at the same time is chance
        await global_orders.database["orders"].delete_many({})
        if (await _statuses_of_eight_buyers(global_orders))[201] > 2:
            return
    pytest.fail("the limit was never exceeded")


async def test_an_order_stores_a_hash_of_the_network_that_is_never_shown(
    global_orders: Served, settings_with: SettingsWith
) -> None:
    order = await reserve(global_orders, await on_sale())
    stored = await global_orders.database["orders"].find_one()
    assert stored is not None
    hashes = NetworkHasher(settings_with()).of(ADDRESS)
    assert hashes is not None
    assert (stored["network"], stored["wide_network"]) == hashes
    assert ADDRESS not in str(stored)
    assert not {"network", "wideNetwork"} & order.keys()
    for secret in (*hashes, "etwork"):
        assert secret not in str(await global_orders.outbox("orders", order["id"]))
