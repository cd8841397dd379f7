"""Many buyers at once, while Stripe fails and payments is killed."""

from pathlib import Path

from sandbox.storm import Plan, storm


async def test_a_small_storm_ends_with_books_that_agree_and_no_ticket_sold_twice(tmp_path: Path) -> None:
    plan = Plan(purchases=25, seed=3, kills=1, window=8, faults="rate_limit,slow,lost")
    report = await storm(plan, tmp_path / "storm")
    assert report.wrong == []
    assert report.kills == 1
    paid = sum(count for what, count in report.orders.items() if what.endswith("payment captured"))
    assert paid > 0
