"""`python -m sandbox.offline COMMAND …` runs `python -m ops COMMAND …`, whether Stagedoor is running or not.

If it isn't running, the embedded servers of the data folder run during the command.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import settings
from sandbox.lock import Refused, locked
from sandbox.processes import OWNER_ONLY, ROOT, Process, groups
from sandbox.testing import running


def main() -> int:
    os.chdir(ROOT)  # the base of .env and of a relative DATA_DIR
    os.umask(OWNER_ONLY)
    given = settings.load()
    command = [sys.executable, "-m", "ops", *sys.argv[1:]]
    try:
        with locked(given.data_dir):
            return asyncio.run(_with(groups(given)[0], given.data_dir, command))
    except Refused:  # Stagedoor is running, including its servers
        return subprocess.run(command, check=False).returncode  # noqa: S603 - typed by the operator


async def _with(servers: Sequence[Process], data_dir: Path, command: Sequence[str]) -> int:
    async with AsyncExitStack() as stack:
        for server in servers:
            log = data_dir / f"{server.name}-offline.log"
            await stack.enter_async_context(running(server, log, signal.SIGTERM))
        child = await asyncio.create_subprocess_exec(*command)
        try:
            return await child.wait()
        except asyncio.CancelledError:  # the command has received Ctrl-C too; let it clean up
            await child.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
