"""A whole marketplace for chaos: every process real and kept running, every link a wire."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox import processes
from sandbox.processes import FROM_CHECKOUT, ROOT, Process, answering, granian
from sandbox.testing import free_port
from sandbox.watchdog import Watchdog, end
from settings import SERVICES, ServiceName, Settings
from tests.chaos import cluster, process
from tests.chaos.disk import Disk, small_disk
from tests.chaos.wires import Wire, wire
from tests.people import until

START_SECONDS = 120.0
"""Within which a process is ready, also while others keep the machine busy."""
YOUNG_SECONDS = 20.0
"""A service that doesn't reach its database ends within that time of its start."""
BREATH_SECONDS = 0.3
"""Between a death and the next start, as with any supervisor."""

WEB, NATS, DATABASE, STRIPE = "web", "nats", "mongo", "stripe"
WITH_NEXT_JOURNAL = {"WIREDTIGER_CONFIG": "log=(prealloc=true)"}
DISK_MEGABYTES = 400
STORES = {NATS: "nats", DATABASE: "mongo"}
"""The folders of those whose disks can be full."""


@dataclass(frozen=True)
class Plan:
    """What differs between marketplaces."""

    window: float = 20.0
    """Seconds to pay."""
    without: str = ""
    """The guard that is taken away."""
    nodes: int = 1
    """Of NATS."""
    small_disks: bool = False
    """Whether the disks of NATS and of the database can be filled."""


class NotRunning(Exception):
    """It ended just now, and is about to be started again."""


