"""The process that decodes one picture: `python -m kit.images.decoder SHAPE LIMITS`.

The shape is `sizes` or `photo`. It reads the upload from standard input until its end and writes the result
to standard output. If it exceeds its limits, it is ended by a signal. It has no access to the database, the
bus or any secret.
"""

import json
import sys
from collections.abc import Callable, Mapping

from kit.errors import ServiceError
from kit.images.confinement import confine
from kit.images.header import Limits
from kit.images.rendering import copy_photo, render
from kit.images.results import Photo, Rendered, to_json


def main() -> None:
    converters: Mapping[str, Callable[[bytes, Limits], Rendered | Photo]] = {
        "sizes": render,
        "photo": copy_photo,
    }
    convert = converters[sys.argv[1]]
    limits = Limits(**json.loads(sys.argv[2]))
    confine(limits.cpu_seconds, limits.memory_mb)
    upload = sys.stdin.buffer.read()
    try:
        result = to_json(convert(upload, limits))
    except ServiceError as error:
        result = to_json(error)
    sys.stdout.write(result)


if __name__ == "__main__":
    main()
