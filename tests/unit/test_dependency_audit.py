"""The audit of dependencies tells a vulnerability from a server that didn't answer."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    path = Path(__file__).parents[2] / ".ci" / "audit.py"
    spec = importlib.util.spec_from_file_location("dependency_audit", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["dependency_audit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def of_pip_audit(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


KNOWN = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}


def test_nothing_is_known_if_every_package_was_looked_up(audit: ModuleType) -> None:
    output = of_pip_audit({"name": "httpx", "version": "1.0", "vulns": []})
    assert audit.python_result(output, "", "dev.txt").exit_code == 0
    assert audit.npm_result(json.dumps({"vulnerabilities": {}}), "").exit_code == 0


def test_a_known_vulnerability_names_the_version_that_fixes_it(audit: ModuleType) -> None:
    result = audit.python_result(
        of_pip_audit({"name": "httpx", "version": "1.0", "vulns": [KNOWN]}), "", "dev.txt"
    )
    assert result.vulnerable == ["httpx 1.0: PYSEC-1, fixed in 1.1"]
    assert result.exit_code == audit.VULNERABLE


def test_a_vulnerable_vendored_package_is_named(audit: ModuleType) -> None:
    found = {"htmx.org": {"range": "<4.0.2", "severity": "high"}}
    result = audit.npm_result(json.dumps({"vulnerabilities": found}), "")
    assert result.vulnerable == ["htmx.org <4.0.2: high"]
    assert result.exit_code == audit.VULNERABLE


def test_a_package_that_was_skipped_makes_the_audit_incomplete(audit: ModuleType) -> None:
    skipped = {"name": "uv", "skip_reason": "not found"}
    assert audit.python_result(of_pip_audit(skipped), "", "tools.txt").exit_code == audit.INCOMPLETE


@pytest.mark.parametrize("output", ["", "{}", json.dumps({"message": "405 Method Not Allowed", "error": {}})])
def test_a_server_that_does_not_answer_makes_the_audit_incomplete(audit: ModuleType, output: str) -> None:
    for result in (
        audit.python_result(output, "a\nConnectionError: refused\n", "dev.txt"),
        audit.npm_result(output, "a\nConnectionError: refused\n"),
    ):
        assert result.vulnerable == []
        assert "ConnectionError: refused" in result.not_looked_up[0]
        assert result.exit_code == audit.INCOMPLETE


def test_a_vulnerability_counts_even_if_the_audit_is_incomplete(audit: ModuleType) -> None:
    result = audit.Result(not_looked_up=["static/vendor: no answer"])
    result.add(audit.Result(["httpx 1.0: PYSEC-1, fixed in 1.1"]))
    assert result.exit_code == audit.VULNERABLE
