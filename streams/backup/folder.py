"""The folder of a backup: there as a whole or not at all, and as it was written.

SHA256SUMS has the checksum of every other file, in the form that `sha256sum --check` reads.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from streams.backup import BackupError

FORMAT = 1
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"


class Manifest(BaseModel):
    """What is in a backup."""

    format: int
    made_at: datetime
    at_rest: bool
    """Whether nothing ran while it was made."""
    nats_server: str
    databases: dict[str, dict[str, int]]
    """Documents by database and collection."""
    streams: dict[str, int]
    """The last sequence number of each stream in its snapshot."""
    events_since: int
    """How many events were published between the snapshots of streams and databases."""


@contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """A folder to write a backup into, which gets its name once the block ends well.

    Raises:
        BackupError: there is one of that name, or one is being made.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.exists():
        raise BackupError(f"{folder} is there already. Nothing was done.")
    try:
        partial.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise BackupError(
            f"{partial} is there: another backup is being made, or one was cut short. Then remove it."
        ) from None
    except OSError as error:
        raise BackupError(f"{partial} can't be made: {error.strerror}.") from None
    try:
        yield partial
        _seal(partial)
        partial.rename(folder)
        _flush(folder.parent)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError) and error.errno is not None:  # a time-out is an OSError too
            raise BackupError(f"The backup can't be written: {error}.") from error
        raise


def checked(folder: Path) -> Manifest:
    """What the backup has in it, after reading all of it.

    Raises:
        BackupError: it isn't whole, or not as it was written.
    """
    try:
        sums = dict(map(_named_sum, (folder / SUMS).read_text().splitlines()))
        for name, wanted in sums.items():
            if _sum(folder / name) != wanted:
                raise BackupError(f"{name} isn't what it was when {folder} was made. Nothing was touched.")
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise BackupError(f"{folder} is no whole backup: {error.filename} is missing.") from None
    except (ValidationError, ValueError, OSError) as error:
        raise BackupError(f"{folder} can't be read as a backup: {error}") from None
    if MANIFEST not in sums or manifest.format != FORMAT:
        raise BackupError(f"{folder} was made by another version, as format {manifest.format}.")
    return manifest


def _seal(folder: Path) -> None:
    """Write the checksums, and have everything on disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines))
    for path in [*folder.rglob("*"), folder]:
        _flush(path)


def _named_sum(line: str) -> tuple[str, str]:
    wanted, _, name = line.partition("  ")
    if not name or name.startswith("/") or ".." in Path(name).parts:
        raise ValueError(f"{SUMS} is damaged")
    return name, wanted


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
