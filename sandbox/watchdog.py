"""Ends the process groups of a parent that was killed.

The watchdog is a separate process, which receives the groups on stdin and ends them when stdin closes. Unlike
a parent-death signal, it also reaches grandchildren and works on every Unix.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

GRACE = 4.0
"""Seconds between SIGTERM and SIGKILL."""


class Watchdog:
    """Starts a watchdog process and tells it which groups to watch.

    The process inherits the file descriptor `lock`, and so holds the lock until the last group has ended.
    """

    def __init__(self, lock: int | None = None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 this file
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        self._send(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._send(f"-{group}\n")

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            pass  # closes stdin, then waits


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # on macOS, the group contains only zombies
    return True


def end(group: int, by: signal.Signals) -> None:
    """Send a signal to all processes of a group, if it still exists."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, by)


def guard(commands: IO[str]) -> None:
    """Add and remove groups as the commands say, and end the remaining groups when the input ends."""
    groups: set[int] = set()
    for command in commands:
        group = int(command[1:])
        if command[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        end(group, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while any(alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.02)
    for group in groups:
        end(group, signal.SIGKILL)


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    guard(sys.stdin)
