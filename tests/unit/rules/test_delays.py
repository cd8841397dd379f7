from datetime import timedelta

from services.auth.rules import TooManyFailures, delay_after


def test_the_delay_after_failed_attempts_doubles_up_to_15_minutes() -> None:
    delays = [int(delay_after(failures, 5).total_seconds()) for failures in range(1, 20)]
    assert delays[:9] == [0, 0, 0, 0, 1, 2, 4, 8, 16]
    assert delays[-5:] == [900] * 5


def test_the_delay_is_bounded_after_any_number_of_failures() -> None:
    assert delay_after(10**9, 5) == timedelta(minutes=15)


def test_the_error_says_how_long_to_wait() -> None:
    error = TooManyFailures.until(timedelta(seconds=7.2))
    assert (error.retry_after, error.detail) == (
        8,
        "There were too many failed attempts. Try again in 8 seconds",
    )
    assert TooManyFailures.until(timedelta(seconds=600)).detail.endswith("in 10 minutes")
    assert TooManyFailures.until(timedelta()).retry_after == 1
