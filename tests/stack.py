"""The whole marketplace as real processes, for the tests that need all of it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from litestar import Litestar

import streams.auth
from sandbox.processes import FROM_CHECKOUT, Process, answering, granian, groups
from sandbox.testing import free_port, running
from services.kit.limits import RateCounter
from services.orders.api import API
from services.orders.documents import Order, Ticket
from settings import Settings, load
from streams.app import Service, service_app
from streams.delivery import Listener
from tests.services.served import cheap_passwords

_DOCUMENTS = [Order, Ticket, RateCounter]
WINDOW_SECONDS = 900
HASTY_WINDOW_SECONDS = 4.0
"""Time to pay at the copies whose reservations are meant to expire."""


class Stack:
    """Every process by name; each may be stopped and started again."""

    def __init__(self, folder: Path, settings: Settings, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self.folder = folder
        self._environment = environment
        self._processes: dict[str, Process] = {}
        self._running: dict[str, tuple[int, AsyncExitStack]] = {}
        self.hasty_orders = f"http://127.0.0.1:{free_port()}"
        self.hasty_web = f"http://localhost:{free_port()}"
        self.checkout_payments = f"http://127.0.0.1:{free_port()}"
        self.checkout_web = f"http://localhost:{free_port()}"

    @property
    def web(self) -> str:
        return self.settings.site

    async def start(self, *names: str) -> None:
        """Start processes that are known by name, and wait until they are ready."""
        await asyncio.gather(*(self._start(self._processes[name]) for name in names))

    async def stop(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a process and its children; gives when they are gone."""
        pid, context = self._running.pop(name)
        try:
            os.killpg(pid, how)
        except ProcessLookupError:
            raise RuntimeError(f"{name} had died:\n{self.log_of(name)}") from None
        finally:
            await context.aclose()

    @asynccontextmanager
    async def paused(self, name: str) -> AsyncIterator[None]:
        """Nothing of the process runs within the block; it is alive all the same."""
        pid, _ = self._running[name]
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(pid, signal.SIGCONT)

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def run(self, process: Process) -> None:
        """Start one more process in this marketplace."""
        await self._start(process)

    async def _start(self, process: Process) -> None:
        process = replace(process, environment={**self._environment, **process.environment}, ready_within=180)
        self._processes[process.name] = process
        log = self.folder / f"{process.name}.log"
        if process.ready is None:
            await self._run_to_end(process, log)
            return
        context = AsyncExitStack()
        pid = await context.enter_async_context(running(process, log, signal.SIGKILL))
        self._running[process.name] = (pid, context)

    async def _run_to_end(self, process: Process, log: Path) -> None:
        with log.open("ab") as output:
            child = await asyncio.create_subprocess_exec(
                *process.command, env={**os.environ, **process.environment}, stdout=output, stderr=output
            )
        if await child.wait():
            raise RuntimeError(f"{process.name} failed:\n{self.log_of(process.name)}")

    async def close(self) -> None:
        await asyncio.gather(*(self.stop(name) for name in list(self._running)))


@asynccontextmanager
async def stagedoor(folder: Path, *, copies: bool = True, **environment: str) -> AsyncIterator[Stack]:
    """A marketplace with its data under `folder`, on free ports, without rate limits.

    Beside it, unless it is to be without `copies`, run a copy of orders whose reservations last two seconds,
    a copy of payments where one pays on Stripe's page, and for each a copy of web that uses it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = "WEB TICKETS AUTH ORDERS EXPIRATION PAYMENTS NATS MONGO STRIPE_SANDBOX".split()
    environment = {
        "DATA_DIR": str(folder),
        "EXPIRATION_WINDOW_SECONDS": str(WINDOW_SECONDS),
        "RATE_SIGN_IN": "0",
        "RATE_SIGN_UP": "0",
        "RATE_RESERVE": "0",
        "RATE_PAY": "0",
        "RATE_UPLOAD": "0",
        "RECONCILE_SECONDS": "2",
        "OUTBOX_SWEEP_SECONDS": "1",
        **{f"{name}_PORT": str(free_port()) for name in names},
        **environment,
    }
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
    stack = Stack(folder, settings, environment)
    try:
        *first, services = groups(settings)
        services = [_cheap_auth(process) if process.name == "auth" else process for process in services]
        for group in first:
            await asyncio.gather(*(stack.run(process) for process in group))
        if copies:
            others = (_hasty_orders, _hasty_web, _checkout_payments, _checkout_web)
            services = [*services, *(copy(stack) for copy in others)]
        await asyncio.gather(*(stack.run(process) for process in services))
        yield stack
    finally:
        await stack.close()


def auth() -> Litestar:
    """Auth with passwords that take no time and protect nothing: nearly every test has people sign up."""
    patch.object(streams.auth, "Passwords", cheap_passwords).start()
    return streams.auth.app()


def _cheap_auth(process: Process) -> Process:
    assert process.port is not None
    return replace(process, command=granian("tests.stack:auth", "127.0.0.1", process.port))


def hasty_orders() -> Litestar:
    """Orders without its subscribers: how much time a bank's check gives is left to the usual copy."""
    service = Service("orders", "Reservations that last two seconds", Listener("orders"), API, _DOCUMENTS)
    return service_app(service, load())


def _hasty_orders(stack: Stack) -> Process:
    window = {"EXPIRATION_WINDOW_SECONDS": str(HASTY_WINDOW_SECONDS)}
    return _copy("hasty-orders", "tests.stack:hasty_orders", stack.hasty_orders, window)


def _hasty_web(stack: Stack) -> Process:
    urls = {"ORDERS_URL": stack.hasty_orders, "WEB_URL": stack.hasty_web}
    return _copy("hasty-web", "web.app:app", stack.hasty_web, urls)


def _checkout_payments(stack: Stack) -> Process:
    urls = {"PAYMENT_PAGE": "checkout", "WEB_URL": stack.checkout_web}
    return _copy("checkout-payments", "streams.payments:app", stack.checkout_payments, urls)


def _checkout_web(stack: Stack) -> Process:
    urls = {
        "PAYMENTS_URL": stack.checkout_payments,
        "PAYMENT_PAGE": "checkout",
        "WEB_URL": stack.checkout_web,
    }
    return _copy("checkout-web", "web.app:app", stack.checkout_web, urls)


def _copy(name: str, app: str, url: str, environment: Mapping[str, str]) -> Process:
    port = int(url.rpartition(":")[2])
    return Process(
        name=name,
        command=granian(app, "127.0.0.1", port),
        ready=answering(port, "/health/ready"),
        port=port,
        environment={**FROM_CHECKOUT, **environment},
    )
