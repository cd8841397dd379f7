"""AsyncAPI 3.0 documents of the events, generated from the services' declarations and the events' classes.

FastStream can describe a broker too, but its documents have a channel for each subscriber, keys that AsyncAPI
doesn't allow, and neither headers nor timers nor dead letters. `EventSpecification` puts ours in their place,
so that FastStream's tools show and export them.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml
from faststream.specification import AsyncAPI
from pydantic.alias_generators import to_camel

from contracts import VERSION
from contracts.events import ALL_EVENTS, Event, ExpirationComplete, SessionEnded
from contracts.examples import EVENT_EXAMPLES
from kit.http.openapi import DocumentedSchema
from kit.nats import EVENTS, LIVE_PREFIX
from streams import cloudevents
from streams.delivery import DeadLetter
from streams.topology import DEAD, DEAD_PREFIX, DUE_TIMERS, TIMERS

if TYPE_CHECKING:
    from streams.app import Service

Json = dict[str, Any]

READ_ME = f"""\
Every event carries the whole public state of what it is about, and the `version` of that state.
Apply an event only if its version is higher than the one that you have.
Then repeated, missing and reordered events are harmless.
Ignore fields that you don't know, and expect new values of fields with fixed values.

The stream {EVENTS} keeps events for a limited time.
The server also publishes each event on `{LIVE_PREFIX}.<subject>`, for subscribers that need no history.
"""

LIVE_SESSIONS = {SessionEnded.subject: "Refuse the tokens of this session from now on."}
"""The live events that every process receives, and what it does with them."""

WEB_RECEIVES = {">": "Update open pages, drop outdated pages, and refuse the tokens of ended sessions."}
"""The live events that web receives. A test compares them with `web/live/subscriber.py`."""

PUBLISHERS = {
    **dict.fromkeys(("ticket", "alert"), "tickets"),
    "order": "orders",
    "payment": "payments",
    "payout": "payouts",
    "expiration": "expiration",
    **dict.fromkeys(("user", "link", "session"), "auth"),
}
"""The service that publishes the events whose subjects begin like this."""


@dataclass(frozen=True)
class Document:
    """An AsyncAPI document with the methods that FastStream's tools call."""

    content: Json

    @property
    def title(self) -> str:
        return str(self.content["info"]["title"])

    def to_json(self) -> str:
        return json.dumps(self.content, ensure_ascii=False)

    def to_jsonable(self) -> Json:
        # Reading it back copies parts that occur twice. YAML would otherwise have references to them.
        jsonable: Json = json.loads(self.to_json())
        return jsonable

    def to_yaml(self) -> str:
        text: str = yaml.dump(
            self.to_jsonable(), Dumper=_YamlDumper, sort_keys=False, allow_unicode=True, width=110
        )
        return text


class _YamlDumper(yaml.SafeDumper):
    """Writes a text of several lines as such."""


_YamlDumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


class EventSpecification(AsyncAPI):
    """The specification of a service's FastStream application."""

    def __init__(self, service: "Service") -> None:
        super().__init__(title=f"Stagedoor {service.name}", version=VERSION, description=service.summary)
        self._service = service

    def to_specification(self) -> Document:
        return document(self.title, [self._service])


def document(title: str, services: Sequence["Service"], *, with_web: bool = False) -> Document:
    """The document of these services' events, and of those that web receives if `with_web` is true."""
    operations: Json = {}
    for service in services:
        operations |= _operations(service)
    if with_web:
        operations |= _live("web", WEB_RECEIVES)
    channels = _used(_channels(), operations)
    named = {name for channel in channels.values() for name in channel["messages"]}
    names = [*(service.name for service in services), *["web"] * with_web]
    return Document(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": title,
                "version": VERSION,
                "description": READ_ME,
                "license": {"name": "MIT"},
                "tags": [{"name": name} for name in names],
            },
            "defaultContentType": "application/json",
            "servers": {
                "nats": {
                    "host": "localhost:4222",
                    "protocol": "nats",
                    "description": "NATS with JetStream. Clients of the website can't reach it.",
                    "security": [_ref("securitySchemes", "natsUser")],
                }
            },
            "channels": channels,
            "operations": dict(sorted(operations.items())),
            "components": {
                "messages": {name: message for name, message in _messages().items() if name in named},
                "schemas": _schemas(event for event in ALL_EVENTS if event.__name__ in named),
                "securitySchemes": {
                    "natsUser": {
                        "type": "userPassword",
                        "description": "Each process has a NATS user, which may publish only its own events.",
                    }
                },
            },
        }
    )


