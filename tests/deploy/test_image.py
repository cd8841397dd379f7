"""The image: what runs and nothing else, by a user that is nobody."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COPIED_IN = {"requirements.txt", "settings.py", "contracts", "services", "streams", "web", "static"}


def instructions(name: str) -> list[list[str]]:
    return [line.split()[1:] for line in DOCKERFILE if line.startswith(f"{name} ")]


def test_only_what_runs_is_copied() -> None:
    from_here = [words for words in instructions("COPY") if not words[0].startswith("--from=")]
    assert {source.rstrip("/") for *sources, _ in from_here for source in sources} == COPIED_IN
    assert instructions("ADD") == []


def test_the_builder_sees_only_what_is_copied() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == COPIED_IN


def test_what_is_copied_exists() -> None:
    assert [name for name in COPIED_IN if not (ROOT / name).exists()] == []


def test_every_package_is_one_whose_checksum_is_known() -> None:
    installs = [line for line in DOCKERFILE if " install " in line and "pip" in line]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "-r /tmp/requirements.txt" in installs[0]


def test_it_runs_as_a_user_with_a_number_who_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", instructions("USER")[-1][0])
    last_stage = max(index for index, line in enumerate(DOCKERFILE) if line.startswith("FROM "))
    assert any(line.startswith("USER ") for line in DOCKERFILE[last_stage:])


def test_the_base_is_named_with_its_version() -> None:
    bases = {words[0] for words in instructions("FROM")}
    assert bases == {"python:3.13-slim", "base"}
