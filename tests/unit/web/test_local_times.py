"""Local times that clocks skip, show once or show twice."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.local_times import first_after_gap, moments, offset
from web.time_zones import names


def shown(local: str, zone: str) -> list[str]:
    return [moment.isoformat() for moment in moments(datetime.fromisoformat(local), ZoneInfo(zone))]


def test_a_time_that_clocks_show_once_is_one_moment() -> None:
    assert shown("2027-07-12T20:00", "Europe/Berlin") == ["2027-07-12T20:00:00+02:00"]
    assert shown("2027-07-12T20:00", "Asia/Kathmandu") == ["2027-07-12T20:00:00+05:45"]


@pytest.mark.parametrize(
    ("local", "zone", "after"),
    [
        ("2027-03-28T02:00", "Europe/Berlin", "2027-03-28T03:00:00+02:00"),
        ("2027-03-28T02:30", "Europe/Berlin", "2027-03-28T03:00:00+02:00"),
        ("2027-03-28T02:59:59.5", "Europe/Berlin", "2027-03-28T03:00:00+02:00"),
        ("2027-10-03T02:10", "Australia/Lord_Howe", "2027-10-03T02:30:00+11:00"),  # half an hour
        ("2027-04-30T00:10", "Africa/Cairo", "2027-04-30T01:00:00+03:00"),  # at midnight
        ("2011-12-30T20:00", "Pacific/Apia", "2011-12-31T00:00:00+14:00"),  # a whole day
    ],
)
def test_a_time_that_clocks_skip_is_no_moment_and_the_next_time_is_the_end_of_the_gap(
    local: str, zone: str, after: str
) -> None:
    assert shown(local, zone) == []
    assert first_after_gap(datetime.fromisoformat(local), ZoneInfo(zone)).isoformat() == after


@pytest.mark.parametrize("time", ["01:59", "03:00"])
def test_the_times_around_a_gap_exist(time: str) -> None:
    assert len(shown(f"2027-03-28T{time}", "Europe/Berlin")) == 1


def test_a_time_that_clocks_show_twice_is_two_moments_in_order() -> None:
    assert shown("2026-10-25T02:30", "Europe/Berlin") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
    ]
    assert len(shown("2026-10-25T01:59", "Europe/Berlin")) == 1
    assert len(shown("2026-10-25T03:00", "Europe/Berlin")) == 1


@given(
    st.integers(946_684_800, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.sampled_from(sorted(names())),
)
def test_every_moment_is_among_those_of_the_local_time_that_clocks_show_then(
    moment: datetime, zone: str
) -> None:
    local = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert moment in moments(local, ZoneInfo(zone))


def test_the_offset_of_a_moment_tells_the_two_apart() -> None:
    both = moments(datetime.fromisoformat("2026-10-25T02:30"), ZoneInfo("Europe/Berlin"))
    assert [offset(moment) for moment in both] == ["+02:00", "+01:00"]
    assert offset(datetime(2027, 1, 1, tzinfo=UTC)) == "+00:00"
