"""The benchmark of the Stripe sandbox."""

from pathlib import Path

from bench.workloads.stripe_sandbox import figures, pay_many


async def test_the_benchmark_measures_each_payment(tmp_path: Path) -> None:
    times, webhooks = await pay_many(3, tmp_path)
    assert len(times) == 3
    assert min(times) > 0
    assert webhooks > 0


def test_each_figure_is_the_median_around_a_payment_in_multiples_of_the_first() -> None:
    found = figures([float(number) for number in range(1, 2001)])
    assert [(figure.name, figure.median) for figure in found] == [
        ("payment 100", 100.5),
        ("payment 1,000", 1000.5),
        ("payment 2,000", 1950.5),
    ]
    assert [figure.ratio for figure in found] == [1, 1000.5 / 100.5, 1950.5 / 100.5]
