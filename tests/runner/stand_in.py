"""A small server in the place of a real one: `python stand_in.py PORT [stubborn] [parent]`.

It ends with code 3 when it is sent b"die".
"""

import os
import signal
import socket
import subprocess
import sys


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def stop(*_: object) -> None:
    say("stopping")
    sys.exit(0)


def main(port: int, *habits: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "stubborn" in habits else stop)
    say(f"pid {os.getpid()}")
    if "parent" in habits:
        sleeper = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"
        say(f"pid {subprocess.Popen([sys.executable, '-c', sleeper]).pid}")  # noqa: S603
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                if connection.recv(10) == b"die":
                    say("the disk is full")
                    sys.exit(3)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
