"""One log of many processes."""

import os
import sys
from contextlib import suppress
from itertools import cycle

COLOURS = "36 33 32 35 34 96 93 92 95".split()


class Log:
    """Writes `name | line` to stdout, aligned; in colour on a terminal, unless NO_COLOR is set."""

    def __init__(self, names: list[str]) -> None:
        self._width = max(map(len, names), default=0)
        self._colours = dict(zip(names, cycle(COLOURS), strict=False))
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def line(self, name: str, text: str) -> None:
        label = f"{name:{self._width}} |"
        write(f"{self._paint(label, self._colours.get(name, '37'))} {text}")

    def headline(self, text: str) -> None:
        write(self._paint(text, "1"))

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text


def write(text: str) -> None:
    """A reader that went away, as `head` does, stops nothing."""
    with suppress(BrokenPipeError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
