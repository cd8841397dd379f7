"""The whole marketplace as real processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from litestar import Litestar

import streams.auth
import streams.orders
from kit.secrets import OPERATOR, nats_servers
from sandbox.processes import FROM_CHECKOUT, Process, answering, granian, groups
from sandbox.testing import FAST_STOP, free_port, running
from settings import Settings, load
from streams.app import service_app
from streams.delivery import Listener
from tests.support.service import cheap_passwords

WINDOW_SECONDS = 900
SHORT_WINDOW_SECONDS = 4.0
"""Time to pay at the orders service whose reservations are meant to expire."""


class Stack:
    """The processes by name. Each can be stopped and started again."""

    def __init__(self, folder: Path, settings: Settings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self.folder = folder
        self._environment = environment
        self._processes: dict[str, Process] = {}
        self._running: dict[str, tuple[int, AsyncExitStack]] = {}
        self.short_window_orders = f"http://127.0.0.1:{free_port()}"
        self.short_window_web = f"http://localhost:{free_port()}"
        self.checkout_payments = f"http://127.0.0.1:{free_port()}"
        self.checkout_web = f"http://localhost:{free_port()}"

    @property
    def web(self) -> str:
        return self.settings.site

    @property
    def bus(self) -> list[str]:
        """The URLs of NATS for an operator."""
        return nats_servers(self.settings, OPERATOR)

    async def start(self, *names: str) -> None:
        """Start these processes again, and wait until they are ready."""
        await asyncio.gather(*(self._start(self._processes[name]) for name in names))

    async def stop(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Stop a process with its children, and wait until they have ended."""
        pid, context = self._running.pop(name)
        try:
            os.killpg(pid, how)
        except ProcessLookupError:
            raise RuntimeError(f"{name} had died:\n{self.log_of(name)}") from None
        finally:
            await context.aclose()

    @asynccontextmanager
    async def paused(self, name: str) -> AsyncIterator[None]:
        """Suspend the process with its children within the block."""
        pid, _ = self._running[name]
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(pid, signal.SIGCONT)

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def run(self, process: Process) -> None:
        """Add a process to this marketplace."""
        await self._start(process)

    async def _start(self, process: Process) -> None:
        process = replace(process, environment={**self._environment, **process.environment}, ready_within=180)
        self._processes[process.name] = process
        log = self.folder / f"{process.name}.log"
        if process.ready is None:
            await run_to_end(process, log)
            return
        context = AsyncExitStack()
        pid = await context.enter_async_context(running(process, log, FAST_STOP))
        self._running[process.name] = (pid, context)

    async def unready(self) -> list[str]:
        """The running processes that aren't ready, each with the reason."""
        ready = [(name, self._processes[name].ready) for name in self._running]
        states = [(name, await check()) for name, check in ready if check]
        return [f"{name}: {missing}" for name, missing in states if missing]

    async def close(self) -> None:
        await asyncio.gather(*(self.stop(name, FAST_STOP) for name in list(self._running)))


