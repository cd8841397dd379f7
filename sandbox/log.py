"""The combined log of several processes."""

import os
import sys
from contextlib import suppress
from itertools import cycle

COLORS = "36 33 32 35 34 96 93 92 95".split()


class Log:
    """Writes aligned lines as `name | line` to stdout, in color on a terminal unless NO_COLOR is set."""

    def __init__(self, names: list[str]) -> None:
        self._width = max(map(len, names), default=0)
        self._colors = dict(zip(names, cycle(COLORS), strict=False))
        self._is_colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def line(self, name: str, text: str) -> None:
        label = f"{name:{self._width}} |"
        write(f"{self._paint(label, self._colors.get(name, '37'))} {text}")

    def headline(self, text: str) -> None:
        write(self._paint(text, "1"))

    def _paint(self, text: str, color: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._is_colored else text


def write(text: str) -> None:
    """Write a line to stdout; ignore a reader, such as `head`, that has closed the pipe."""
    with suppress(BrokenPipeError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
