"""`python -m sandbox.offline MODULE …` runs a command on what is stored, whether Stagedoor runs or not.

If it doesn't, the embedded servers of the data folder, and nothing else, run for as long as the command does.
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
from sandbox.processes import ROOT, Process, groups
from sandbox.testing import running


def main() -> int:
    os.chdir(ROOT)  # where .env and a relative DATA_DIR are looked for
    given = settings.load()
    command = [sys.executable, "-m", *sys.argv[1:]]
    try:
        with locked(given.data_dir):
            return asyncio.run(_with(groups(given)[0], given.data_dir, command))
    except Refused:  # it runs, with all of its servers
        return subprocess.run(command, check=False).returncode  # noqa: S603 - an operator's own words


async def _with(servers: Sequence[Process], data_dir: Path, command: Sequence[str]) -> int:
    async with AsyncExitStack() as stack:
        for server in servers:
            log = data_dir / f"{server.name}-offline.log"
            await stack.enter_async_context(running(server, log, signal.SIGTERM))
        child = await asyncio.create_subprocess_exec(*command)
        try:
            return await child.wait()
        except asyncio.CancelledError:  # Ctrl-C, which the command had too: it cleans up
            await child.wait()
            raise


if __name__ == "__main__":
    sys.exit(main())