def environment_of(folder: Path, **variables: str) -> dict[str, str]:
    """Environment variables of a marketplace on free ports, without rate limits, with its data in `folder`.

    Args:
        variables: additional variables, or other values.
    """
    return {
        "DATA_DIR": str(folder),
        "EXPIRATION_WINDOW_SECONDS": str(WINDOW_SECONDS),
        **{name.upper(): "0" for name in Settings.model_fields if name.startswith("rate_")},
        **dict.fromkeys(["MAX_FAILED_SIGN_INS", "MAX_FAILURES_PER_NETWORK", "ALARM_FAILED_SIGN_INS"], "0"),
        "RECONCILE_SECONDS": "2",
        "OUTBOX_SWEEP_SECONDS": "1",
        "RESERVE_COOL_DOWN_SECONDS": "0",
        "MAX_TICKET_HOLD_SECONDS": "0",
        **{name.upper(): str(free_port()) for name in Settings.model_fields if name.endswith("_port")},
        **variables,
    }


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings of a process with these environment variables."""
    return Settings.model_validate({name.lower(): value for name, value in environment.items()})


async def run_to_end(process: Process, log: Path) -> None:
    """Run a process that ends by itself.

    Raises:
        RuntimeError: the process failed. The message contains its log.
    """
    with log.open("ab") as output:
        child = await asyncio.create_subprocess_exec(
            *process.command, env={**os.environ, **process.environment}, stdout=output, stderr=output
        )
    if await child.wait():
        raise RuntimeError(f"{process.name} failed:\n{log.read_text(errors='replace')}")


@asynccontextmanager
async def stagedoor(
    folder: Path,
    change: Callable[[Process], Process] | None = None,
    /,
    *,
    variants: bool = True,
    fast_passwords: bool = True,
    **variables: str,
) -> AsyncIterator[Stack]:
    """A running marketplace on free ports, without rate limits and console, with its data in `folder`.

    Args:
        change: changes the process of each service, such as `often`. `fast_passwords` has no effect then.
        variants: whether four more processes run: orders with a short time to pay, payments with Stripe's
            page, and a web process for each of the two.
        fast_passwords: whether auth uses a fast, insecure password hash.
        variables: additional environment variables, or other values of the usual ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment = environment_of(folder, **variables)
    settings = settings_from(environment)
    stack = Stack(folder, settings, environment)
    try:
        *first, services = groups(settings)
        services = [process for process in services if process.name != "console"]
        if change is not None:
            services = [process if process.ready is None else change(process) for process in services]
        elif fast_passwords:
            services = [_cheap_auth(process) if process.name == "auth" else process for process in services]
        for group in first:
            await asyncio.gather(*(stack.run(process) for process in group))
        if variants:
            more = (_short_window_orders, _short_window_web, _checkout_payments, _checkout_web)
            services = [*services, *(variant(stack) for variant in more)]
        await asyncio.gather(*(stack.run(process) for process in services))
        yield stack
    finally:
        await stack.close()


def auth() -> Litestar:
    """The auth service with a fast, insecure password hash, because almost every test signs users up."""
    patch.object(streams.auth, "Passwords", cheap_passwords).start()
    return service_app(streams.auth.service, load())


def _cheap_auth(process: Process) -> Process:
    assert process.port is not None
    return replace(process, command=granian("tests.support.stack:auth", "127.0.0.1", process.port))


def short_window_orders() -> Litestar:
    """The orders service without subscribers. With them, it would extend deadlines for bank checks by its own
    short time to pay."""
    service = replace(streams.orders.service, listener=Listener("orders"))
    return service_app(service, load())


def _short_window_orders(stack: Stack) -> Process:
    window = {"EXPIRATION_WINDOW_SECONDS": str(SHORT_WINDOW_SECONDS)}
    return _variant(
        "short-window-orders", "tests.support.stack:short_window_orders", stack.short_window_orders, window
    )


def _short_window_web(stack: Stack) -> Process:
    urls = {"ORDERS_URL": stack.short_window_orders, "WEB_URL": stack.short_window_web}
    return _variant("short-window-web", "web.app:app", stack.short_window_web, urls)


def _checkout_payments(stack: Stack) -> Process:
    urls = {"PAYMENT_PAGE": "checkout", "WEB_URL": stack.checkout_web}
    return _variant("checkout-payments", "streams.payments:app", stack.checkout_payments, urls)


def _checkout_web(stack: Stack) -> Process:
    urls = {
        "PAYMENTS_URL": stack.checkout_payments,
        "PAYMENT_PAGE": "checkout",
        "WEB_URL": stack.checkout_web,
    }
    return _variant("checkout-web", "web.app:app", stack.checkout_web, urls)


def _variant(name: str, app: str, url: str, environment: Mapping[str, str]) -> Process:
    port = int(url.rpartition(":")[2])
    return Process(
        name=name,
        command=granian(app, "127.0.0.1", port),
        ready=answering(port, "/health/ready"),
        port=port,
        environment={**FROM_CHECKOUT, **environment},
    )
