"""One log format for all processes."""

import logging
import re
import sys
from typing import Any

from kit.tracing import current_trace


class _TraceFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.trace = current_trace() or "-"
        return True


_DISRUPTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class OneLineFormatter(logging.Formatter):
    """Escapes line breaks and other controls in messages, so that no input can write a log line of its own.

    The lines of a traceback are indented, because the text of an exception may contain input too.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # the name in the base class
        record.message = _DISRUPTIVE.sub(_escaped, record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 # the name in the base class
        return "\n".join(
            f"  {_DISRUPTIVE.sub(_escaped, each)}" for each in super().formatException(ei).splitlines()
        )


def _escaped(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()


def log_to_stdout(level: str) -> None:
    """Log all messages of at least `level`. A line has time, level, logger, trace and message."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_TraceFilter())
    handler.setFormatter(
        OneLineFormatter("%(asctime)s %(levelname)-7s %(name)s [%(trace).8s] %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # These loggers log every request or message at INFO.
    for chatty in ("httpx", "stripe", "bus"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