class Kept:
    """A process that is started again whenever it ends, until it's told to leave."""

    def __init__(self, process: Process, log: Path, watchdog: Watchdog) -> None:
        self.process = process
        self.pid = 0
        self.deaths = 0
        self.failed_starts = 0
        """How often it ended by itself soon after its start: something that it needs was away."""
        self.own_deaths = 0
        """How often it ended by itself later, which nothing should make it do."""
        self._is_told = False
        """Whether somebody had the process that runs now end."""
        self._log = log
        self._watchdog = watchdog
        self._leaves = False
        self._task = asyncio.create_task(self._keep())

    def send(self, how: signal.Signals) -> None:
        """To the process and its children.

        Raises:
            NotRunning
        """
        if not self.pid:
            raise NotRunning(self.process.name)
        self._is_told = self._is_told or how in (signal.SIGKILL, signal.SIGTERM)
        end(self.pid, how)

    async def leave(self, how: signal.Signals) -> None:
        """End it for good; gives when it is gone, after ten seconds by force."""
        self._leaves = True
        with suppress(NotRunning):
            self.send(signal.SIGCONT)
            self.send(how)
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.shield(self._task)
        with suppress(NotRunning):
            self.send(signal.SIGKILL)
        await self._task

    async def _keep(self) -> None:
        while not self._leaves:
            with self._log.open("ab") as output:
                child = await asyncio.create_subprocess_exec(
                    *self.process.command,
                    cwd=ROOT,
                    env={**os.environ, **self.process.environment},
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            self.pid, self._is_told = child.pid, False
            began = time.monotonic()
            self._watchdog.watch(child.pid)
            await child.wait()
            if not self._is_told:
                is_young = time.monotonic() - began < YOUNG_SECONDS
                self.failed_starts += is_young
                self.own_deaths += not is_young
            end(child.pid, signal.SIGKILL)  # its children
            self._watchdog.forget(child.pid)
            self.pid = 0
            self.deaths += 1
            if not self._leaves:
                await asyncio.sleep(BREATH_SECONDS)


@dataclass
class Market:
    """The processes by name, and the links between them."""

    plan: Plan
    folder: Path
    settings: Settings
    """As somebody sees it who is behind none of the wires."""
    environment: Mapping[str, str]
    watchdog: Watchdog
    rooms: AsyncExitStack
    kept: dict[str, Kept] = field(default_factory=dict)
    wires: dict[tuple[str, str], Wire] = field(default_factory=dict)
    """From whom to whom."""
    disks: dict[str, Disk] = field(default_factory=dict)
    """Those that can be filled, by whose they are."""

    @property
    def nats_names(self) -> Sequence[str]:
        return cluster.NODES if self.plan.nodes > 1 else (NATS,)

    def counted(self, what: Callable[[Kept], int]) -> Counter[str]:
        """By process."""
        return Counter({name: count for name, kept in self.kept.items() if (count := what(kept))})

    def clock_of(self, name: str) -> Path:
        return self.folder / "clocks" / name

    def kill(self, name: str) -> None:
        self.kept[name].send(signal.SIGKILL)

    def stop(self, name: str) -> None:
        self.kept[name].send(signal.SIGTERM)

    @asynccontextmanager
    async def paused(self, name: str) -> AsyncIterator[None]:
        """Nothing of the process runs within the block, and it is alive all the same."""
        kept, pid = self.kept[name], self.kept[name].pid
        kept.send(signal.SIGSTOP)
        try:
            yield
        finally:
            if pid:
                end(pid, signal.SIGCONT)

    async def join(self, service: ServiceName) -> str:
        """One more copy of a service; gives its name once it takes part."""
        port = free_port()
        name = f"{service}-{port}"
        self._keep(self._service(service, name, port))
        await until(lambda: self._missing(name), lambda missing: missing is None, START_SECONDS)
        for (_, server), link in self.wires.items():
            if server == service:
                link.add(port)
                link.reset()  # who asks keeps connections, and would go on to ask the others alone
        return name

    async def leave(self, name: str, how: signal.Signals) -> None:
        """A copy goes, decently or not."""
        service, _, port = name.rpartition("-")
        for (_, server), link in self.wires.items():
            if server == service:
                link.remove(int(port))
        await self.kept.pop(name).leave(how)

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until everything is.

        Raises:
            AssertionError: with what isn't.
        """
        await until(self.ailing, lambda ailing: not ailing, seconds)

    async def ailing(self) -> list[str]:
        """Processes that don't answer as they should."""
        states = [(name, await self._missing(name)) for name in list(self.kept)]
        return [f"{name}: {missing}" for name, missing in states if missing]

    async def _missing(self, name: str) -> str | None:
        kept = self.kept.get(name)
        if kept is None:
            return None
        assert kept.process.ready is not None
        return await kept.process.ready()

    async def close(self) -> None:
        await asyncio.gather(*(kept.leave(signal.SIGKILL) for kept in self.kept.values()))

    async def start(self) -> None:
        """Everything, in the order of its needs.

        Raises:
            AssertionError: something doesn't become ready.
        """
        for each in await self._nats():
            self._keep(each)
        store = self.folder / STORES[DATABASE]
        self._keep(await self._stored(processes.mongo(self.settings.mongo_port, store)))
        await self.ready()
        await self.links()
        if self.plan.nodes > 1:
            await until(
                lambda: cluster.meta_leader(self.settings.bus), lambda name: name is not None, START_SECONDS
            )
        await self._provision()
        if self.plan.nodes > 1:
            await cluster.ready(self.settings.bus)
        stripe = processes.stripe(self.settings.stripe_sandbox_port, self.folder)
        hook = {"PAYMENTS_URL": f"http://127.0.0.1:{self.wires[STRIPE, 'payments'].port}"}
        self._keep(replace(stripe, environment={**self.environment, **stripe.environment, **hook}))
        for name in SERVICES:
            self._keep(self._service(name, name, self.settings.port_of(name)))
        self._keep(self._service(WEB, WEB, self.settings.web_port))
        await self.ready()
        self._check_wires()

    def _check_wires(self) -> None:
        """A process that found a way past its wire would never be struck.

        Raises:
            RuntimeError
        """
        for (client, server), link in self.wires.items():
            if server in (NATS, DATABASE) and not link.connections:
                raise RuntimeError(f"{client} talks to {server} by another way than its wire")

    async def links(self) -> None:
        """A wire from each process to each that it talks to."""
        port = self.settings.port_of
        for name in (*SERVICES, WEB):
            for node, server in zip(self.nats_names, self.settings.bus, strict=True):
                await self._link(name, node, int(server.rpartition(":")[2]))
            if name not in ("expiration", WEB):
                await self._link(name, DATABASE, self.settings.mongo_port)
            if name not in ("auth", WEB):
                await self._link(name, "auth", port("auth"))
        for name in SERVICES:
            if (WEB, name) not in self.wires:
                await self._link(WEB, name, port(name))
        await self._link("payments", STRIPE, self.settings.stripe_sandbox_port)
        await self._link(STRIPE, "payments", port("payments"))

    async def _link(self, client: str, server: str, port: int) -> None:
        self.wires[client, server] = await self.rooms.enter_async_context(wire(port))

    def _keep(self, given: Process) -> None:
        self.kept[given.name] = Kept(given, self.folder / f"{given.name}.log", self.watchdog)

    async def _nats(self) -> list[Process]:
        if self.plan.nodes > 1:
            ports = [int(server.rpartition(":")[2]) for server in self.settings.bus]
            routes = [free_port() for _ in cluster.NODES]
            for way in cluster.WAYS:
                await self._link(*way, routes[cluster.NODES.index(way[1])])
            ways = {way: self.wires[way].port for way in cluster.WAYS}
            return cluster.nodes(self.folder, ports, routes, ways)
        return [await self._stored(processes.nats(self.settings.nats_port, self.folder / STORES[NATS]))]

    async def _stored(self, server: Process) -> Process:
        if not self.plan.small_disks:
            return server
        if server.name == DATABASE:
            # Else the embedded one loses the last write that it acknowledged, if its journal needs a new
            # file just then: it does that by itself, so there is nothing to be seen of ours.
            server = replace(server, environment={**server.environment, **WITH_NEXT_JOURNAL})
        disk = small_disk(self.folder / STORES[server.name], DISK_MEGABYTES)
        self.disks[server.name] = await self.rooms.enter_async_context(disk)
        return self.disks[server.name].under(server)

    async def _provision(self) -> None:
        with (self.folder / "provision.log").open("ab") as output:
            child = await asyncio.create_subprocess_exec(
                *processes.provisioning().command[:1],
                "-m",
                "tests.chaos.process",
                cwd=ROOT,
                env={**os.environ, **FROM_CHECKOUT, **self.environment},
                stdout=output,
                stderr=output,
            )
        if await child.wait():
            raise RuntimeError(f"provisioning failed:\n{(self.folder / 'provision.log').read_text()}")

    def _service(self, service: str, name: str, port: int) -> Process:
        """Everything that it asks is behind a wire."""
        links = {server: link.port for (client, server), link in self.wires.items() if client == service}
        urls = {
            f"{server.upper()}_URL": f"http://127.0.0.1:{links[server]}"
            for server in SERVICES
            if server in links
        }
        bus = ",".join(f"nats://127.0.0.1:{links[node]}" for node in self.nats_names)
        # The database tells where it is, and pymongo would go there, past the wire, unless told not to.
        database = f"127.0.0.1:{links.get(DATABASE, self.settings.mongo_port)}"
        behind = {
            "NATS_URL": bus,
            "MONGO_URL": f"mongodb://{database}/?retryWrites=false&directConnection=true",
            "STRIPE_SANDBOX_PORT": str(links.get(STRIPE, self.settings.stripe_sandbox_port)),
        }
        clock = self.clock_of(name)
        clock.parent.mkdir(exist_ok=True)
        chaos = {
            process.APP: "web.app:app" if service == WEB else f"streams.{service}:app",
            process.CLOCK: str(clock),
            process.WITHOUT: self.plan.without,
        }
        return Process(
            name=name,
            command=granian("tests.chaos.process:app", "127.0.0.1", port),
            ready=answering(port, "/health/ready"),
            port=port,
            environment={**self.environment, **FROM_CHECKOUT, **urls, **behind, **chaos},
        )


@asynccontextmanager
async def market(folder: Path, plan: Plan) -> AsyncIterator[Market]:
    """A marketplace without rate limits, its data and logs in `folder`, on free ports."""
    folder.mkdir(parents=True, exist_ok=True)
    names = "WEB TICKETS AUTH ORDERS EXPIRATION PAYMENTS NATS MONGO STRIPE_SANDBOX".split()
    environment = {
        "DATA_DIR": str(folder),
        "EXPIRATION_WINDOW_SECONDS": str(plan.window),
        "MAX_LIVE_RESERVATIONS": "100",
        "PAYMENT_PAGE": "token",
        **dict.fromkeys(["RATE_SIGN_IN", "RATE_SIGN_UP", "RATE_RESERVE", "RATE_PAY", "RATE_UPLOAD"], "0"),
        "RECONCILE_SECONDS": "2",
        "OUTBOX_SWEEP_SECONDS": "1",
        "LOG_LEVEL": "WARNING",
        "NATS_REPLICAS": str(plan.nodes),
        **{f"{name}_PORT": str(free_port()) for name in names},
    }
    if plan.nodes > 1:
        environment["NATS_URL"] = ",".join(f"nats://127.0.0.1:{free_port()}" for _ in range(plan.nodes))
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items()})
    async with AsyncExitStack() as rooms:
        watchdog = rooms.enter_context(Watchdog())
        built = Market(plan, folder, settings, environment, watchdog, rooms)
        rooms.push_async_callback(built.close)
        await built.start()
        yield built
