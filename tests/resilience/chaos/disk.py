"""A small disk for a server, which can be filled and freed: a tmpfs that only the server sees.

The disk is mounted in its own mount namespace, which requires Linux, and root or user namespaces. An idle
process holds the namespace, so the data outlives servers that are started in it and killed.
"""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from sandbox.processes import Process
from sandbox.testing import running

_BALLAST = "ballast"
_BLOCK = 1024 * 1024

_AS_USER = ("--user", "--map-root-user")
_WAYS: tuple[tuple[str, ...], ...] = ((), _AS_USER)
"""Options of unshare that may create a mount namespace: as root, or as root of a user namespace."""
_NEEDS = "A small disk needs Linux, unshare and nsenter (of util-linux), and root or user namespaces"
_TRIAL = "mount -t tmpfs -o size=1m none /tmp"
_HOLD = 'mount -t tmpfs -o "size=$2m,mode=700" none "$1" && touch "$1.mounted" && exec sleep infinity'


@dataclass(frozen=True)
class Disk:
    folder: Path
    """The path of the disk for servers that run on it. Other processes see an empty folder there."""
    holder: int
    """The process that holds the namespace."""
    as_user: bool
    """Whether the disk uses a user namespace."""

    @property
    def contents(self) -> Path:
        """The path at which processes outside the namespace see the disk."""
        return Path(f"/proc/{self.holder}/root{self.folder}")

    def under(self, process: Process) -> Process:
        """A copy of `process` that runs on this disk, without a wrapper process around it."""
        enter = ["nsenter", "--target", str(self.holder), "--mount"]
        if self.as_user:
            enter += ["--user", "--preserve-credentials"]
        return replace(process, command=(*enter, "--", *process.command))

    def fill(self) -> None:
        """Leave no byte free. Servers may still write into existing files, or free some bytes."""
        ballast = os.open(self.contents / _BALLAST, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            block = _BLOCK
            while block:
                try:
                    os.write(ballast, bytes(block))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    block //= 2
        finally:
            os.close(ballast)

    def free(self) -> None:
        """Free what `fill` used."""
        (self.contents / _BALLAST).unlink(missing_ok=True)


def why_impossible() -> str | None:
    """The reason why this machine can't make a small disk, or None."""
    if sys.platform != "linux" or not (shutil.which("unshare") and shutil.which("nsenter")):
        return _NEEDS
    return (
        None if _way() is not None else f"{_NEEDS}; on this machine, neither of these may mount a file system"
    )


@cache
def _way() -> tuple[str, ...] | None:
    """The options of unshare that work here. In a container, root may have fewer rights than root of a user
    namespace."""
    for way in _WAYS:
        trial = (str(shutil.which("unshare")), *way, "--mount", "sh", "-c", _TRIAL)
        if subprocess.run(trial, check=False, capture_output=True).returncode == 0:  # noqa: S603 - all ours
            return way
    return None


@asynccontextmanager
async def small_disk(folder: Path, megabytes: int) -> AsyncIterator[Disk]:
    """An empty disk at this folder. Its contents are deleted at the end.

    Raises:
        RuntimeError: this machine can't make a small disk.
    """
    if reason := why_impossible():
        raise RuntimeError(reason)
    way = _way() or ()
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    mounted = folder.with_name(f"{folder.name}.mounted")
    mounted.unlink(missing_ok=True)

    async def ready() -> str | None:
        return None if mounted.exists() else "it isn't mounted"

    holder = Process(
        name="disk",
        command=("unshare", *way, "--mount", "sh", "-c", _HOLD, "sh", str(folder), str(megabytes)),
        ready=ready,
    )
    async with running(holder, folder.with_name(f"{folder.name}.log"), signal.SIGKILL) as pid:
        yield Disk(folder, pid, as_user=way == _AS_USER)
