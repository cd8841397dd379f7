"""Run commands of `ops` as an operator does, and the payments service as a separate process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sandbox.processes import FROM_CHECKOUT, Process, answering, granian
from sandbox.testing import FAST_STOP, free_port, running
from settings import Settings
from tests.support.operate import CommandResult, operate


def environment(conf: Settings) -> dict[str, str]:
    """The environment variables that give these settings to another process."""
    return {
        "DATA_DIR": str(conf.data_dir),
        "MONGO_URL": conf.database,
        "NATS_URL": conf.bus[0],
        "STRIPE_API_BASE": conf.stripe_base or "",
        "PAYMENTS_URL": conf.payments_url or "",
        "RECONCILE_SECONDS": "3600",
    }


async def run(*arguments: str, conf: Settings) -> CommandResult:
    return await operate(*arguments, environment=environment(conf))


@asynccontextmanager
async def payments_process(conf: Settings, folder: Path) -> AsyncIterator[str]:
    """Run the payments service without NATS and yield its address."""
    port = free_port()
    process = Process(
        name="payments",
        command=granian("streams.payments:app", "127.0.0.1", port),
        ready=answering(port, "/health/live"),
        environment={**FROM_CHECKOUT, **environment(conf)},
    )
    async with running(process, folder / "payments.log", FAST_STOP):
        yield f"http://127.0.0.1:{port}"
