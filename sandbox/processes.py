"""The processes of a Stagedoor on one machine: what each runs and how one sees that it is ready."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from settings import ServiceName, Settings

ROOT = Path(__file__).resolve().parent.parent
BINARIES = Path(sys.executable).parent
DATABASE_SERVER = ROOT / ".database-venv" / "bin" / "secantusd-py"
START_ORDER: tuple[ServiceName, ...] = ("auth", "tickets", "orders", "payments", "expiration")
FROM_CHECKOUT = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}

LIMITS = (
    *("--http", "1", "--http1-header-read-timeout", "20000", "--http1-buffer-size", "65536"),
    *("--backlog", "2048", "--backpressure", "8000"),
)
"""Of granian: 64 KiB of a request's head within 20 s, which is also what it waits for the next request, and
longer than the web tier keeps a connection; 8,000 connections, of which live updates may be 5,000."""

Ready = Callable[[], Awaitable[str | None]]
"""Answers None when the process is ready, otherwise what is still missing."""


@dataclass(frozen=True)
class Process:
    name: str
    command: tuple[str, ...]
    ready: Ready | None
    """None: a command that has to end, with code 0, before the next group starts."""
    port: int | None = None
    port_setting: str = ""
    """The environment variable that changes the port."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """In addition to the runner's own."""
    chatter: str | None = None
    """Lines with this text are shown only if the process fails."""
    ready_within: float = 60.0
    """Seconds."""


def groups(settings: Settings) -> list[list[Process]]:
    """Everything that `just up` runs, in order: a group starts when all of the one before are ready."""
    embedded, stand_ins = [], [provisioning()]
    if settings.nats_url is None:
        embedded.append(nats(settings.nats_port, settings.data_dir / "nats"))
    if settings.mongo_url is None:
        embedded.append(mongo(settings.mongo_port, settings.data_dir / "mongo"))
    if settings.uses_stripe_sandbox:
        stand_ins.append(stripe(settings.stripe_sandbox_port, settings.data_dir))
    services = [service(name, settings) for name in START_ORDER]
    return [embedded, stand_ins, [*services, web(settings)]]


def nats(port: int, store: Path) -> Process:
    return Process(
        name="nats",
        command=(
            str(BINARIES / "nats-server"),
            *("--addr", "127.0.0.1", "--port", str(port)),
            *("--jetstream", "--store_dir", str(store.absolute())),
        ),
        ready=listening(port),
        port=port,
        port_setting="NATS_PORT",
        chatter="[INF]",
    )


def mongo(port: int, storage: Path) -> Process:
    """Started in a folder with no secantusd.toml, which would be read."""
    return Process(
        name="mongo",
        command=(
            *(str(DATABASE_SERVER), "--log-level", "WARNING"),
            *("--host", "127.0.0.1", "--port", str(port), "--storage-path", str(storage.absolute())),
            *("--sync-on-commit", "--cache-size", "128M", "--oplog-max-entries", "20000"),
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


def provisioning() -> Process:
    return Process(
        name="provision",
        command=(sys.executable, "-m", "streams.topology"),
        ready=None,
        environment=FROM_CHECKOUT,
    )


def service(name: ServiceName, settings: Settings) -> Process:
    return _http(name, f"streams.{name}:app", settings.host, settings.port_of(name))


def web(settings: Settings) -> Process:
    return _http("web", "web.app:app", settings.host, settings.web_port)


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
    """Its start-up lines are left out, its warnings and errors are not."""
    return (
        *(str(BINARIES / "granian"), "--interface", "asgi", "--factory", app),
        *("--host", host, "--port", str(port), "--workers", "1", "--loop", "uvloop"),
        *("--no-ws", "--log-level", "warning", "--workers-kill-timeout", "3"),
        *LIMITS,
    )


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
    """Ready when a GET of the path is answered with 200."""

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
