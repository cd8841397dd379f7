"""The processes of a marketplace, recognised by their data folder, and the resources they use (Linux)."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

_APP = re.compile(r"([\w.]+):(\w+)")
TICKS = os.sysconf("SC_CLK_TCK")


def memory_of(folder: Path) -> dict[str, int]:
    """The proportional set size (PSS) of each process and its children, in megabytes."""
    kilobytes: dict[str, int] = defaultdict(int)
    for process, name in _processes_of(folder):
        try:
            lines = (process / "smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        kilobytes[name] += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return {name: size // 1024 for name, size in kilobytes.items()}


def cpu_of(folder: Path) -> dict[str, float]:
    """The CPU time that each process and its children, running or ended, have used so far, in seconds."""
    seconds: dict[str, float] = defaultdict(float)
    for process, name in _processes_of(folder):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        # The process itself, and its children that have ended, such as decoders of pictures.
        seconds[name] += sum(map(int, fields[11:15])) / TICKS
    return dict(seconds)


def pids_of(folder: Path) -> dict[str, list[int]]:
    """The process ids by name, parents first."""
    found: dict[str, list[int]] = defaultdict(list)
    for process, name in _processes_of(folder):
        found[name].append(int(process.name))
    return {name: sorted(pids) for name, pids in found.items()}


def _processes_of(folder: Path) -> Iterator[tuple[Path, str]]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"DATA_DIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                yield process, _name_of((process / "cmdline").read_bytes())
        except OSError:  # it has ended, or belongs to another user
            continue


def _name_of(command: bytes) -> str:
    parts = command.decode(errors="replace").split("\0")
    for part in parts:
        if served := _APP.fullmatch(part):  # streams.auth:app, web.app:app, tests.support.stack:auth
            module, function = served.groups()
            return str(function if function != "app" else module.removesuffix(".app").rpartition(".")[2])
    if "-m" in parts[:-1]:
        return parts[parts.index("-m") + 1]
    return next((Path(part).name for part in parts if "nats-server" in part or "secantus" in part), "another")
