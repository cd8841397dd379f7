"""A lock that ensures that only one Stagedoor uses a data folder at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "lock"


class Refused(Exception):
    """Nothing was started or changed. The message is for the user."""


@contextmanager
def locked(data_dir: Path) -> Iterator[int]:
    """Lock the folder, creating it if necessary, and yield the lock's file descriptor.

    The lock is released when every process that inherited the descriptor has ended.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / NAME).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = f"Stagedoor is already running in {data_dir}."
            raise Refused(f"{running} Stop it, or set DATA_DIR to another folder.") from None
        yield file.fileno()
