"""The operator's commands, as they are run from a shell."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sandbox.processes import FROM_CHECKOUT, ROOT, Process, answering, granian
from sandbox.testing import free_port, running
from settings import Settings


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def environment(conf: Settings) -> dict[str, str]:
    """What a process has to be given to have these settings."""
    return {
        "DATA_DIR": str(conf.data_dir),
        "MONGO_URL": conf.database,
        "NATS_URL": conf.bus[0],
        "STRIPE_API_BASE": conf.stripe_base or "",
        "PAYMENTS_URL": conf.payments_url or "",
        "RECONCILE_SECONDS": "3600",
    }


async def run(module: str, *arguments: str, conf: Settings) -> Ran:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env={**os.environ, **environment(conf)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    return Ran(child.returncode or 0, out.decode(), err.decode())


@asynccontextmanager
async def payments_process(conf: Settings, folder: Path) -> AsyncIterator[str]:
    """The payments service on a port, without a bus; yields its address."""
    port = free_port()
    process = Process(
        name="payments",
        command=granian("streams.payments:app", "127.0.0.1", port),
        ready=answering(port, "/health/live"),
        environment={**FROM_CHECKOUT, **environment(conf)},
    )
    async with running(process, folder / "payments.log", signal.SIGKILL):
        yield f"http://127.0.0.1:{port}"
