"""A small disk for a server, to be filled up and freed: a tmpfs that only the server sees.

It is mounted in a mount namespace of its own, which takes Linux, and root or user namespaces. A process
that does nothing holds the namespace, so the data outlives the servers that are started in it and killed.
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
"""To come to a mount namespace: as who may make one, or as the root of a user namespace."""
_NEEDS = "A small disk needs Linux, unshare and nsenter (of util-linux), and root or user namespaces"
_TRIAL = "mount -t tmpfs -o size=1m none /tmp"
_HOLD = 'mount -t tmpfs -o "size=$2m,mode=700" none "$1" && touch "$1.mounted" && exec sleep infinity'


@dataclass(frozen=True)
class Disk:
    folder: Path
    """Where servers on this disk find it. Others see an empty folder there."""
    holder: int
    """The process that keeps it."""
    as_user: bool
    """Whether it is in a user namespace too."""

    @property
    def contents(self) -> Path:
        """The same folder for those who are not on the disk."""
        return Path(f"/proc/{self.holder}/root{self.folder}")

    def under(self, process: Process) -> Process:
        """The same process on this disk; its id is still its own."""
        enter = ["nsenter", "--target", str(self.holder), "--mount"]
        if self.as_user:
            enter += ["--user", "--preserve-credentials"]
        return replace(process, command=(*enter, "--", *process.command))

    def fill(self) -> None:
        """Leave no byte free. Servers find some in files that they have already, or free some: then again."""
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
        """Give back what `fill` took."""
        (self.contents / _BALLAST).unlink(missing_ok=True)


def possible() -> str | None:
    """Why no small disk can be made here; None if one can."""
    if sys.platform != "linux" or not (shutil.which("unshare") and shutil.which("nsenter")):
        return _NEEDS
    return None if _way() is not None else f"{_NEEDS}; here neither may mount anything"


@cache
def _way() -> tuple[str, ...] | None:
    """The first way that works. Root in a container may be allowed less than the root of a user namespace."""
    for way in _WAYS:
        trial = (str(shutil.which("unshare")), *way, "--mount", "sh", "-c", _TRIAL)
        if subprocess.run(trial, check=False, capture_output=True).returncode == 0:  # noqa: S603 - all ours
            return way
    return None


@asynccontextmanager
async def small_disk(folder: Path, megabytes: int) -> AsyncIterator[Disk]:
    """An empty disk at this folder; what is on it is gone at the end.

    Raises:
        RuntimeError: this machine can't make one.
    """
    if reason := possible():
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
