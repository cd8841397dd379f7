"""Without one of its guards the marketplace fails the check that it passes with it: the check sees something.

`just chaos --without GUARD` shows it of every guard; docs/reliability.md has the times.
"""

from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.guards import GUARDS
from tests.chaos.market import Plan
from tests.chaos.run import Course, chaos


async def test_without_the_register_of_holds_tickets_are_not_what_their_orders_say(tmp_path: Path) -> None:
    guard = "hold-register"
    faults = {name: FAULTS[name] for name in GUARDS[guard].faults}
    course = Course(
        Plan(window=10, without=guard),
        faults,
        seed=7,
        rate=3,
        seconds=120,
        round_seconds=15,
        pause=(0.2, 1),
        rest_seconds=10,
        each=True,
    )
    report = await chaos(course, tmp_path, lambda _: None)
    assert GUARDS[guard].is_missed(report.wrong), report.wrong
