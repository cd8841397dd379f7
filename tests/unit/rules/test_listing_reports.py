"""Reported listings: who may report one, and what an operator may decide."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from kit.errors import ServiceError
from services.tickets.reports import rules
from services.tickets.reports.rules import CaseState
from tests.unit.rules.builders import BUYER, NOW, SELLER, STRANGER

SECOND = timedelta(seconds=1)
LATER = NOW + timedelta(hours=1)


def changed(case: CaseState, changes: Any) -> CaseState:
    return case.model_copy(update=dict(changes or {}))


def reported(*people: str, case: CaseState | None = None, text: str = "A fake") -> CaseState:
    case = case or CaseState()
    for number, person in enumerate(people):
        case = changed(case, rules.report(case, person, "fraud", text, NOW + number * SECOND))
    return case


def decided(
    case: CaseState, decision: Any, reason: str = "Why", seen: Any = (), at: datetime = LATER
) -> CaseState:
    return changed(case, rules.decide(case, decision, reason, seen, at))


def states(case: CaseState) -> list[str]:
    return [each.state for each in case.reports]


@pytest.mark.parametrize(
    ("status", "by", "error"),
    [
        ("available", SELLER, rules.OwnListing),
        ("withdrawn", BUYER, rules.ListingGone),
        ("available", BUYER, None),
        ("reserved", BUYER, None),
        ("sold", BUYER, None),
    ],
)
def test_others_may_report_a_listing_that_is_not_withdrawn(
    status: Any, by: str, error: type[ServiceError] | None
) -> None:
    if error is None:
        rules.check_may_report(status, SELLER, by)
        return
    with pytest.raises(error):
        rules.check_may_report(status, SELLER, by)


def test_a_person_has_one_open_report_of_a_listing() -> None:
    case = reported(BUYER)
    assert rules.report(case, BUYER, "fraud", "A fake", LATER) is None, "a repetition changes nothing"
    with pytest.raises(rules.ListingReported):
        rules.report(case, BUYER, "price", "Too much", LATER)
    again = reported(BUYER, case=decided(case, "keep"), text="Still a fake")
    assert states(again) == ["open", "kept"] or states(again) == ["kept", "open"]


def test_the_oldest_open_report_decides_how_long_a_listing_has_waited() -> None:
    case = reported(BUYER, STRANGER)
    assert case.open_since == NOW
    assert decided(case, "keep", seen=[NOW]).open_since == NOW + SECOND
    assert decided(case, "keep").open_since is None


def test_reports_above_the_limit_are_only_counted() -> None:
    case = reported(*(f"{number:024x}" for number in range(rules.MAX_OPEN + 3)))
    assert (len(case.reports), case.further) == (rules.MAX_OPEN, 3)
    assert decided(case, "keep").further == 0


def test_a_case_keeps_only_the_newest_decided_reports() -> None:
    case = CaseState()
    for number in range(rules.MAX_CLOSED + 5):
        case = decided(reported(BUYER, case=case, text=f"Report {number}"), "keep")
    assert len(case.reports) == rules.MAX_CLOSED
    assert case.reports[-1].text == f"Report {rules.MAX_CLOSED + 4}"


def test_keeping_settles_only_the_reports_that_the_operator_has_read() -> None:
    case = decided(reported(BUYER, STRANGER), "keep", seen=[NOW])
    assert states(case) == ["kept", "open"]
    assert case.removal is None


def test_a_removal_settles_all_open_reports_and_is_remembered_until_it_is_done() -> None:
    case = decided(reported(BUYER, STRANGER), "remove", seen=[NOW])
    assert states(case) == ["removed", "removed"]
    assert case.removal == "Why"
    with pytest.raises(rules.ListingGone):
        rules.report(case, SELLER, "other", "x", LATER)
    case = changed(case, rules.removed(case))
    assert case.removal is None
    assert rules.removed(case) is None


def test_a_repeated_decision_changes_nothing_and_another_one_is_refused() -> None:
    case = decided(reported(BUYER), "keep", seen=[NOW])
    assert rules.decide(case, "keep", "Why", [NOW], LATER + SECOND) is None
    for decision, reason in (("remove", "Why"), ("keep", "Another reason")):
        with pytest.raises(rules.ReportDecided):
            rules.decide(case, decision, reason, [NOW], LATER + SECOND)  # type: ignore[arg-type]


def test_nothing_is_decided_without_a_report() -> None:
    with pytest.raises(rules.NoOpenReport):
        rules.decide(CaseState(), "keep", "Why", [], NOW)
    with pytest.raises(rules.NoOpenReport):
        rules.decide(decided(reported(BUYER), "keep"), "remove", "Why", [], LATER)


def test_who_has_reported_is_forgotten_but_not_what() -> None:
    case = reported(BUYER, STRANGER)
    forgotten = changed(case, rules.forget(case, BUYER, LATER))
    assert [each.reporter_id for each in forgotten.reports] == [None, STRANGER]
    assert [each.text for each in forgotten.reports] == ["A fake", "A fake"]
    assert rules.forget(forgotten, BUYER, LATER) is None
