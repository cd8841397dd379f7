"""CloudEvents 1.0 in the binary mode of the NATS binding: metadata in headers, the event as the body."""

from datetime import datetime
from typing import Any

from nats.js.api import Header

# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md


TIME = "ce-time"
"""The header with the time of the change that caused the event."""


def headers(
    *, event_id: str, subject: str, about: str, time: datetime, traceparent: str, source: str
) -> dict[str, str]:
    """The headers of an event. JetStream drops repeats of `event_id` within ten minutes."""
    return {
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": subject,
        "ce-source": f"/services/{source}",
        "ce-subject": about,
        TIME: time.isoformat().replace("+00:00", "Z"),
        "traceparent": traceparent,
        "content-type": "application/json",
        Header.MSG_ID: event_id,
    }


HEADERS_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0 attributes in the binary mode of the NATS binding, and W3C Trace Context",
    "required": [
        "ce-specversion",
        "ce-id",
        "ce-type",
        "ce-source",
        "ce-subject",
        "ce-time",
        "traceparent",
        "content-type",
        Header.MSG_ID.value,
    ],
    "properties": {
        "ce-specversion": {"type": "string", "const": "1.0"},
        "ce-id": {"type": "string", "description": "The id of the event. A repeated event has the same id."},
        "ce-type": {"type": "string", "description": "The subject on which the event is published"},
        "ce-source": {
            "type": "string",
            "pattern": "^/services/[a-z]+$",
            "description": "The service that published the event",
        },
        "ce-subject": {"type": "string", "description": "The id of what the event is about"},
        "ce-time": {"type": "string", "format": "date-time", "description": "When the change was made"},
        "traceparent": {
            "type": "string",
            "pattern": "^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
            "description": "The trace of the request that caused the event",
        },
        "content-type": {"type": "string", "const": "application/json"},
        Header.MSG_ID.value: {
            "type": "string",
            "description": "The same as ce-id, for JetStream",
        },
    },
}
"""The JSON Schema of `headers`."""
