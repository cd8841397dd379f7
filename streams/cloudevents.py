"""CloudEvents 1.0 in the binary mode of the NATS binding: metadata in headers, the event as the body."""

from datetime import datetime

from nats.js.api import Header

# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md


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
        "ce-time": time.isoformat().replace("+00:00", "Z"),
        "traceparent": traceparent,
        "content-type": "application/json",
        Header.MSG_ID: event_id,
    }