def _used(channels: Json, operations: Json) -> Json:
    """The channels, with the messages that occur in these operations."""
    used = {message["$ref"] for operation in operations.values() for message in operation["messages"]}
    found: Json = {}
    for key, channel in channels.items():
        messages = {
            name: message
            for name, message in channel["messages"].items()
            if f"#/channels/{key}/messages/{name}" in used
        }
        if messages:
            found[key] = {**channel, "messages": messages}
    return found


def _channels() -> Json:
    order = {"orderId": {"description": "The id of the order"}}
    events = {
        _key(event): _channel(event.subject, _sentence(event), _summary(event), [event.__name__], EVENTS)
        for event in ALL_EVENTS
    }
    return events | {
        "timers": _channel(
            "timers.set.{orderId}.{milliseconds}",
            "Timers",
            f"Scheduled messages. JetStream publishes them on `{DUE_TIMERS}` when they are due.",
            [ExpirationComplete.__name__],
            TIMERS,
            order | {"milliseconds": {"description": "The deadline, in milliseconds since 1970"}},
        ),
        "dueTimers": _channel(
            DUE_TIMERS.replace("*", "{orderId}"),
            "Due timers",
            "Timers that are due. Only expiration receives them.",
            [ExpirationComplete.__name__],
            TIMERS,
            order,
        ),
        "live": _channel(
            f"{LIVE_PREFIX}.{{subject}}",
            "Live events",
            "Each event when it is stored, for subscribers without a consumer. They receive it at most once.",
            [event.__name__ for event in ALL_EVENTS],
            None,
            {"subject": {"description": "The subject of the event, such as ticket.updated"}},
        ),
        "deadLetters": _channel(
            f"{DEAD_PREFIX}.{{service}}.{{subject}}",
            "Dead letters",
            "Messages that a service couldn't handle. Operators replay or drop them.",
            [DEAD_LETTER],
            DEAD,
            {
                "service": {"description": "The service that couldn't handle the message"},
                "subject": {"description": "The subject of the message"},
            },
        ),
    }


def _channel(
    address: str,
    title: str,
    description: str,
    messages: Iterable[str],
    stream: str | None,
    parameters: Json | None = None,
) -> Json:
    return {
        "address": address,
        "title": title,
        "description": description,
        **({"parameters": parameters} if parameters else {}),
        "messages": {name: _ref("messages", name) for name in messages},
        **({"x-stream": stream} if stream else {}),
    }


def _messages() -> Json:
    messages = {
        type(event).__name__: {
            "name": event.subject,
            "title": _sentence(type(event)),
            "summary": _summary(event),
            "contentType": "application/json",
            "headers": _ref("schemas", "EventHeaders"),
            "payload": _ref("schemas", type(event).__name__),
            "examples": [_example(event)],
        }
        for event in EVENT_EXAMPLES
    }
    return messages | {
        DEAD_LETTER: {
            "name": "dead.letter",
            "title": "Dead letter",
            "summary": "A message that a service couldn't handle.",
            "headers": {
                "type": "object",
                "description": "The headers of the message, and these:",
                "properties": {
                    name: {"type": "string", "description": meaning}
                    for name, meaning in DeadLetter.ADDED.items()
                },
            },
            "payload": {"description": "The body of the message. It may be malformed."},
        }
    }


DEAD_LETTER = "DeadLetter"


def _example(event: Event) -> Json:
    """A valid message with its headers."""
    headers = cloudevents.headers(
        event_id=f"{event.about}-1",
        subject=event.subject,
        about=event.about,
        time=datetime(2027, 3, 1, 18, 30, tzinfo=UTC),
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        source=PUBLISHERS[event.subject.partition(".")[0]],
    )
    return {"name": _key(type(event)), "headers": headers, "payload": json.loads(event.to_json())}


