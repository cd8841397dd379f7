"""The log of operators' actions that change something: `operator-actions.jsonl` in DATA_DIR."""

import getpass
import json
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import typer

from contracts.wire import now
from ops.command_line import fail
from ops.errors import CommandError
from settings import Settings, load

F = TypeVar("F", bound=Callable[..., None])

FILE = "operator-actions.jsonl"


def logged(command: F) -> F:
    """Log who runs a command, with which arguments, and its exit code.

    A command that can't be logged isn't run.
    """

    @wraps(command)
    def run(**arguments: Any) -> None:
        path = load().data_dir / FILE
        name = command.__name__
        try:
            _append(path, command=name, arguments=arguments, outcome="started")
        except OSError as error:
            fail(f"The command can't be logged, and wasn't run: {error}")
        code: int | None = None
        try:
            command(**arguments)
            code = 0
        except typer.Exit as exit_:
            code = exit_.exit_code
            raise
        finally:
            outcome = "success" if code == 0 else "failure"
            _append(path, command=name, arguments=arguments, outcome=outcome, exit_code=code)

    return cast("F", run)


@dataclass
class Action:
    """An action of the console that is in progress."""

    result: str = ""
    """What it did, in a sentence."""


@asynccontextmanager
async def acted(
    settings: Settings, operator: str, command: str, arguments: Mapping[str, Any]
) -> AsyncIterator[Action]:
    """Log an action of the console, when it starts and how it ends.

    Args:
        operator: the name that the personal token was granted to.

    Raises:
        CommandError: the action can't be logged, and must not be done.
    """
    path = settings.data_dir / FILE
    fields = {"actor": operator, "via": "console", "command": command, "arguments": arguments}
    try:
        _append(path, **fields, outcome="started")
    except OSError as error:
        raise CommandError(f"The action can't be logged, and wasn't done: {error}") from error
    action = Action()
    try:
        yield action
    except BaseException as error:
        _append(path, **fields, outcome="failure", result=str(error) or repr(error))
        raise
    _append(path, **fields, outcome="success", result=action.result)


def shell_user() -> str:
    """The user who runs the command: the name, or the number of a user without a name, as in a container."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # KeyError before Python 3.13
        return str(os.getuid())


def _append(path: Path, **fields: Any) -> None:
    line = json.dumps({"time": now().isoformat(), "actor": shell_user(), **fields}, default=str)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)
