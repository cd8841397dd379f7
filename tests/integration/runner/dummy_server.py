"""A small server for tests of the runner: `python dummy_server.py PORT [stubborn] [parent]`.

With `stubborn`, the server ignores SIGTERM. With `parent`, it starts a child process that ignores SIGTERM.
The server exits with code 3 when it receives b"crash".
"""

import os
import signal
import socket
import subprocess
import sys


def report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def stop(*_: object) -> None:
    report("stopping")
    sys.exit(0)


def main(port: int, *options: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in options else stop)
    report(f"pid {os.getpid()}")
    if "parent" in options:
        sleeper = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        report(f"pid {subprocess.Popen([sys.executable, '-c', sleeper]).pid}")  # noqa: S603
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                if connection.recv(10) == b"crash":
                    report("the disk is full")
                    sys.exit(3)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
