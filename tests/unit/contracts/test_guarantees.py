import pytest

from contracts.guarantees import duration


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (72, "3 days"),
        (48, "2 days"),
        (24, "24 hours"),
        (49, "49 hours"),
        (72.5, "72.5 hours"),
        (0.5, "0.5 hours"),
    ],
)
def test_whole_numbers_of_days_are_stated_in_days(hours: float, text: str) -> None:
    assert duration(hours) == text


def test_the_unit_is_translated() -> None:
    assert duration(72, lambda text: text.replace("days", "Tage")) == "3 Tage"
