"""A NATS server with the users of compose.yaml, and what each user tries to do."""

import asyncio
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from kit.nats import inbox_prefix
from kit.secrets import NATS_USERS
from ops.provision import provision
from sandbox.testing import free_port
from tests.support.polling import TIMEOUT

CONFIG = Path(__file__).parents[3] / "deploy/nats/nats.conf"
SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"
USERS = NATS_USERS
# NATS reads a password such as this as a number unless it is in quotes, which compose.yaml adds as well.
PASSWORD = "7e10"
ENVIRONMENT = {f"NATS_{user.upper()}_PASSWORD": f'"{PASSWORD}"' for user in USERS}


class User:
    """A user's connection. `violations` are the operations that the server refused."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.violations: list[str] = []
        self.connection: Client

    async def connect(self, port: int) -> Self:
        self.connection = await nats.connect(
            f"nats://{self.name}:{PASSWORD}@127.0.0.1:{port}",
            error_cb=self._on_error,
            allow_reconnect=False,
            connect_timeout=TIMEOUT,
            inbox_prefix=inbox_prefix(self.name),
        )
        return self

    async def _on_error(self, error: Exception) -> None:
        self.violations.append(str(error))

    async def processed(self) -> None:
        """Wait until the server has processed, and perhaps refused, everything sent so far.

        nats-py's `flush` isn't enough: its ping may overtake messages.
        """
        await self.js.account_info()

    @property
    def js(self) -> JetStreamContext:
        return self.connection.jetstream(timeout=TIMEOUT)

    async def may_publish(self, subject: str) -> bool:
        """Whether the server accepts a message on this subject, whatever then receives it."""
        before = len(self.violations)
        await self.connection.publish(subject, b"{}")
        await self.processed()
        return len(self.violations) == before

    async def may_subscribe(self, subject: str) -> bool:
        before = len(self.violations)
        subscription = await self.connection.subscribe(subject)
        await self.processed()
        allowed = len(self.violations) == before
        if allowed:
            await subscription.unsubscribe()
        return allowed


class Server:
    """Connects users to the running server."""

    def __init__(self, port: int, connections: AsyncExitStack) -> None:
        self.port = port
        self._connections = connections

    async def sign_in(self, name: str) -> User:
        user = await User(name).connect(self.port)
        self._connections.push_async_callback(user.connection.close)
        return user


@asynccontextmanager
async def server_with_users(folder: Path) -> AsyncIterator[Server]:
    """Run a provisioned server with deploy/nats/nats.conf."""
    port = free_port()
    listen = ["--addr", "127.0.0.1", "--port", str(port), "--http_port", "-1"]
    with (folder / "nats.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            SERVER, "--config", CONFIG, "--store_dir", folder, *listen, env=ENVIRONMENT, stderr=log
        )
        try:
            async with AsyncExitStack() as connections, asyncio.timeout(2 * TIMEOUT):
                await _listening(port)
                server = Server(port, connections)
                await provision((await server.sign_in("provision")).js)
                yield server
        finally:
            process.terminate()
            await process.wait()


async def _listening(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return
