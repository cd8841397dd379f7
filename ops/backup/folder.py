"""The folder of a backup, which is created atomically and verified by checksums.

SHA256SUMS contains the checksum of every other file, for `sha256sum --check`.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from ops.backup import BackupError

FORMAT = 2
"""Version of the stored format. Backups of other versions can't be restored."""
MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"


class Manifest(BaseModel):
    """The content of a backup."""

    format: int
    made_at: datetime
    at_rest: bool
    """Whether no service ran during the backup."""
    nats_server: str
    databases: dict[str, dict[str, int]]
    """Number of documents in each collection of each database."""
    streams: dict[str, int]
    """The last sequence number of each stream in its snapshot."""
    events_since: int
    """Number of events published between the snapshots of streams and databases."""


@contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """A temporary folder for a backup, which gets its final name if the block succeeds.

    Raises:
        BackupError: the folder or the temporary folder exists already or can't be written.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.exists():
        raise BackupError(f"{folder} exists already. Nothing was done.")
    try:
        partial.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise BackupError(
            f"{partial} exists: a backup is running or was interrupted. If none is running, remove it."
        ) from None
    except OSError as error:
        raise BackupError(f"{partial} can't be created: {error.strerror}.") from None
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
    """Verify all checksums and return the manifest.

    Raises:
        BackupError: a file is missing or has changed.
    """
    try:
        sums = dict(map(_named_sum, (folder / SUMS).read_text().splitlines()))
        for name, wanted in sums.items():
            if _sum(folder / name) != wanted:
                raise BackupError(f"{name} has changed since {folder} was created. Nothing was changed.")
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise BackupError(f"{folder} isn't a complete backup: {error.filename} is missing.") from None
    except (ValidationError, ValueError, OSError) as error:
        raise BackupError(f"{folder} can't be read as a backup: {error}") from None
    if MANIFEST not in sums or manifest.format != FORMAT:
        raise BackupError(f"{folder} was made by another version, as format {manifest.format}.")
    return manifest


def _seal(folder: Path) -> None:
    """Write the checksums and flush all files to disk."""
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
