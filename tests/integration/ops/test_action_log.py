"""The log of operators' commands."""

import getpass
import json
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest

from ops.__main__ import cli, dead
from ops.action_log import FILE, _append
from ops.operator_commands import operator
from sandbox.testing import free_port
from tests.support.operate import operate

READING = {"developer_url", "trace", "stuck", "show_order", "list_dead", "show", "audit", "list_operators"}
AT_EVERY_START = {"provision"}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, id=command.callback.__name__)
        for group in (cli, dead, operator)
        for command in group.registered_commands
        if command.callback is not None
    ],
)
def test_every_command_that_changes_something_is_logged(command: object) -> None:
    callback = command.callback  # type: ignore[attr-defined]
    is_logged = hasattr(callback, "__wrapped__")
    assert is_logged == (callback.__name__ not in READING | AT_EVERY_START)


async def test_the_log_says_who_ran_a_command_with_which_arguments_and_how_it_ended(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path), "NATS_URL": f"nats://127.0.0.1:{free_port()}"}
    ran = await operate("dead", "drop", "7", environment=environment)
    assert ran.code == 1
    started, ended = (json.loads(line) for line in (tmp_path / FILE).read_text().splitlines())
    common = {"actor": getpass.getuser(), "command": "drop", "arguments": {"letters": ["7"]}}
    assert started == {"time": started["time"], **common, "outcome": "started"}
    assert ended == {"time": ended["time"], **common, "outcome": "failure", "exit_code": 1}
    assert datetime.fromisoformat(started["time"]).tzinfo is not None
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


def test_the_log_has_the_number_of_a_user_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image runs commands as a user that has only a number."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    _append(tmp_path / FILE, command="drop")
    assert json.loads((tmp_path / FILE).read_text())["actor"] == "4000000"


async def test_a_command_that_cannot_be_logged_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file in place of the folder")
    environment = {"DATA_DIR": str(tmp_path / "data"), "NATS_URL": f"nats://127.0.0.1:{free_port()}"}
    ran = await operate("dead", "drop", "7", environment=environment)
    assert ran.code == 1
    assert "can't be logged, and wasn't run" in ran.err
