"""A marketplace for one storm: every process real, on free ports, its data in a folder of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from sandbox.processes import Process, groups
from sandbox.testing import free_port, running
from settings import Settings

START_SECONDS = 60.0
"""Within which a process is ready, also while others keep the machine busy."""


class Market:
    """The processes by name. Each may be killed, and runs again afterwards."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self.web = f"http://127.0.0.1:{settings.web_port}"
        self.payments = settings.url_of("payments")
        self.stripe = f"http://127.0.0.1:{settings.stripe_sandbox_port}"
        self._environment = environment
        self._processes: dict[str, Process] = {}
        self._running: dict[str, AsyncExitStack] = {}

    async def start(self) -> None:
        for group in groups(self.settings):
            await asyncio.gather(*(self._start(process) for process in group))

    async def kill(self, name: str) -> None:
        """End a process as a power cut would, and start it again."""
        await self._running.pop(name).aclose()
        await self._start(self._processes[name])

    async def ailing(self) -> list[str]:
        """Processes that should run and don't answer."""
        states = [(name, await process.ready()) for name, process in self._processes.items() if process.ready]
        return [f"{name}: {missing}" for name, missing in states if missing]

    def log_of(self, name: str) -> Path:
        return self.settings.data_dir / f"{name}.log"

    async def close(self) -> None:
        await asyncio.gather(*(context.aclose() for context in self._running.values()))

    async def _start(self, process: Process) -> None:
        process = replace(
            process,
            environment={**process.environment, **self._environment},
            ready_within=START_SECONDS,
        )
        self._processes[process.name] = process
        if process.ready is None:
            await self._run_to_end(process)
            return
        context = AsyncExitStack()
        await context.enter_async_context(running(process, self.log_of(process.name), signal.SIGKILL))
        self._running[process.name] = context

    async def _run_to_end(self, process: Process) -> None:
        with self.log_of(process.name).open("ab") as output:
            child = await asyncio.create_subprocess_exec(
                *process.command, env={**os.environ, **process.environment}, stdout=output, stderr=output
            )
        if await child.wait():
            raise RuntimeError(f"{process.name} failed:\n{self.log_of(process.name).read_text()}")


ELSEWHERE = ("stripe_key", "stripe_api_base")


class NotForStorms(Exception):
    """Says what would be struck."""


@asynccontextmanager
async def market(folder: Path, *, window: float, **more: str) -> AsyncIterator[Market]:
    """A marketplace without rate limits, whose reservations last `window` seconds; `more` are settings too.

    Raises:
        NotForStorms: the environment names servers that others may use.
    """
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - before anything runs
    names = "WEB TICKETS AUTH ORDERS EXPIRATION PAYMENTS NATS MONGO STRIPE_SANDBOX".split()
    environment = {
        "DATA_DIR": str(folder),
        "EXPIRATION_WINDOW_SECONDS": str(window),
        "MAX_LIVE_RESERVATIONS": "100",
        "PAYMENT_PAGE": "token",
        **dict.fromkeys(["RATE_SIGN_IN", "RATE_SIGN_UP", "RATE_RESERVE", "RATE_PAY", "RATE_UPLOAD"], "0"),
        "RECONCILE_SECONDS": "2",
        "OUTBOX_SWEEP_SECONDS": "1",
        "LOG_LEVEL": "WARNING",
        **{f"{name}_PORT": str(free_port()) for name in names},
        **more,
    }
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
    others = [name for name in settings.model_fields_set if name.endswith("_url") or name in ELSEWHERE]
    if named := ", ".join(name.upper() for name in sorted(others) if getattr(settings, name)):
        raise NotForStorms(f"A storm strikes the embedded servers: unset {named}")
    started = Market(settings, environment)
    try:
        await started.start()
        yield started
    finally:
        await started.close()
