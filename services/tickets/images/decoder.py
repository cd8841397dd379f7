"""The process that decodes one picture: `python -m services.tickets.images.decoder LIMITS`.

It reads the upload from standard input until its end and writes the result to standard output. If it exceeds
its limits, it is ended by a signal. It has no access to the database, the bus or any secret.
"""

import json
import resource
import signal
import sys

from kit.errors import ServiceError
from services.tickets.images.header import Limits
from services.tickets.images.rendering import render
from services.tickets.images.results import to_json


def main() -> None:
    limits = Limits(**json.loads(sys.argv[1]))
    # Ctrl+C reaches all processes of a terminal. The tickets process ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _confine(limits)
    upload = sys.stdin.buffer.read()
    try:
        result = to_json(render(upload, limits))
    except ServiceError as error:
        result = to_json(error)
    sys.stdout.write(result)


def _confine(limits: Limits) -> None:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)
    if limits.cpu_seconds:
        _limit(resource.RLIMIT_CPU, limits.cpu_seconds)
    if limits.memory_mb:
        _limit(resource.RLIMIT_AS, limits.memory_mb * 1024 * 1024)


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


if __name__ == "__main__":
    main()
