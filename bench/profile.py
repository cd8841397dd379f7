"""`just profile WORKLOAD` writes a flame graph of one process while a workload runs."""

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.failure import Failed
from bench.market import market
from bench.suite import Effort, Suite
from bench.workloads import WORKLOADS
from sandbox.log import write
from sandbox.processes import BINARIES
from tests.support.processes import pids_of

SAMPLES_PER_SECOND = 200
PROFILED = [name for name, workload in WORKLOADS.items() if workload.needs_market]


@asynccontextmanager
async def profiled(pid: int, file: Path) -> AsyncIterator[None]:
    """Sample a process and its children within the block, then write the flame graph, without idle time.

    Raises:
        Failed: py-spy may not read the process, or wrote nothing.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(BINARIES / "py-spy"), "record", "--pid", str(pid), "--subprocesses"),
        *("--rate", str(SAMPLES_PER_SECOND), "--format", "flamegraph", "--output", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
    if not file.exists():
        raise Failed(f"py-spy wrote no flame graph:\n{output.decode(errors='replace').strip()}")


async def profile(workload: str, name: str, seconds: float, file: Path) -> None:
    """Profile the process with this name, such as web, while the workload runs once."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        write("Starting a marketplace ...")
        async with market(folder / "data") as running:
            suite = Suite(Effort(runs=1, seconds=seconds), folder, write, running)
            pids = pids_of(folder / "data")
            if name not in pids:
                raise Failed(f"There is no process {name}, only {', '.join(sorted(pids))}")
            write(f"{workload}: {WORKLOADS[workload].about}")
            async with profiled(pids[name][0], file):
                await WORKLOADS[workload].measure(suite)


def main() -> int:
    parser = argparse.ArgumentParser(prog="just profile", description=__doc__)
    parser.add_argument("workload", choices=PROFILED, metavar="WORKLOAD", help="one of `just bench --help`")
    parser.add_argument(
        "--process", default="web", help="the process to sample, such as tickets; web by default"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of load, 10 by default")
    parser.add_argument("--output", type=Path, help="the SVG file; WORKLOAD-PROCESS.svg by default")
    given = parser.parse_args()
    file = given.output or Path(f"{given.workload}-{given.process}.svg")
    try:
        asyncio.run(profile(given.workload, given.process, given.seconds, file.absolute()))
    except Failed as reason:
        write(str(reason))
        return 1
    write(f"Open {file} in a browser.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
