"""Run the operator's commands as from a shell."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.processes import FROM_CHECKOUT, ROOT


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


async def operate(*arguments: str, environment: Mapping[str, str]) -> CommandResult:
    """Run `python -m ops` with these arguments."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ops", *arguments),
        cwd=ROOT,
        env={**os.environ, **FROM_CHECKOUT, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    return CommandResult(child.returncode or 0, out.decode(), err.decode())
