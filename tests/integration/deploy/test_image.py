"""The image contains only the code that processes run, and runs without root privileges."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.processes import GRANIAN

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
CODE = "requirements/runtime.txt settings.py contracts kit services streams ops web static"
DOCUMENTS = "docs/asyncapi.yaml docs/openapi.yaml docs/quick-starts"
COPIED = set(f"{CODE} {DOCUMENTS}".split())
PACKAGES = ("contracts", "kit", "services", "streams", "ops", "web")

READ_ALL_FILES = f"""
import importlib, pkgutil, sys
from pathlib import Path

root = Path.cwd()
missing = set()
for package in {PACKAGES}:
    for module in pkgutil.walk_packages([root / package], package + "."):
        if module.name.endswith("__main__"):
            continue
        imported = importlib.import_module(module.name)
        assert Path(imported.__file__).is_relative_to(root), imported
        paths = [value for value in vars(imported).values() if isinstance(value, Path)]
        missing |= {{path for path in paths if path.is_relative_to(root) and not path.exists()}}

from web.developers import documents, quick_starts

for kind in documents.KINDS:
    assert documents.content(kind)
assert all(each.code for each in quick_starts.quick_starts("https://example.com"))
sys.exit("\\n".join(map(str, missing)) or 0)
"""
"""Imports all code of the folder in which it runs, and reads the files that this code needs at run time."""


def instructions(name: str) -> list[list[str]]:
    return [line.split()[1:] for line in DOCKERFILE if line.startswith(f"{name} ")]


def test_the_image_contains_only_the_code_that_processes_run() -> None:
    from_the_context = [words for words in instructions("COPY") if not words[0].startswith("--from=")]
    assert {source.rstrip("/") for *sources, _ in from_the_context for source in sources} == COPIED
    assert instructions("ADD") == []


def test_the_build_context_contains_only_files_that_the_image_copies() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == COPIED


def test_every_file_that_the_image_copies_exists() -> None:
    assert [name for name in COPIED if not (ROOT / name).exists()] == []


def _copy_image(folder: Path, without: str | None = None) -> None:
    for name in COPIED - {without}:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, target)


def _read_all_files(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", READ_ALL_FILES],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_image_contains_every_file_that_its_code_reads(tmp_path: Path) -> None:
    _copy_image(tmp_path)
    done = _read_all_files(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["static", "docs/asyncapi.yaml", "docs/openapi.yaml", "docs/quick-starts"])
def test_a_file_that_is_missing_in_the_image_is_noticed(name: str, tmp_path: Path) -> None:
    _copy_image(tmp_path, without=name)
    done = _read_all_files(tmp_path)
    assert done.returncode != 0
    assert name in done.stderr


def test_every_package_in_the_image_is_verified_by_its_hash() -> None:
    installs = [line for line in DOCKERFILE if " install " in line and "pip" in line]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "-r /tmp/requirements.txt" in installs[0]


def test_granian_has_the_same_options_inside_and_outside_a_container() -> None:
    variables = dict(word.split("=", 1) for words in instructions("ENV") for word in words)
    in_image = {name: value for name, value in variables.items() if name.startswith("GRANIAN_")}
    assert in_image.pop("GRANIAN_HOST") == variables["HOST"]
    assert in_image == GRANIAN


def test_the_image_runs_as_a_numeric_user_that_is_not_root() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", instructions("USER")[-1][0])
    last_stage = max(index for index, line in enumerate(DOCKERFILE) if line.startswith("FROM "))
    assert any(line.startswith("USER ") for line in DOCKERFILE[last_stage:])


def test_the_version_of_the_base_image_is_fixed() -> None:
    bases = {words[0] for words in instructions("FROM")}
    assert bases == {"python:3.13-slim", "base"}
