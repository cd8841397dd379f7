"""Without a guard the marketplace fails the check, which proves that the check works.

`just chaos --without GUARD` does this for every guard. docs/reliability.md lists how long that takes.
"""

from pathlib import Path

from tests.resilience.chaos.faults import FAULTS
from tests.resilience.chaos.guards import GUARDS
from tests.resilience.chaos.market import Plan
from tests.resilience.chaos.run import RunParameters, chaos


async def test_without_hold_numbers_tickets_contradict_their_orders(tmp_path: Path) -> None:
    guard = "hold-register"
    faults = {name: FAULTS[name] for name in GUARDS[guard].faults}
    parameters = RunParameters(
        Plan(window=5, without=guard),
        faults,
        seed=7,
        rate=2,
        seconds=120,
        round_seconds=6,
        pause=(0.2, 1),
        rest_seconds=10,
        each=True,
    )
    report = await chaos(parameters, tmp_path, lambda _: None)
    assert GUARDS[guard].is_detected(report.wrong), report.wrong