def _operations(service: "Service") -> Json:
    """What a service sends and receives, by the names of the operations."""
    found: Json = {}
    for event in service.publishes:
        found[f"{service.name}Send{event.__name__}"] = {
            "action": "send",
            **_on(_key(event), [event.__name__]),
            "summary": _summary(event),
            "tags": [{"name": service.name}],
        }
    for subscription in service.listener.subscriptions:
        consumer, event = subscription.consumer, subscription.event
        is_timer = consumer.stream == TIMERS
        name = "DueTimer" if is_timer else event.__name__
        found[f"{service.name}Receive{name}"] = {
            "action": "receive",
            **_on("dueTimers" if is_timer else _key(event), [event.__name__]),
            "summary": _summary(subscription.handler),
            "tags": [{"name": service.name}],
            "bindings": {"nats": {"x-stream": consumer.stream, "x-durable": consumer.name}},
        }
    if ExpirationComplete in service.publishes:
        found[f"{service.name}SendTimer"] = {
            "action": "send",
            **_on("timers", [ExpirationComplete.__name__]),
            "summary": "Schedule the deadline of an order.",
            "tags": [{"name": service.name}],
        }
    if service.listener.subscriptions:
        found[f"{service.name}SendDeadLetter"] = {
            "action": "send",
            **_on("deadLetters", [DEAD_LETTER]),
            "summary": "Put a message aside that can't be handled.",
            "tags": [{"name": service.name}],
        }
    return found | _live(service.name, LIVE_SESSIONS | dict(service.listener.live))


def _live(process: str, subjects: dict[str, str]) -> Json:
    """The live events that a process receives. `subjects` are patterns without the prefix."""
    found: Json = {}
    for subject, purpose in subjects.items():
        pattern = re.escape(subject).replace(r"\*", "[^.]+").replace(">", ".+")
        events = [event for event in ALL_EVENTS if re.fullmatch(pattern, event.subject)]
        name = events[0].__name__ if len(events) == 1 else subject.partition(".")[0].strip(">").capitalize()
        found[f"{process}ReceiveLive{name}"] = {
            "action": "receive",
            **_on("live", [event.__name__ for event in events]),
            "summary": purpose,
            "tags": [{"name": process}],
            "bindings": {"nats": {"x-subject": f"{LIVE_PREFIX}.{subject}"}},
        }
    return found


def _on(channel: str, messages: Iterable[str]) -> Json:
    """The channel of an operation, and those of its messages that the operation is about."""
    return {
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages],
    }


def _schemas(events: Iterable[type[Event]]) -> Json:
    """The schemas of headers and bodies, and of what bodies contain."""
    found: Json = {"EventHeaders": cloudevents.HEADERS_SCHEMA}
    for event in events:
        schema = event.model_json_schema(
            ref_template="#/components/schemas/{model}", schema_generator=DocumentedSchema
        )
        parts = schema.pop("$defs", {})
        found |= {name: _readable(part) for name, part in {event.__name__: schema, **parts}.items()}
    return dict(sorted(found.items()))


def _readable(schema: Any) -> Any:
    """The schema with names as on the wire in its texts."""
    if isinstance(schema, list):
        return [_readable(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _readable(part) for key, part in schema.items()}
    if isinstance(text := kept.get("description"), str):
        kept["description"] = _prose(text)
    return kept


_PYTHON_NAME = re.compile("`([a-z]+(?:_[a-z]+)+)`")
"""The name of a field in a docstring."""


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _key(event: type[Event]) -> str:
    """The key of an event's channel, such as ticketCreated."""
    return event.__name__[0].lower() + event.__name__[1:]


def _sentence(event: type[Event]) -> str:
    """The name of an event as people write it, such as "Ticket created"."""
    return re.sub(r"(?<!^)([A-Z])", lambda capital: f" {capital[1].lower()}", event.__name__)


def _summary(documented: object) -> str:
    return _prose(documented.__doc__ or "")


def _prose(docstring: str) -> str:
    """The text in one line, with the names and values that fields have on the wire."""
    text = _PYTHON_NAME.sub(lambda name: f"`{to_camel(name[1])}`", " ".join(docstring.split()))
    return re.sub(r"\bNone\b", "null", re.sub(r"(^|\. )None\b", r"\1Null", text))
