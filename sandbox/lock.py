"""One stack a data folder."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "lock"


class Refused(Exception):
    """Said to the user as it is; nothing was started or changed."""


@contextmanager
def locked(data_dir: Path) -> Iterator[int]:
    """Holds the folder, made if need be; yields the lock's file descriptor.

    The lock lives until every process that was given the descriptor has ended.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (data_dir / NAME).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = f"Stagedoor is already running in {data_dir}."
            raise Refused(f"{running} Stop that one, or set DATA_DIR to another folder.") from None
        yield file.fileno()
