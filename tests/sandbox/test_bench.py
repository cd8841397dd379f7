import pytest

from sandbox import bench


async def test_the_bench_pays_is_told_and_cleans_up(capsys: pytest.CaptureFixture[str]) -> None:
    times = await bench.bench(3)
    assert len(times) == 3
    assert min(times) > 0
    assert "3 payments in" in capsys.readouterr().out


def test_medians_are_of_the_payments_around_a_point(capsys: pytest.CaptureFixture[str]) -> None:
    times = [float(number) for number in range(1, 2001)]
    assert bench.around(times, 1000) == 1000.5
    assert bench.around(times, 2000) == 1950.5
    bench.report(times)
    assert [line[:16] for line in capsys.readouterr().out.splitlines()] == [
        "payment     100:",
        "payment   1,000:",
        "payment   2,000:",
    ]
