"""docs/security.md agrees with the code, and says something about every requirement of OWASP ASVS."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from kit.http import limits
from kit.http.limits import Limited
from settings import Settings
from tests.unit.test_route_limits import HANDLERS

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text("utf-8")
REQUIREMENTS = Path(__file__).with_name("asvs-5.0.0-level-2.txt")

STATUSES = ("met", "not applicable", "not met")
QUOTED = re.compile(r"`([^`]+)`")
ID = re.compile(r"V\d+\.\d+\.\d+")
CHAPTER = re.compile(r"V\d+ ")
SETTING = re.compile(r"`([A-Z][A-Z_]+)` \(([^)]*)\)")

KEYS: dict[limits.Count, str] = {
    limits.user: "user",
    limits.network: "network",
    limits.user_or_network: "user, or network if nobody is signed in",
}
PER_PROCESS = "network, in each process"


class Finding(NamedTuple):
    """A row of the tables about OWASP ASVS."""

    requirement: str
    about: str
    status: str
    reason: str
    proof: str


def rows(text: str, columns: int) -> Iterator[list[str]]:
    """The cells of all table rows with this number of columns."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if len(cells) == columns:
            yield cells


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


ASVS = section("OWASP ASVS 5.0, levels 1 and 2")
FINDINGS = [Finding(*cells) for cells in rows(ASVS, 5) if ID.fullmatch(cells[0])]


@cache
def source(path: Path) -> str:
    return path.read_text("utf-8")


def file_of(path: str) -> Path:
    """A file of the repository. Paths of tests may be relative to the folder `tests`."""
    return next((found for found in (ROOT / path, ROOT / "tests" / path) if found.exists()), ROOT / path)


def requirements() -> list[str]:
    lines = [line for line in source(REQUIREMENTS).splitlines() if not line.startswith("#")]
    found = (line.split(": ") for line in lines)
    return [f"{part}.{number}" for part, numbers in found for number in numbers.split()]


def is_proof(quoted: str) -> bool:
    """Whether it is an existing test, given as path::name, or an existing path."""
    path, _, test = quoted.partition("::")
    file = file_of(path)
    return file.exists() and (not test or f"def {test}(" in source(file))


def test_every_requirement_has_exactly_one_row() -> None:
    assert [finding.requirement for finding in FINDINGS] == requirements()


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.requirement)
def test_a_requirement_is_met_with_a_proof_or_has_a_reason(finding: Finding) -> None:
    assert finding.status in STATUSES
    assert finding.about
    assert finding.reason
    quoted = QUOTED.findall(finding.proof)
    is_by_inspection = finding.proof.startswith("by inspection: ")
    assert [each for each in quoted if not is_proof(each)] == []
    if finding.status == "met":
        assert quoted
        assert is_by_inspection or any("::" in each for each in quoted)


def test_control_a_proof_that_does_not_exist_is_found() -> None:
    assert is_proof("unit/test_settings.py::test_settings_are_immutable")
    assert not is_proof("unit/test_settings.py::test_settings")
    assert not is_proof("unit/test_no_such_file.py")


def test_the_totals_are_those_of_the_rows() -> None:
    counted = {cells[0]: cells[1:] for cells in rows(ASVS, 5) if CHAPTER.match(cells[0])}
    chapters = {name.split(" ")[0]: counts for name, counts in counted.items()}
    by_status = Counter((finding.requirement.split(".")[0], finding.status) for finding in FINDINGS)
    names = dict.fromkeys(finding.requirement.split(".")[0] for finding in FINDINGS)
    expected = {name: [by_status[name, status] for status in STATUSES] for name in names}
    assert chapters == {name: [*map(str, counts), str(sum(counts))] for name, counts in expected.items()}
    totals = [sum(counts) for counts in zip(*expected.values(), strict=True)]
    assert ["total", *map(str, totals), str(len(FINDINGS))] in list(rows(ASVS, 5))


def test_the_table_of_limits_lists_exactly_the_limits_of_all_routes() -> None:
    expected = [
        f"| `{route}` | `{limit.setting.upper()}` ({Settings.model_fields[limit.setting].default}) "
        f"| {KEYS.get(limit.by, PER_PROCESS)} |"
        for route, handler in HANDLERS.items()
        for limit in handler.guards or ()
        if isinstance(limit, Limited)
    ]
    written = [line for line in section("Limits").splitlines() if re.match(r"\| `[A-Z]+ /", line)]
    assert sorted(written) == sorted(expected)


def test_every_limit_is_listed_with_its_default() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text("utf-8").partition("\n## Security\n")[2]
    names = re.findall(r"^\| `([A-Z_]+)` \| `\d+` \|", settings.partition("\n## ")[0], re.MULTILINE)
    written = SETTING.findall(DOCUMENT)
    assert sorted(set(names) - {name for name, _ in written}) == []
    assert [
        f"{name} ({value})"
        for name, value in written
        if str(Settings.model_fields[name.lower()].default) != value
    ] == []
