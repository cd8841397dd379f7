"""The process that decodes one picture: `python -m services.tickets.images.decoder LIMITS`.

It reads the upload from standard input until its end and writes the result to standard output. If it exceeds
its limits, it is ended by a signal. It has no access to the database, the bus or any secret.
"""

import json
import sys

from kit.errors import ServiceError
from services.tickets.images.confinement import confine
from services.tickets.images.header import Limits
from services.tickets.images.rendering import render
from services.tickets.images.results import to_json


def main() -> None:
    limits = Limits(**json.loads(sys.argv[1]))
    confine(limits.cpu_seconds, limits.memory_mb)
    upload = sys.stdin.buffer.read()
    try:
        result = to_json(render(upload, limits))
    except ServiceError as error:
        result = to_json(error)
    sys.stdout.write(result)


if __name__ == "__main__":
    main()
