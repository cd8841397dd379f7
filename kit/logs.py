"""One log pipeline for all processes, for our own messages and those of libraries."""

import logging
import re
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, cast

from pydantic import SecretStr

from kit.redaction import Redaction
from kit.tracing import current_span, current_trace
from settings import Settings

# For its console renderer, structlog imports rich if it is installed. That takes 70 ms and isn't needed here.
_rich = sys.modules.get("rich")
sys.modules["rich"] = cast("ModuleType", None)
try:
    from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars
    from structlog.processors import JSONRenderer, format_exc_info
    from structlog.stdlib import ProcessorFormatter
    from structlog.typing import EventDict, Processor
finally:
    del sys.modules["rich"]
    if _rich is not None:
        sys.modules["rich"] = _rich

__all__ = ["EXTRA", "bind_contextvars", "bound_contextvars", "formatter", "log_to_stdout"]

EXTRA = "fields"
"""The attribute of a record whose fields, a mapping, become part of a JSON line."""

UNTRUSTED = ("message", "exception", "path", "security")
"""The fields that may contain text of users and errors. The others are ids and names of ours."""

_DISRUPTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def log_to_stdout(settings: Settings) -> None:
    """Log all messages of at least the configured level, as text or JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter(settings.log_format, Redaction(_secrets(settings))))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    # These loggers log every request or message at INFO.
    for chatty in ("httpx", "stripe", "bus"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    # Granian gives its loggers handlers of their own.
    for name in ("_granian", "granian.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def formatter(format_: str, redaction: Redaction) -> logging.Formatter:
    """The formatter of all records: `json` for machines, or `text`, in which a message is one line."""

    def redact(_: Any, __: str, fields: EventDict) -> EventDict:
        return {**fields, **{name: redaction.value(fields[name]) for name in UNTRUSTED if name in fields}}

    if format_ == "json":
        processors: list[Processor] = [_describe, format_exc_info, redact, JSONRenderer()]
    else:
        processors = [_format_as_text, format_exc_info, redact, _one_line]
    # Only structlog's own loggers need a chain for other records.
    return ProcessorFormatter(processors=processors)


def _secrets(settings: Settings) -> list[str]:
    """All secrets in the settings except URLs, of which only the password has to be removed."""
    values = [getattr(settings, name) for name in type(settings).model_fields]
    secrets = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    return [secret for secret in secrets if "://" not in secret]


def _describe(_: Any, __: str, fields: EventDict) -> EventDict:
    """The fields of a JSON line."""
    record: logging.LogRecord = fields["_record"]
    described: EventDict = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": fields["event"],
        "trace_id": current_trace(),
        "span_id": current_span(),
    }
    described = {name: value for name, value in described.items() if value is not None} | get_contextvars()
    extra = getattr(record, EXTRA, None)
    if isinstance(extra, Mapping):
        described |= extra
    return {**described, "exc_info": fields.get("exc_info")}


def _format_as_text(_: Any, __: str, fields: EventDict) -> EventDict:
    """Time, level, logger and trace in front of the message."""
    record: logging.LogRecord = fields["_record"]
    at = time.strftime("%H:%M:%S", time.localtime(record.created))
    trace = current_trace() or "-"
    line = f"{at} {record.levelname:<7} {record.name} [{trace:.8}] {fields['event']}"
    return {"message": line, "exc_info": fields.get("exc_info")}


def _one_line(_: Any, __: str, fields: EventDict) -> str:
    """Escape line breaks and other controls, so that no input can write a log line of its own.

    The lines of a traceback are indented, because the text of an exception may contain input too.
    """
    lines = [fields["message"], *(f"  {line}" for line in fields.get("exception", "").splitlines())]
    return "\n".join(_DISRUPTIVE.sub(_escaped, line) for line in lines)


def _escaped(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()
