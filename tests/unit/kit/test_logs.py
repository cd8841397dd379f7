import logging
import sys

import pytest

from kit.logs import OneLineFormatter


def formatted(message: str, *, error: Exception | None = None) -> str:
    info = None
    if error is not None:
        try:
            raise error
        except Exception:
            info = sys.exc_info()
    record = logging.LogRecord("kit", logging.ERROR, "file.py", 1, "refused %s", (message,), info)
    return OneLineFormatter("%(levelname)s %(message)s").format(record)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Röw 4 🎸", "ERROR refused Röw 4 🎸"),
        ("x\n12:00:00 ERROR forged", r"ERROR refused x\n12:00:00 ERROR forged"),
        ("x\r\x1b[31my\x00", r"ERROR refused x\r\x1b[31my\x00"),
        ("x\u2028y\u202ez\x85", r"ERROR refused x\u2028y\u202ez\x85"),
    ],
)
def test_a_message_is_one_line_without_controls(message: str, line: str) -> None:
    assert formatted(message) == line


def test_the_text_of_an_exception_cannot_look_like_a_log_line() -> None:
    first, *others = formatted("x", error=ValueError("a\n12:00:00 ERROR forged\u202e")).splitlines()
    assert first == "ERROR refused x"
    assert all(line.startswith("  ") for line in others)
    assert others[-1] == r"  12:00:00 ERROR forged\u202e"
