"""Look up known vulnerabilities of everything in requirements/ and static/vendor/, and write two SBOMs.

Exit codes:
  0  everything was looked up, and nothing is known
  1  something has a known vulnerability
  3  no vulnerability was found, but not everything could be looked up: a server didn't answer, for example
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
REPORT = ROOT / ".audit" / "report"
LAST_LINES = 3

VULNERABLE, INCOMPLETE = 1, 3


@dataclass
class Result:
    """What an advisory database knows. Both lists contain lines for the reader."""

    vulnerable: list[str] = field(default_factory=list)
    not_looked_up: list[str] = field(default_factory=list)

    def add(self, other: "Result") -> None:
        self.vulnerable += other.vulnerable
        self.not_looked_up += other.not_looked_up

    @property
    def exit_code(self) -> int:
        return VULNERABLE if self.vulnerable else INCOMPLETE if self.not_looked_up else 0


def python_result(output: str, errors: str, source: str) -> Result:
    """The result of pip-audit, which also ends with 0 if it skipped packages."""
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, LookupError):
        return Result(not_looked_up=[f"{source}: {_end_of(errors)}"])
    result = Result()
    for package in packages:
        if "skip_reason" in package:
            result.not_looked_up.append(f"{package['name']}: {package['skip_reason']}")
        for known in package.get("vulns", ()):
            fixed = ", ".join(known["fix_versions"]) or "no version"
            result.vulnerable.append(
                f"{package['name']} {package['version']}: {known['id']}, fixed in {fixed}"
            )
    return result


def npm_result(output: str, errors: str) -> Result:
    """The result of `npm audit`, which ends with 1 both for a vulnerability and for a failure."""
    try:
        packages: dict[str, dict[str, Any]] = json.loads(output)["vulnerabilities"]
    except (ValueError, LookupError):
        return Result(not_looked_up=[f"static/vendor: {_end_of(errors)}"])
    return Result([f"{name} {found['range']}: {found['severity']}" for name, found in packages.items()])


def _end_of(errors: str) -> str:
    return " ".join(errors.split("\n")[-LAST_LINES - 1 :]).strip() or "no answer"


def audit_python() -> Iterator[Result]:
    for locked in sorted((ROOT / "requirements").glob("*.txt")):
        audit = ("--require-hashes", "--disable-pip", "--format", "json", "--progress-spinner", "off")
        ran = _run([str(TOOLS / "pip-audit"), *audit, "--requirement", str(locked)])
        yield python_result(ran.stdout, ran.stderr, f"requirements/{locked.name}")
    shipped, sbom = ROOT / "requirements" / "runtime.txt", REPORT / "python.cdx.json"
    _run([str(TOOLS / "cyclonedx-py"), "requirements", str(shipped), "-o", str(sbom)])


def audit_vendored() -> Result:
    """Audit the packages that the vendored files come from, and what npm would install with them."""
    packages = json.loads((ROOT / "static" / "vendor" / "manifest.json").read_text())["packages"]
    wanted = {package["name"]: package["version"] for package in packages}
    with TemporaryDirectory() as name:
        folder = Path(name)
        about = {"name": "stagedoor-vendored", "version": "0.0.0", "private": True, "dependencies": wanted}
        (folder / "package.json").write_text(json.dumps(about))
        locked = _run(["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit"], folder)
        if locked.returncode:
            return Result(not_looked_up=[f"static/vendor: {_end_of(locked.stderr)}"])
        sbom = _run(["npm", "sbom", "--sbom-format", "cyclonedx", "--package-lock-only"], folder)
        (REPORT / "vendored.cdx.json").write_text(sbom.stdout)
        ran = _run(["npm", "audit", "--json"], folder)
        return npm_result(ran.stdout, ran.stderr)


def _run(command: Sequence[str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603


def main() -> int:
    REPORT.mkdir(parents=True, exist_ok=True)
    total = Result()
    for result in (*audit_python(), audit_vendored()):
        total.add(result)
    lines = [f"VULNERABLE     {line}" for line in sorted(set(total.vulnerable))]
    lines += [f"NOT LOOKED UP  {line}" for line in sorted(set(total.not_looked_up))]
    lines.append(
        f"{len(set(total.vulnerable))} known vulnerabilities. The SBOMs are in {REPORT.relative_to(ROOT)}."
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return total.exit_code


if __name__ == "__main__":
    sys.exit(main())
