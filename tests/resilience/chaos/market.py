"""A marketplace for chaos: real processes that are restarted when they end, and a proxy on every link."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pymongo import AsyncMongoClient

from sandbox import processes
from sandbox.processes import FROM_CHECKOUT, Process, answering, granian
from sandbox.testing import free_port
from sandbox.watchdog import Watchdog, end
from settings import SERVICES, ServiceName, Settings
from streams.processes import DATABASES
from tests.resilience.chaos import cluster, process
from tests.resilience.chaos.disk import Disk, small_disk
from tests.resilience.chaos.environment import refuse_foreign_servers
from tests.resilience.chaos.mailbox import Mailbox
from tests.resilience.chaos.proxies import Proxy, proxy
from tests.resilience.chaos.supervisor import NotRunning, Supervised
from tests.support.polling import until
from tests.support.stack import environment_of, run_to_end, settings_from

START_SECONDS = 120.0
"""How long a process may take to become ready on a busy machine."""

WEB, NATS, DATABASE, STRIPE, MAILBOX = "web", "nats", "mongo", "stripe", "mailbox"
USERS, OPERATOR = "users", "operator"
"""The clients outside of the marketplace."""
OWNERS: Sequence[tuple[ServiceName, ServiceName]] = (("orders", "tickets"), ("payments", "orders"))
"""Services that ask the owner of a replica if they have none, and the owners."""
USING_STRIPE: Sequence[ServiceName] = ("payments", "payouts")
"""Services that ask Stripe, and receive its webhooks."""
WITH_NEXT_JOURNAL = {"WIREDTIGER_CONFIG": "log=(prealloc=true)"}
DELIVERY_HOURS = "0.005"
"""The hours in which promised files are due: 18 seconds."""
DISK_MEGABYTES = 400
LATEST_ATTEMPT = timedelta(seconds=20)
"""A message is tried again within this time, if all clocks are right: `process.MAIL_TIMES`."""
STORES = {NATS: "nats", DATABASE: "mongo"}
"""The folders of the servers whose disks can be filled."""


PaymentPage = Literal["token", "checkout"]
"""The page where buyers pay: the marketplace's page with a test card, or Stripe's page."""


@dataclass(frozen=True)
class Plan:
    """The options of a marketplace."""

    window: float = 20.0
    """Seconds to pay."""
    without: str = ""
    """The guard to remove, if any."""
    nodes: int = 1
    """The number of NATS servers."""
    small_disks: bool = False
    """Whether the disks of NATS and of the database can be filled."""
    payment_page: PaymentPage = "token"
    """The value of PAYMENT_PAGE at the start."""
    instances: int = 1
    """The number of instances of each service and of web."""


@dataclass
class Market:
    """The processes by name, and the links between them."""

    plan: Plan
    folder: Path
    settings: Settings
    """Settings with the addresses of the servers themselves, not of their proxies."""
    environment: Mapping[str, str]
    watchdog: Watchdog
    resources: AsyncExitStack
    supervised: dict[str, Supervised] = field(default_factory=dict)
    links: dict[tuple[str, str], Proxy] = field(default_factory=dict)
    """The proxy between each client and server."""
    disks: dict[str, Disk] = field(default_factory=dict)
    """The disks that can be filled, by server."""
    payment_page: PaymentPage = field(init=False)
    """The current value of PAYMENT_PAGE."""

    def __post_init__(self) -> None:
        self.payment_page = self.plan.payment_page
        self.mailbox = Mailbox(self.settings.mailbox_smtp_port)
        self._web_port = free_port()
        """The port of the first instance of web. Users connect to the proxy in front of it."""

    @property
    def nats_names(self) -> Sequence[str]:
        return cluster.NODES if self.plan.nodes > 1 else (NATS,)

    def counted(self, what: Callable[[Supervised], int]) -> Counter[str]:
        """The result of `what` for each process, without the processes for which it is 0."""
        return Counter({name: count for name, each in self.supervised.items() if (count := what(each))})

    @property
    def payments_url(self) -> str:
        """The address of payments for operators."""
        return f"http://127.0.0.1:{self.links[OPERATOR, 'payments'].port}"

    def instances_of(self, name: str) -> Sequence[str]:
        """The names of the instances of a service or of web, or the name of a server."""
        return [each for each in self.supervised if name in (each, each.partition("-")[0])]

    def clock_of(self, name: str) -> Path:
        return self.folder / "clocks" / name

    def kill(self, name: str) -> None:
        self.supervised[name].send(signal.SIGKILL)

    def stop(self, name: str) -> None:
        self.supervised[name].send(signal.SIGTERM)

    def restart_with(self, payment_page: PaymentPage) -> None:
        """Restart web and payments with another PAYMENT_PAGE, like an operator who changes the setting."""
        self.payment_page = payment_page
        for name, each in self.supervised.items():
            if name.partition("-")[0] in (WEB, "payments"):
                environment = {**each.process.environment, "PAYMENT_PAGE": payment_page}
                each.process = replace(each.process, environment=environment)
                with suppress(NotRunning):
                    each.send(signal.SIGTERM)

    @asynccontextmanager
    async def paused(self, name: str) -> AsyncIterator[None]:
        """Suspend a process within the block."""
        supervised = self.supervised[name]
        pid = supervised.pid
        supervised.send(signal.SIGSTOP)
        try:
            yield
        finally:
            if pid:
                end(pid, signal.SIGCONT)

    async def join(self, service: str) -> str:
        """Start one more instance of a service or of web, wait until it is ready, and return its name."""
        port = free_port()
        name = f"{service}-{port}"
        self._supervise(self._service(service, name, port))
        await until(lambda: self._missing(name), lambda missing: missing is None, START_SECONDS)
        for (_, server), link in self.links.items():
            if server == service:
                link.add(port)
                link.reset()  # clients reuse connections, and would never reach the new instance
        return name

    async def roll(self, name: str) -> None:
        """Restart an instance as a careful operator does: it gets no more connections before it stops."""
        each = self.supervised[name]
        assert each.process.port is not None
        links = [link for (_, server), link in self.links.items() if server == name.partition("-")[0]]
        for link in links:
            link.drain(each.process.port)
        deaths = each.deaths
        each.send(signal.SIGTERM)

        async def ended() -> bool:
            return each.deaths > deaths

        await until(ended, seconds=START_SECONDS)
        await until(lambda: self._missing(name), lambda missing: missing is None, START_SECONDS)
        for link in links:
            link.add(each.process.port)

    async def leave(self, name: str, how: signal.Signals) -> None:
        """End an instance with a signal."""
        service, _, port = name.rpartition("-")
        for (_, server), link in self.links.items():
            if server == service:
                link.remove(int(port))
        await self.supervised.pop(name).leave(how)

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until all processes are ready.

        Raises:
            AssertionError: lists the processes that aren't ready.
        """
        await until(self.unready, lambda unready: not unready, seconds)

    async def unready(self) -> list[str]:
        """The processes that aren't ready, each with the reason."""
        states = [(name, await self._missing(name)) for name in list(self.supervised)]
        return [f"{name}: {missing}" for name, missing in states if missing]

    async def _missing(self, name: str) -> str | None:
        """The reason why a process isn't ready, or None."""
        supervised = self.supervised.get(name)
        if supervised is None:
            return None
        assert supervised.process.ready is not None
        return await supervised.process.ready()

    async def send_postponed_mail(self) -> None:
        """Let messages be due now that a process with a fast clock has postponed for minutes."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.settings.database, tz_aware=True)
        async with client:
            moment = datetime.now(UTC)
            late = {"status": "queued", "next_attempt_at": {"$gt": moment + LATEST_ATTEMPT}}
            await client["mail"]["messages"].update_many(late, {"$set": {"next_attempt_at": moment}})

    async def pass_days(self) -> None:
        """Let all sales of delivered tickets be due now, and try again at once what has failed before."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self.settings.database, tz_aware=True)
        async with client:
            sales, moment = client["payouts"]["sales"], datetime.now(UTC) - timedelta(seconds=1)
            due = {"state": "held", "due_at": {"$ne": None}}
            await sales.update_many(due, {"$set": {"due_at": moment, "next_look_at": moment}})
            await sales.update_many({"next_look_at": {"$ne": None}}, {"$set": {"next_look_at": moment}})

    async def close(self) -> None:
        await asyncio.gather(*(each.leave(signal.SIGKILL) for each in self.supervised.values()))

    async def start(self) -> None:
        """Start everything, dependencies first.

        Raises:
            AssertionError: a process doesn't become ready.
        """
        for each in await self._nats():
            self._supervise(each)
        store = self.folder / STORES[DATABASE]
        self._supervise(await self._stored(processes.mongo(self.settings.mongo_port, store)))
        await self.ready()
        await self.resources.enter_async_context(self.mailbox.running())
        await self._start_proxies()
        if self.plan.nodes > 1:
            await until(
                lambda: cluster.meta_leader(self.settings.bus), lambda name: name is not None, START_SECONDS
            )
        await self._provision()
        if self.plan.nodes > 1:
            await cluster.ready(self.settings.bus)
        stripe = processes.stripe(self.settings.stripe_sandbox_port, self.folder)
        hooks = {
            f"{name.upper()}_URL": f"http://127.0.0.1:{self.links[STRIPE, name].port}"
            for name in USING_STRIPE
        }
        self._supervise(replace(stripe, environment={**self.environment, **stripe.environment, **hooks}))
        for name in SERVICES:
            self._supervise(self._service(name, name, self.settings.port_of(name)))
        self._supervise(self._service(WEB, WEB, self._web_port))
        await self.ready()
        for kind in (*SERVICES, WEB):
            for _ in range(self.plan.instances - 1):
                await self.join(kind)
        self._check_links()

    def _check_links(self) -> None:
        """Make sure that no process bypasses its proxies. Network faults wouldn't affect such a process.

        Raises:
            RuntimeError
        """
        for (client, server), link in self.links.items():
            if server in (NATS, DATABASE) and not link.connections:
                raise RuntimeError(f"{client} bypasses its proxy to {server}")

    async def _start_proxies(self) -> None:
        """Start a proxy for each pair of processes that communicate."""
        port = self.settings.port_of
        for name in (*SERVICES, WEB):
            for node, server in zip(self.nats_names, self.settings.bus, strict=True):
                await self._link(name, node, int(server.rpartition(":")[2]))
            if name in DATABASES:
                await self._link(name, DATABASE, self.settings.mongo_port)
            if name not in ("auth", WEB):
                await self._link(name, "auth", port("auth"))
        for name in SERVICES:
            if (WEB, name) not in self.links:
                await self._link(WEB, name, port(name))
        for service, owner in OWNERS:
            await self._link(service, owner, port(owner))
        for name in USING_STRIPE:
            await self._link(name, STRIPE, self.settings.stripe_sandbox_port)
            await self._link(STRIPE, name, port(name))
        await self._link(OPERATOR, "payments", port("payments"))
        await self._link("mail", MAILBOX, self.settings.mailbox_smtp_port)
        users = proxy(self._web_port, port=self.settings.web_port)
        self.links[USERS, WEB] = await self.resources.enter_async_context(users)

    async def _link(self, client: str, server: str, port: int) -> None:
        self.links[client, server] = await self.resources.enter_async_context(proxy(port))

    def _supervise(self, given: Process) -> None:
        self.supervised[given.name] = Supervised(given, self.folder / f"{given.name}.log", self.watchdog)

    async def _nats(self) -> list[Process]:
        if self.plan.nodes > 1:
            ports = [int(server.rpartition(":")[2]) for server in self.settings.bus]
            routes = [free_port() for _ in cluster.NODES]
            for pair in cluster.NODE_PAIRS:
                await self._link(*pair, routes[cluster.NODES.index(pair[1])])
            link_ports = {pair: self.links[pair].port for pair in cluster.NODE_PAIRS}
            return cluster.nodes(self.folder, ports, routes, link_ports)
        return [await self._stored(processes.nats(self.settings.nats_port, self.folder / STORES[NATS]))]

    async def _stored(self, server: Process) -> Process:
        if not self.plan.small_disks:
            return server
        if server.name == DATABASE:
            # Let the embedded database create the next file of its journal beforehand. If it needs that file
            # while the disk is full, it loses the last write that it acknowledged.
            server = replace(server, environment={**server.environment, **WITH_NEXT_JOURNAL})
        disk = small_disk(self.folder / STORES[server.name], DISK_MEGABYTES)
        self.disks[server.name] = await self.resources.enter_async_context(disk)
        return self.disks[server.name].under(server)

    async def _provision(self) -> None:
        usual = processes.provisioning()
        provisioning = replace(
            usual,
            command=(usual.command[0], "-m", "tests.resilience.chaos.process"),
            environment={**usual.environment, **self.environment, process.WITHOUT: self.plan.without},
        )
        await run_to_end(provisioning, self.folder / "provision.log")

    def _service(self, service: str, name: str, port: int) -> Process:
        """A process that reaches all others through proxies."""
        links = {server: link.port for (client, server), link in self.links.items() if client == service}
        urls = {
            f"{server.upper()}_URL": f"http://127.0.0.1:{links[server]}"
            for server in SERVICES
            if server in links
        }
        bus = ",".join(f"nats://127.0.0.1:{links[node]}" for node in self.nats_names)
        # Without directConnection, pymongo would connect to the address that the database announces, which
        # bypasses the proxy.
        database = f"127.0.0.1:{links.get(DATABASE, self.settings.mongo_port)}"
        behind = {
            "NATS_URL": bus,
            "MONGO_URL": f"mongodb://{database}/?retryWrites=false&directConnection=true",
            "STRIPE_SANDBOX_PORT": str(links.get(STRIPE, self.settings.stripe_sandbox_port)),
            "MAILBOX_SMTP_PORT": str(links.get(MAILBOX, self.settings.mailbox_smtp_port)),
        }
        clock = self.clock_of(name)
        clock.parent.mkdir(exist_ok=True)
        chaos = {
            process.APP: "web.app:app" if service == WEB else f"streams.{service}:app",
            process.CLOCK: str(clock),
            process.WITHOUT: self.plan.without,
            "PAYMENT_PAGE": self.payment_page,
        }
        return Process(
            name=name,
            command=granian("tests.resilience.chaos.process:app", "127.0.0.1", port),
            ready=answering(port, "/health/ready"),
            port=port,
            environment={**self.environment, **FROM_CHECKOUT, **urls, **behind, **chaos},
        )


@asynccontextmanager
async def market(folder: Path, plan: Plan) -> AsyncIterator[Market]:
    """A marketplace without rate limits, its data and logs in `folder`, on free ports.

    Raises:
        ForeignServers
    """
    folder.mkdir(parents=True, exist_ok=True)
    refuse_foreign_servers()
    environment = environment_of(
        folder,
        EXPIRATION_WINDOW_SECONDS=str(plan.window),
        DELIVERY_HOURS=DELIVERY_HOURS,
        FEE_PERCENT="5",
        MAX_LIVE_RESERVATIONS="100",
        LOG_LEVEL="WARNING",
        NATS_REPLICAS=str(plan.nodes),
    )
    if plan.nodes > 1:
        environment["NATS_URL"] = ",".join(f"nats://127.0.0.1:{free_port()}" for _ in range(plan.nodes))
    settings = settings_from(environment)
    async with AsyncExitStack() as resources:
        watchdog = resources.enter_context(Watchdog())
        built = Market(plan, folder, settings, environment, watchdog, resources)
        resources.push_async_callback(built.close)
        await built.start()
        yield built
