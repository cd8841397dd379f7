"""One log format for all processes."""

import logging
import sys

from kit.tracing import current_trace


class _TraceFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.trace = current_trace() or "-"
        return True


def log_to_stdout(level: str) -> None:
    """Log all messages of at least `level`. A line has time, level, logger, trace and message."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_TraceFilter())
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(name)s [%(trace).8s] %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # These loggers log every request or message at INFO.
    for chatty in ("httpx", "stripe", "bus"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
