"""A short run with all faults; `just chaos` is the long one. Its control is in test_control.py."""

from pathlib import Path

from tests.chaos import disk
from tests.chaos.faults import FAULTS
from tests.chaos.market import Plan
from tests.chaos.run import Course, chaos, told


async def test_nothing_is_lost_or_sold_or_charged_twice_whatever_befalls_the_marketplace(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    # Where no small disk can be made, tests/chaos/test_disk.py says so.
    faults = {name: fault for name, fault in FAULTS.items() if name != "full-disk" or not disk.possible()}
    course = Course(
        Plan(window=10, small_disks="full-disk" in faults),
        faults,
        seed=11,
        rate=3,
        seconds=25,
        round_seconds=25,
        at_once=3,
        pause=(0.1, 0.5),
        alone=False,
        each=True,
    )
    report = await chaos(course, tmp_path, said.append)
    history = report.history
    assert report.wrong == [], "\n".join([*said, *told(report)])
    assert report.blows.keys() == faults.keys(), said
    assert history is not None
    assert {"complete", "cancelled"} <= {order["status"] for order in history.orders}, said
