"""Ends process groups whose parent was killed and so could not end them itself.

A process of its own: it is told of groups on stdin, and acts when stdin closes. Unlike a signal at the
parent's death this also reaches grandchildren, and works on every Unix.
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
"""Seconds between asking and killing."""


class Watchdog:
    """The parent's end. Given a lock's file descriptor, it holds the lock until the last group is gone."""

    def __init__(self, lock: int | None = None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 this file
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=() if lock is None else (lock,),
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
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
        pass  # macOS says so of a group that has only a zombie
    return True


def end(group: int, by: signal.Signals) -> None:
    """Signals all of a group; a group that is gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, by)


def guard(orders: IO[str]) -> None:
    groups: set[int] = set()
    for order in orders:
        group = int(order[1:])
        if order[0] == "+":
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
