import pytest

from streams.delivery import FIRST_DELAY_SECONDS, MAX_ATTEMPTS, MAX_DELAY_SECONDS, backoff


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [(1, 0.5), (2, 1), (3, 2), (4, 4), (7, 32), (8, 60), (9, 60), (10, 60), (500, 60), (1025, 60)],
)
def test_the_delay_doubles_up_to_a_minute_and_varies_by_a_quarter(attempt: int, seconds: float) -> None:
    delays = [backoff(attempt) for _ in range(200)]
    assert seconds * 0.75 <= min(delays) < max(delays) <= seconds * 1.25


def test_delays_after_the_same_attempt_differ() -> None:
    assert len({backoff(3) for _ in range(100)}) > 90


def test_all_attempts_together_take_more_than_two_minutes() -> None:
    shortest = sum(
        min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (attempt - 1)) * 0.75
        for attempt in range(1, MAX_ATTEMPTS)
    )
    assert shortest > 120
