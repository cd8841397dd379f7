"""`python -m sandbox.up` runs all of Stagedoor on this machine until Ctrl-C."""

import asyncio
import errno
import os
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import settings
from sandbox.child import Failed
from sandbox.lock import Refused, locked
from sandbox.log import Log
from sandbox.processes import OWNER_ONLY, ROOT, Process, groups
from sandbox.runner import Runner
from sandbox.watchdog import Watchdog

STARTED = time.monotonic()


def main() -> int:
    os.chdir(ROOT)  # the base of .env and of a relative DATA_DIR
    os.umask(OWNER_ONLY)
    given = settings.load()
    console = f"http://localhost:{given.console_port}/ops"
    mailbox = f"http://localhost:{given.mailbox_port}" if given.uses_mailbox else None
    return up(groups(given), given.data_dir, given.site, console, mailbox)


def up(
    stack: Sequence[Sequence[Process]],
    data_dir: Path,
    address: str,
    console: str | None = None,
    mailbox: str | None = None,
) -> int:
    """Run until a signal, and return the exit code: 1 if the start or a process failed."""
    try:
        with locked(data_dir) as lock:
            processes = [process for group in stack for process in group]
            check_ports(processes)
            with Watchdog(lock) as watchdog:
                log = Log([process.name for process in processes])
                asyncio.run(_until_stopped(Runner(stack, log, watchdog), log, address, console, mailbox))
    except (Refused, Failed) as reason:
        sys.stdout.flush()
        sys.stderr.write(f"\n{reason}\n")
        return 1
    return 0


async def _until_stopped(
    runner: Runner, log: Log, address: str, console: str | None, mailbox: str | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def announce() -> None:
        seconds = time.monotonic() - STARTED
        mail = f", mail {mailbox}" if mailbox else ""
        operators = f", for operators {console} (token: just operator grant NAME)" if console else ""
        log.headline(f"Stagedoor is ready: {address} ({seconds:.1f} s){mail}{operators}")

    await runner.run(announce, stop)


def check_ports(processes: Iterable[Process]) -> None:
    """Check that all ports are free and different.

    Raises:
        Refused: names each port that is in use or assigned twice, and the setting that changes it.
    """
    users: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for process in processes:
        if process.port is not None:
            users[process.port].append((process.name, process.port_setting))
        for setting, port in process.more_ports.items():
            users[port].append((process.name, setting))
    problems = []
    for port, sharing in users.items():
        names = " and ".join(name for name, _ in sharing)
        variables = " or ".join(setting for _, setting in sharing)
        if len(sharing) > 1:
            problems.append(f"Port {port} is assigned to {names}. Set {variables} to another port.")
        elif _in_use(port):
            problems.append(f"Port {port} ({names}) is in use. Set {variables} to another port.")
    if problems:
        raise Refused("\n".join(problems))


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ignore recently closed connections
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


if __name__ == "__main__":
    sys.exit(main())
