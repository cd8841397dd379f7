"""Rules against hoarding."""

from datetime import timedelta

import pytest

from kit.errors import TooManyRequests
from kit.networks import WIDE_FACTOR, Networks
from services.orders.hoarding import (
    FREE_HOLDS,
    FREE_HOLDS_OF_NETWORK,
    MEMORY,
    HeldTooLong,
    Limits,
    PastHold,
    ReservedTooOften,
    check_may_hold,
)
from tests.unit.rules.builders import BUYER, NOW, STRANGER

WINDOW = timedelta(minutes=15)
MINUTE = timedelta(minutes=1)
LIMITS = Limits(cool_down=MINUTE, max_total=timedelta(hours=1))


def held(
    ago: timedelta = timedelta(),
    *,
    lasted: timedelta = MINUTE,
    by: str = BUYER,
    network: str | None = None,
    wide: str | None = None,
) -> PastHold:
    """A hold that ended this long ago."""
    return PastHold(by, network, wide, NOW - ago - lasted, NOW - ago)


def refusal(
    *holds: PastHold, limits: Limits = LIMITS, network: str | None = None, wide: str = "around"
) -> TooManyRequests | None:
    networks = Networks(network, wide) if network else None
    try:
        check_may_hold(holds, BUYER, networks, WINDOW, limits, NOW)
    except TooManyRequests as refused:
        return refused
    return None


def test_the_first_repetition_needs_no_pause() -> None:
    assert refusal() is None
    assert refusal(held()) is None


@pytest.mark.parametrize(("count", "minutes"), [(2, 1), (3, 2), (4, 4), (6, 16)])
def test_each_further_repetition_needs_a_pause_that_is_twice_as_long(count: int, minutes: int) -> None:
    earlier = [held(timedelta(hours=1))] * (count - 1)
    too_soon = refusal(*earlier, held(minutes * MINUTE - timedelta(seconds=1)))
    assert isinstance(too_soon, ReservedTooOften)
    assert too_soon.retry_after == 1
    assert refusal(*earlier, held(minutes * MINUTE)) is None


def test_the_message_says_when_the_ticket_can_be_reserved_again() -> None:
    refused = refusal(held(), held(), held(timedelta(seconds=30)))
    assert refused is not None
    assert refused.detail == (
        "You have reserved this ticket several times without buying it. You can reserve it again in 2 minutes"
    )
    assert (refused.retry_after, refused.status, refused.code) == (120, 429, "reserved-too-often")


def test_a_pause_ends_when_the_holds_are_forgotten() -> None:
    assert refusal(*[held(MEMORY - MINUTE)] * 40) is not None
    assert refusal(*[held(MEMORY)] * 40) is None


def test_holds_of_others_do_not_count() -> None:
    others = [held(lasted=WINDOW, by=STRANGER, network="a")] * 40
    assert refusal(*others) is None
    assert refusal(*others, network="b") is None


def test_people_who_share_a_network_pause_later_than_one_person() -> None:
    nearby = [held(by=STRANGER, network="a")] * FREE_HOLDS_OF_NETWORK
    assert FREE_HOLDS_OF_NETWORK > FREE_HOLDS
    assert refusal(*nearby[1:], network="a") is None
    refused = refusal(*nearby, network="a")
    assert isinstance(refused, ReservedTooOften)
    assert "from your network" in refused.detail


def test_people_who_share_a_wide_network_pause_later_than_those_of_one_network() -> None:
    holds = FREE_HOLDS_OF_NETWORK * WIDE_FACTOR
    around = [held(by=STRANGER, network=f"a{number}", wide="around") for number in range(holds)]
    assert refusal(*around[1:], network="b") is None
    assert refusal(*around, network="b", wide="elsewhere") is None
    refused = refusal(*around, network="b")
    assert isinstance(refused, ReservedTooOften)
    assert "from your network" in refused.detail


def test_the_total_time_of_holds_is_limited() -> None:
    lasted = timedelta(minutes=15)
    past = [held(timedelta(hours=hours), lasted=lasted) for hours in (20, 10, 9, 8)]
    assert refusal(*past[1:]) is None
    refused = refusal(*past)
    assert isinstance(refused, HeldTooLong)
    assert refused.retry_after == 4 * 3600, "when the oldest hold is forgotten"
    assert "in 4 hours" in refused.detail


def test_a_single_hold_that_is_longer_than_the_total_is_possible() -> None:
    limits = Limits(max_total=MINUTE)
    assert refusal(limits=limits) is None
    assert refusal(held(timedelta(hours=1), lasted=timedelta(seconds=5)), limits=limits) is not None


def test_zero_disables_a_limit() -> None:
    assert refusal(*[held(lasted=WINDOW)] * 40, limits=Limits()) is None
