"""Many buyers at once, while Stripe fails and payments is killed."""

from pathlib import Path

import pytest

from sandbox.storm import Plan, storm
from sandbox.storm_market import NotForStorms


async def test_a_small_storm_ends_with_books_that_agree_and_no_ticket_sold_twice(tmp_path: Path) -> None:
    report = await storm(Plan(purchases=25, seed=3, kills=1, window=8, slow_seconds=2), tmp_path / "storm")
    assert report.wrong == []


async def test_a_storm_in_which_nothing_could_be_bought_is_none(tmp_path: Path) -> None:
    report = await storm(Plan(purchases=0, seed=3, kills=0, window=8, faults=""), tmp_path / "storm")
    assert report.wrong == ["nobody bought anything"]


@pytest.mark.parametrize("variable", ["PAYMENTS_URL", "NATS_URL", "STRIPE_API_BASE"])
async def test_a_storm_strikes_no_server_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(NotForStorms, match=variable):
        await storm(Plan(purchases=1, seed=3, kills=0, window=8), tmp_path / "storm")
