"""Checks a release's tag, and prints its section of CHANGELOG.md: `python .ci/release_notes.py v1.0.0`.

Exit code 1: the tag isn't the version in contracts/__init__.py, or the changelog has no section of it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class NotReleasable(Exception):
    """The tag can't be released. The message says why."""


def version_of(contracts: str) -> str:
    """The version in the text of contracts/__init__.py, which isn't imported because nothing is installed."""
    found = re.search(r'^VERSION = "([^"]+)"$', contracts, re.MULTILINE)
    if found is None:
        raise NotReleasable("contracts/__init__.py has no VERSION")
    return found[1]


def check(tag: str, version: str) -> None:
    """
    Raises:
        NotReleasable: the tag isn't `v` and the version.
    """
    if tag != f"v{version}":
        raise NotReleasable(f"the tag {tag} isn't v{version}, the version in contracts/__init__.py")


def notes(changelog: str, version: str) -> str:
    """The section of a version, without its heading.

    Raises:
        NotReleasable: there is no such section, or it is empty.
    """
    heading = re.compile(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", re.MULTILINE)
    found = heading.search(changelog)
    if found is None:
        raise NotReleasable(f"CHANGELOG.md has no section `## [{version}] - YYYY-MM-DD`")
    section = re.split(r"^(?:## |\[[^\]]+\]: )", changelog[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    if not section.strip():
        raise NotReleasable(f"the section of {version} in CHANGELOG.md is empty")
    return section.strip() + "\n"


def main(arguments: list[str]) -> int:
    try:
        (tag,) = arguments
        version = version_of((ROOT / "contracts/__init__.py").read_text("utf-8"))
        check(tag, version)
        sys.stdout.write(notes((ROOT / "CHANGELOG.md").read_text("utf-8"), version))
    except NotReleasable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
