"""The process that inspects one file: `python -m services.tickets.files.inspector LIMITS`.

It reads the upload from standard input until its end and writes the result to standard output. If it exceeds
its limits, it is ended by a signal. It has no access to the database, the bus or any key.
"""

import json
import sys

from kit.errors import ServiceError
from kit.images.confinement import confine
from services.tickets.files.contents import FileLimits, to_json
from services.tickets.files.inspection import inspect


def main() -> None:
    limits = FileLimits(**json.loads(sys.argv[1]))
    confine(limits.cpu_seconds, limits.memory_mb)
    upload = sys.stdin.buffer.read()
    try:
        result = to_json(inspect(upload, limits))
    except ServiceError as error:
        result = to_json(error)
    sys.stdout.write(result)


if __name__ == "__main__":
    main()
