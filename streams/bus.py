"""A process's connection to NATS: it never blocks the start, and never gives up."""

import asyncio
import logging
import random
from contextlib import suppress
from datetime import timedelta

import nats.errors
from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from services.kit.tokens import EndedSessions
from settings import ServiceName, Settings
from streams.sessions import EndedSessionsFeed
from streams.topology import Consumer, consumers

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5

CATCH_UP_SECONDS = 60.0
"""What is said live may be missed by one who is slow: this long at most."""

PING_SECONDS = 3
"""A server that answers none of three pings is left for another. nats-py's own two minutes would be six."""

LOOK_SECONDS = 2.0
MOST_UNLED = 4
"""A node is left when nobody leads JetStream there in so many looks on end: more than most elections take."""


class Bus:
    """The broker of a service and what it listens to. Nothing is connected before `start`."""

    def __init__(self, settings: Settings, service: ServiceName, ended: EndedSessions) -> None:
        self.consumers = tuple(consumers(service))
        self.started = asyncio.Event()
        # Every process begins with another node, and goes on to the next: never back to one that it left.
        self._servers = random.sample(settings.bus, len(settings.bus))
        self.broker = NatsBroker(
            self._servers,
            dont_randomize=True,
            ping_interval=PING_SECONDS,
            name=f"stagedoor-{service}",
            # When attempts run out, nats-py's pull loop spins and starves the event loop.
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
            logger=logging.getLogger("bus"),
            graceful_timeout=5.0,
        )
        lifetime = timedelta(seconds=settings.session_lifetime_seconds)
        self._sessions = EndedSessionsFeed(self.broker, ended, lifetime)
        self._missed_sessions = asyncio.Event()
        self._unled = 0

    async def start(self) -> None:
        """Connect, wait until the consumers are provisioned, and begin to listen.

        Takes as long as NATS is away. Consumers are waited for because nats-py would create a
        missing one with settings of its own.
        """
        outlive_errors(await self.broker.connect())
        while missing := await self.missing():
            log.warning("waiting for %s: run `just provision`", ", ".join(missing))
            await asyncio.sleep(RETRY_SECONDS)
            await self._leave_if_cut_off()
        while not self.started.is_set():
            try:
                await self.broker.start()
                await self._sessions.catch_up()
            except (nats.errors.Error, TimeoutError) as error:
                log.warning("NATS went away at the start, once more: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.started.set()
        log.info("listening to %s consumers", len(self.consumers))

    async def keep_up(self) -> None:
        """Hear of what was missed, and stay where there is something to hear. Never ends."""
        await asyncio.gather(self._keep_up_with_sessions(), self._stay_in_reach())

    async def _keep_up_with_sessions(self) -> None:
        """Catch up with the sessions that ended: after each reconnection, and now and then."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_SECONDS):
                    await self._missed_sessions.wait()
            self._missed_sessions.clear()
            try:
                await self._sessions.catch_up()
            except (nats.errors.Error, TimeoutError) as error:
                log.warning("sessions that ended are not all known yet: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
                self._missed_sessions.set()

    async def _stay_in_reach(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._leave_if_cut_off()

    async def _leave_if_cut_off(self) -> None:
        """Go on from a node that has lost its cluster: it answers, so that to nats-py all seems well."""
        self._unled = 0 if await self._is_led() else self._unled + 1
        if self._unled >= MOST_UNLED and len(self._servers) > 1:
            log.warning("nobody leads JetStream here: another server may know better")
            await self.broker.connection.force_reconnect()
            self._unled = 0

    async def _is_led(self) -> bool:
        """Whether JetStream answers where we are connected; who isn't connected is on the way already."""
        if not self.broker.connection.is_connected:
            return True
        try:
            await self.broker.connection.jetstream(timeout=2).account_info()
        except (nats.errors.Error, TimeoutError):
            return False
        return True

    async def stop(self) -> None:
        """Let handlers finish, then disconnect."""
        self.started.clear()
        await self.broker.stop()

    async def missing(self) -> list[str]:
        """What keeps this process from hearing events: names of consumers, or the server."""
        if not self.broker.connection.is_connected:
            return ["NATS"]
        js = self.broker.connection.jetstream(timeout=2)
        found = await asyncio.gather(*(self._exists(js, consumer) for consumer in self.consumers))
        return [consumer.name for consumer, exists in zip(self.consumers, found, strict=True) if not exists]

    async def _exists(self, js: JetStreamContext, consumer: Consumer) -> bool:
        try:
            await js.consumer_info(consumer.stream, consumer.name)
        except (NotFoundError, nats.errors.Error, TimeoutError):
            return False
        return True

    async def _on_error(self, error: Exception) -> None:
        # While it's away, nats-py reports every attempt to reach it: once is enough. Before the start
        # there is no connection to ask, and what isn't a refused one, such as a wrong password, is news.
        lost = isinstance(error, OSError) or (
            self.started.is_set() and not self.broker.connection.is_connected
        )
        log.log(logging.DEBUG if lost else logging.WARNING, "NATS: %r", error)

    async def _on_disconnect(self) -> None:
        if self.started.is_set():
            log.warning("NATS is out of reach: events wait")

    async def _on_reconnect(self) -> None:
        log.info("NATS is back")
        self._missed_sessions.set()


def outlive_errors(connection: Client) -> None:
    """Connect anew when the server reports an error that it ends the connection for.

    nats-py 2.16 closes it for good then, whatever `max_reconnect_attempts` says: the process would live on
    and never hear anything again, though another connection, or a mended server, would serve it.
    """
    usual = connection._process_err

    async def process(err_msg: str) -> None:
        if "permissions violation" in err_msg.lower():  # of one subject: the connection goes on
            await usual(err_msg)
            return
        log.warning("NATS ends the connection: %s", err_msg)
        await connection._process_op_err(nats.errors.Error(f"nats: {err_msg}"))

    connection._process_err = process  # type: ignore[method-assign] # there is no option for it
