from datetime import UTC, datetime, timedelta

import pytest

from services.mail.rules import MAX_DELAY, Ended, Retry, after_failure, is_recent, of_unknown_user

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
GIVE_UP = timedelta(hours=72)


@pytest.mark.parametrize(("days", "recent"), [(-1, True), (0, True), (3, True), (3.001, False)])
def test_only_what_happened_within_some_days_is_told(days: float, recent: bool) -> None:
    assert is_recent(NOW - timedelta(days=days), NOW, timedelta(days=3)) is recent


def test_the_time_to_the_next_attempt_doubles_up_to_an_hour() -> None:
    delays = []
    for attempts in range(1, 12):
        retry = after_failure(NOW, attempts, "450", NOW, GIVE_UP)
        assert isinstance(retry, Retry)
        delays.append(retry.at - NOW)
    assert [delay.total_seconds() for delay in delays[:4]] == [30, 60, 120, 240]
    assert delays[-1] == MAX_DELAY


def test_a_message_is_given_up_when_its_next_attempt_would_be_too_late() -> None:
    early = after_failure(NOW - timedelta(hours=70.9), 20, "450", NOW, GIVE_UP)
    late = after_failure(NOW - timedelta(hours=71.1), 20, "450", NOW, GIVE_UP)
    assert isinstance(early, Retry)
    assert late == Ended("failed", "450")


def test_a_message_to_an_unknown_user_is_dropped_after_an_hour() -> None:
    assert isinstance(of_unknown_user(NOW - timedelta(minutes=59), 8, NOW), Retry)
    assert of_unknown_user(NOW - timedelta(minutes=61), 8, NOW) == Ended("dropped", "unknown-user")
