"""The folder of a backup is complete or absent, verified by checksums, and never overwritten."""

from pathlib import Path

import pytest

from ops.backup import BackupError
from ops.backup.folder import checked, draft


def test_a_complete_backup_passes_the_check(backup: Path) -> None:
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
def test_the_check_finds_a_flipped_bit_in_any_file(name: str, backup: Path) -> None:
    body = bytearray((backup / name).read_bytes())
    body[len(body) // 2] ^= 1
    (backup / name).write_bytes(body)
    with pytest.raises(BackupError):
        checked(backup)


def test_a_partial_backup_is_neither_accepted_nor_overwritten(tmp_path: Path) -> None:
    (tmp_path / "backup.partial").mkdir()
    with pytest.raises(BackupError, match=r"backup\.partial exists"), draft(tmp_path / "backup"):
        pytest.fail("the partial backup was overwritten")
    with pytest.raises(BackupError, match="isn't a complete backup"):
        checked(tmp_path / "backup.partial")


def test_the_check_names_a_missing_file(backup: Path) -> None:
    (backup / "streams/EVENTS/backup.json").unlink()
    with pytest.raises(
        BackupError, match=r"isn't a complete backup: .*streams/EVENTS/backup\.json is missing"
    ):
        checked(backup)


def test_a_backup_never_overwrites_another_backup(backup: Path) -> None:
    before = (backup / "manifest.json").read_bytes()
    with pytest.raises(BackupError, match="exists already"), draft(backup):
        pytest.fail("the complete backup was overwritten")
    assert (backup / "manifest.json").read_bytes() == before
