"""A short run with all faults. `just chaos` runs longer. The control is in test_control.py."""

import importlib
from pathlib import Path

import pytest

from tests.resilience.chaos import disk
from tests.resilience.chaos.environment import ForeignServers, refuse_foreign_servers
from tests.resilience.chaos.faults import FAULTS, PAUSE_SECONDS
from tests.resilience.chaos.market import Plan
from tests.resilience.chaos.process import MAIL_TIMES
from tests.resilience.chaos.run import RunParameters, chaos, summary


async def test_nothing_is_lost_or_sold_or_charged_twice_under_all_faults(tmp_path: Path) -> None:
    log: list[str] = []
    # Some machines can't mount small disks. Then tests/resilience/chaos/test_disk.py tests the message.
    faults = {
        name: fault for name, fault in FAULTS.items() if name != "full-disk" or not disk.why_impossible()
    }
    parameters = RunParameters(
        Plan(window=10, small_disks="full-disk" in faults, payment_page="checkout"),
        faults,
        seed=11,
        rate=1.5,
        seconds=25,
        round_seconds=25,
        at_once=3,
        pause=(0.1, 0.5),
        alone=False,
        each=True,
    )
    report = await chaos(parameters, tmp_path, log.append)
    history = report.history
    assert report.wrong == [], "\n".join([*log, *summary(report)])
    assert report.injected.keys() == faults.keys(), log
    assert history is not None
    assert {"complete", "cancelled"} <= {order["status"] for order in history.orders}, log
    assert {"receipt", "sold"} <= {message["kind"] for message in history.messages}, log
    assert {payment["token"] is None for payment in history.payments} == {True, False}, log


def test_the_shorter_times_of_mail_replace_times_that_exist_and_a_claim_outlasts_its_attempt() -> None:
    for module, times in MAIL_TIMES.items():
        assert times.keys() <= vars(importlib.import_module(module)).keys()
    sender = MAIL_TIMES["services.mail.sender"]
    assert sender["CLAIM"].total_seconds() > sender["SECONDS"] + PAUSE_SECONDS


@pytest.mark.parametrize("variable", ["PAYMENTS_URL", "NATS_URL", "STRIPE_API_BASE"])
def test_chaos_refuses_servers_from_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with pytest.raises(ForeignServers, match=variable):
        refuse_foreign_servers()
