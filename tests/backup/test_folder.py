"""The folder of a backup is there as a whole or not at all, and as it was written."""

from pathlib import Path

import pytest

from streams.backup import BackupError
from streams.backup.folder import checked, draft


def test_a_whole_backup_is_read(backup: Path) -> None:
    assert checked(backup).at_rest


@pytest.mark.parametrize(
    "name",
    [
        "SHA256SUMS",
        "manifest.json",
        "databases/tickets/tickets.bson",
        "databases/tickets/tickets.metadata.json",
        "streams/EVENTS/stream.tar.s2",
        "streams/EVENTS/backup.json",
    ],
)
def test_one_flipped_bit_anywhere_is_found(name: str, backup: Path) -> None:
    body = bytearray((backup / name).read_bytes())
    body[len(body) // 2] ^= 1
    (backup / name).write_bytes(body)
    with pytest.raises(BackupError):
        checked(backup)


def test_what_a_killed_backup_left_is_neither_taken_for_one_nor_written_over(tmp_path: Path) -> None:
    (tmp_path / "backup.partial").mkdir()
    with pytest.raises(BackupError, match=r"backup\.partial is there"), draft(tmp_path / "backup"):
        pytest.fail("two write into the same folder")
    with pytest.raises(BackupError, match="no whole backup"):
        checked(tmp_path / "backup.partial")


def test_a_file_that_is_missing_is_named(backup: Path) -> None:
    (backup / "streams/EVENTS/backup.json").unlink()
    with pytest.raises(BackupError, match=r"no whole backup: .*streams/EVENTS/backup\.json is missing"):
        checked(backup)


def test_a_backup_never_replaces_another(backup: Path) -> None:
    before = (backup / "manifest.json").read_bytes()
    with pytest.raises(BackupError, match="is there already"), draft(backup):
        pytest.fail("it is written over")
    assert (backup / "manifest.json").read_bytes() == before
