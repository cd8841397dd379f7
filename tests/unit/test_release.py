"""A release has the tag of its version and the notes of its changelog."""

import importlib.util
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from contracts import VERSION

ROOT = Path(__file__).parents[2]
WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())

CHANGELOG = """# Changelog

## [Unreleased]

- Next

## [1.1.0] - 2027-02-01

### Added

- Something

## [1.0.0] - 2027-01-01

- The first one

[1.1.0]: https://example.com
"""


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_notes", ROOT / ".ci/release_notes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notes_are_the_section_of_the_version_only(release: ModuleType) -> None:
    assert release.notes(CHANGELOG, "1.1.0") == "### Added\n\n- Something\n"
    assert release.notes(CHANGELOG, "1.0.0") == "- The first one\n"


@pytest.mark.parametrize("version", ["1.1", "1.1.1", "1x1.0", "Unreleased"])
def test_a_version_without_a_dated_section_is_not_released(release: ModuleType, version: str) -> None:
    with pytest.raises(release.NotReleasable, match="has no section"):
        release.notes(CHANGELOG, version)


def test_a_version_with_an_empty_section_is_not_released(release: ModuleType) -> None:
    with pytest.raises(release.NotReleasable, match="is empty"):
        release.notes("## [1.0.0] - 2027-01-01\n\n## [0.9.0] - 2026-01-01\n- x\n", "1.0.0")


@pytest.mark.parametrize("tag", ["1.1.0", "v1.1", "v1.1.0-rc1", "v2.0.0"])
def test_a_tag_that_is_not_the_version_is_refused(release: ModuleType, tag: str) -> None:
    release.check("v1.1.0", "1.1.0")
    with pytest.raises(release.NotReleasable, match=re.escape(tag)):
        release.check(tag, "1.1.0")


def test_the_version_is_read_from_the_contracts(release: ModuleType) -> None:
    assert release.version_of((ROOT / "contracts/__init__.py").read_text()) == VERSION


def test_the_command_reports_why_a_tag_cannot_be_released(
    release: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.main(["v0.0.0"]) == 1
    assert (
        capsys.readouterr().err == f"the tag v0.0.0 isn't v{VERSION}, the version in contracts/__init__.py\n"
    )


def test_the_documented_steps_make_the_present_changelog_the_notes_of_a_release(tmp_path: Path) -> None:
    """The command needs no installation: it runs before anything is installed."""
    for name in (".ci/release_notes.py", "contracts/__init__.py", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    command = [sys.executable, "-I", ".ci/release_notes.py", f"v{VERSION}"]
    ask = partial(subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, check=False)

    changelog = tmp_path / "CHANGELOG.md"
    unreleased = "## [Unreleased]\n"
    before, heading, section = changelog.read_text("utf-8").partition(unreleased)
    if f"## [{VERSION}]" not in section:
        assert f"no section `## [{VERSION}]" in ask().stderr
        changelog.write_text(f"{before}{heading}\n## [{VERSION}] - 2027-01-01\n{section}", "utf-8")
    done = ask()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 10
    assert "\n## " not in done.stdout


def test_the_workflow_checks_the_tag_before_it_publishes_anything() -> None:
    assert WORKFLOW[True] == {"push": {"tags": ["v*"]}}  # YAML reads the key `on` as true
    steps = WORKFLOW["jobs"]["release"]["steps"]
    commands = [str(step.get("run", step.get("uses"))) for step in steps]
    (checking,) = (index for index, command in enumerate(commands) if ".ci/release_notes.py" in command)
    assert all(
        checking < index
        for index, command in enumerate(commands)
        if "docker/" in command or "gh release" in command
    )


def test_the_image_is_for_two_architectures_with_sbom_and_provenance() -> None:
    (build,) = (
        step["with"]
        for step in WORKFLOW["jobs"]["release"]["steps"]
        if step.get("uses", "").startswith("docker/build-push-action@")
    )
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["sbom"], build["provenance"], build["push"]) == (True, "mode=max", True)


def test_each_action_has_a_version() -> None:
    uses = re.findall(r"uses: (\S+)", (ROOT / ".github/workflows/release.yml").read_text())
    assert uses
    assert all(re.fullmatch(r"[\w./-]+@v\d+", action) for action in uses)
