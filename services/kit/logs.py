"""One log format for all processes."""

import logging
import sys

from services.kit.tracing import current_trace


class _TraceFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.trace = current_trace() or "-"
        return True


def log_to_stdout(level: str) -> None:
    """Log everything from `level` on as lines of time, level, logger, trace and message."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_TraceFilter())
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(levelname)-7s %(name)s [%(trace).8s] %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # They say at INFO what they do for each request and message.
    for chatty in ("httpx", "stripe", "bus"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))
