"""A small disk for a server, to be filled up and freed: a tmpfs that only the server sees.

It is mounted in a mount namespace of its own, which takes Linux, and root or user namespaces. A process
that does nothing holds the namespace, so the data outlives the servers that are started in it and killed.
"""

import errno
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.processes import Process
from sandbox.testing import running

_BALLAST = "ballast"
_BLOCK = 1024 * 1024

_HOLD = 'mount -t tmpfs -o "size=$2m,mode=700" none "$1" && touch "$1.mounted" && exec sleep infinity'


@dataclass(frozen=True)
class Disk:
    folder: Path
    """Where servers on this disk find it. Others see an empty folder there."""
    holder: int
    """The process that keeps it."""

    @property
    def contents(self) -> Path:
        """The same folder for those who are not on the disk."""
        return Path(f"/proc/{self.holder}/root{self.folder}")

    def under(self, process: Process) -> Process:
        """The same process on this disk; its id is still its own."""
        enter = ["nsenter", "--target", str(self.holder), "--mount"]
        if os.geteuid() != 0:
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


@asynccontextmanager
async def small_disk(folder: Path, megabytes: int) -> AsyncIterator[Disk]:
    """An empty disk at this folder; what is on it is gone at the end.

    Raises:
        RuntimeError: this machine can't make one.
    """
    if sys.platform != "linux" or not (shutil.which("unshare") and shutil.which("nsenter")):
        raise RuntimeError("A small disk needs Linux, with unshare and nsenter (of util-linux)")
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    mounted = folder.with_name(f"{folder.name}.mounted")
    mounted.unlink(missing_ok=True)

    async def ready() -> str | None:
        return None if mounted.exists() else "it isn't mounted: that takes root or user namespaces"

    as_user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    holder = Process(
        name="disk",
        command=("unshare", *as_user, "--mount", "sh", "-c", _HOLD, "sh", str(folder), str(megabytes)),
        ready=ready,
    )
    async with running(holder, folder.with_name(f"{folder.name}.log"), signal.SIGKILL) as pid:
        yield Disk(folder, pid)
