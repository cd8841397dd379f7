"""The processes of Stagedoor on one machine: their commands and readiness checks."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit.secrets import NATS_USERS, nats_password
from settings import SERVICES, ServiceName, Settings

ROOT = Path(__file__).resolve().parent.parent
BINARIES = Path(sys.executable).parent
DATABASE_SERVER = ROOT / ".database-venv" / "bin" / "secantusd-py"

GRANIAN = {
    "GRANIAN_INTERFACE": "asgi",
    "GRANIAN_FACTORY": "true",
    "GRANIAN_WORKERS": "1",
    "GRANIAN_LOOP": "uvloop",
    "GRANIAN_WEBSOCKETS": "false",
    "GRANIAN_HTTP": "1",
    # The head of a request may have 64 KiB and take 20 s. This time-out also applies to idle connections, so
    # it has to be longer than the time for which the web tier keeps idle connections to the services.
    "GRANIAN_HTTP1_BUFFER_SIZE": "65536",
    "GRANIAN_HTTP1_HEADER_READ_TIMEOUT": "20000",
    # 8,000 connections, of which up to 5,000 are live updates.
    "GRANIAN_BACKLOG": "2048",
    "GRANIAN_BACKPRESSURE": "8000",
}
"""The configuration of granian. The Dockerfile contains the same configuration for containers."""

FROM_CHECKOUT = {
    "PYTHONPATH": str(ROOT),
    "PYTHONUNBUFFERED": "1",
    **GRANIAN,
    "GRANIAN_LOG_LEVEL": "warning",
    "GRANIAN_WORKERS_KILL_TIMEOUT": "3",
}
"""The environment of Stagedoor's own processes."""

OWNER_ONLY = 0o077
"""The umask with which all processes run: nobody but the owner may read what they write."""

Ready = Callable[[], Awaitable[str | None]]
"""A function that returns None if the process is ready, otherwise what is missing."""


@dataclass(frozen=True)
class Process:
    name: str
    command: tuple[str, ...]
    ready: Ready | None
    """The function that checks whether the process is ready. None for a command that has to end with code 0
    before the next group starts."""
    port: int | None = None
    port_setting: str = ""
    """The environment variable that changes the port."""
    more_ports: Mapping[str, int] = field(default_factory=dict)
    """Further ports by the variables that change them."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to the runner's environment."""
    chatter: str | None = None
    """Lines that contain this text are shown only if the process fails."""
    ready_within: float = 60.0
    """Seconds until the start of a server counts as failed, after the commands of its group have ended."""


def groups(settings: Settings) -> list[list[Process]]:
    """The groups of processes that `just up` runs. A group starts when the previous one is ready.

    Provisioning runs at the same time as the services to save time; the services wait for their consumers and
    indexes.
    """
    embedded, stand_ins = [], []
    if settings.nats_url is None:
        passwords = {user: nats_password(settings, user) for user in NATS_USERS}
        embedded.append(nats(settings.nats_port, settings.data_dir / "nats", passwords))
    if settings.mongo_url is None:
        embedded.append(mongo(settings.mongo_port, settings.data_dir / "mongo"))
    if settings.uses_stripe_sandbox:
        stand_ins.append(stripe(settings.stripe_sandbox_port, settings.data_dir))
    if settings.uses_mailbox:
        stand_ins.append(mailbox(settings.mailbox_port, settings.mailbox_smtp_port, settings.data_dir))
    services = [service(name, settings) for name in SERVICES]
    return [embedded, stand_ins, [provisioning(), *services, web(settings), console(settings)]]


def nats(port: int, store: Path, passwords: Mapping[str, str] | None = None) -> Process:
    """The embedded NATS server.

    Args:
        passwords: the passwords of all users. Without them, as in tests, everybody may do anything.
    """
    users = () if passwords is None else ("--config", str(ROOT / "deploy" / "nats" / "users.conf"))
    return Process(
        name="nats",
        command=(
            str(BINARIES / "nats-server"),
            *users,
            *("--addr", "127.0.0.1", "--port", str(port)),
            *("--jetstream", "--store_dir", str(store.absolute())),
        ),
        # In quotes, because NATS would read a password of digits as a number.
        environment={
            f"NATS_{user.upper()}_PASSWORD": f'"{password}"' for user, password in (passwords or {}).items()
        },
        ready=listening(port),
        port=port,
        port_setting="NATS_PORT",
        chatter="[INF]",
    )


def mongo(port: int, storage: Path) -> Process:
    """The embedded database. Its working folder must not contain a secantusd.toml, which it would read."""
    return Process(
        name="mongo",
        command=(
            *(str(DATABASE_SERVER), "--log-level", "WARNING"),
            *("--host", "127.0.0.1", "--port", str(port), "--storage-path", str(storage.absolute())),
            *("--sync-on-commit", "--cache-size", "512M", "--oplog-max-entries", "20000"),
        ),
        ready=listening(port),
        port=port,
        port_setting="MONGO_PORT",
        environment={"PYTHONUNBUFFERED": "1"},
    )


def stripe(port: int, data_dir: Path) -> Process:
    return Process(
        name="stripe",
        command=granian("sandbox.stripe.app:app", "127.0.0.1", port),
        ready=answering(port, "/health"),
        port=port,
        port_setting="STRIPE_SANDBOX_PORT",
        environment={
            **FROM_CHECKOUT,
            "DATA_DIR": str(data_dir.absolute()),
            "STRIPE_SANDBOX_PORT": str(port),
        },
    )


def mailbox(port: int, smtp_port: int, data_dir: Path) -> Process:
    return Process(
        name="mailbox",
        command=granian("sandbox.mailbox.app:app", "127.0.0.1", port),
        ready=answering(port, "/health"),
        port=port,
        port_setting="MAILBOX_PORT",
        more_ports={"MAILBOX_SMTP_PORT": smtp_port},
        environment={
            **FROM_CHECKOUT,
            "DATA_DIR": str(data_dir.absolute()),
            "MAILBOX_PORT": str(port),
            "MAILBOX_SMTP_PORT": str(smtp_port),
        },
    )


def provisioning() -> Process:
    """The command that creates streams, consumers and indexes. One process
    starts faster than two."""
    return Process(
        name="provision",
        command=(sys.executable, "-m", "ops", "provision", "--migrate"),
        ready=None,
        environment=FROM_CHECKOUT,
    )


def service(name: ServiceName, settings: Settings) -> Process:
    return _http(name, f"streams.{name}:app", settings.services_host, settings.port_of(name))


def web(settings: Settings) -> Process:
    return _http("web", "web.app:app", settings.host, settings.web_port)


def console(settings: Settings) -> Process:
    """The operator console. Only this machine reaches it."""
    return _http("console", "ops.console.app:app", "127.0.0.1", settings.console_port)


def _http(name: str, app: str, host: str, port: int) -> Process:
    return Process(
        name=name,
        command=granian(app, host, port),
        ready=answering(port, "/health/ready"),
        port=port,
        port_setting=f"{name.upper()}_PORT",
        environment=FROM_CHECKOUT,
    )


def granian(app: str, host: str, port: int) -> tuple[str, ...]:
    """The command that serves an app. Its environment has to contain the variables of `GRANIAN`."""
    return (str(BINARIES / "granian"), app, "--host", host, "--port", str(port))


def listening(port: int) -> Ready:
    async def check() -> str | None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return f"nothing listens on port {port}"
        writer.close()
        return None

    return check


def answering(port: int, path: str) -> Ready:
    """Ready when a GET request for the path returns 200."""

    async def check() -> str | None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return f"nothing listens on port {port}"
        try:
            request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            async with asyncio.timeout(5):
                head, _, body = (await reader.read(4096)).partition(b"\r\n\r\n")
        except (OSError, TimeoutError):
            return f"no answer from {path}"
        finally:
            writer.close()
        status, _, _ = head.decode(errors="replace").partition("\r\n")
        if status.split(" ")[1:2] == ["200"]:
            return None
        return f"{path} answered {status!r} {body.decode(errors='replace').strip()}".rstrip()

    return check
