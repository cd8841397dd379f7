"""The catalogue of events, read from the AsyncAPI document."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from web.developers import documents

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Field:
    """A field of an event or of a part of it, or a header."""

    name: str
    type: str
    """As people write it, such as "string or null"."""
    part: str | None
    """The name of the type, if the page describes it in a section of its own."""
    is_required: bool
    description: str


@dataclass(frozen=True)
class Part:
    """A type that an event contains: an object with fields, or a text with fixed values."""

    name: str
    description: str
    fields: tuple[Field, ...]
    values: tuple[str, ...]


@dataclass(frozen=True)
class Consumer:
    """A process that receives an event, and why."""

    process: str
    action: str
    durable: str | None
    """The durable consumer; None if the process receives live events only."""


@dataclass(frozen=True)
class Event:
    subject: str
    title: str
    meaning: str
    stream: str
    publisher: str
    consumers: tuple[Consumer, ...]
    fields: tuple[Field, ...]
    parts: tuple[Part, ...]
    headers: tuple[Field, ...]
    example: str
    """The JSON of a valid event."""
    example_headers: str
    """The headers of this event, one per line."""


@cache
def events() -> Mapping[str, Event]:
    """All events by subject."""
    document = documents.content("asyncapi")
    return {
        message["name"]: _event(document, key, message)
        for key, message in document["components"]["messages"].items()
        if "examples" in message
    }


def version() -> str:
    found: str = documents.content("asyncapi")["info"]["version"]
    return found


def _event(document: Json, key: str, message: Json) -> Event:
    schemas = document["components"]["schemas"]
    [channel] = [found for found in document["channels"].values() if found["address"] == message["name"]]
    operations = [
        operation
        for operation in document["operations"].values()
        if any(reference["$ref"].endswith(f"/messages/{key}") for reference in operation["messages"])
    ]
    sent = [operation for operation in operations if operation["action"] == "send"]
    [publisher] = [_process(operation) for operation in sent if not _is_timer(operation)]
    example = message["examples"][0]
    schema = schemas[key]
    return Event(
        subject=message["name"],
        title=message["title"],
        meaning=message["summary"],
        stream=channel["x-stream"],
        publisher=publisher,
        consumers=tuple(_consumer(found) for found in operations if found["action"] == "receive"),
        fields=_fields(schema),
        parts=tuple(_part(name, schemas[name]) for name in _parts(schema, schemas)),
        headers=_fields(schemas["EventHeaders"]),
        example=json.dumps(example["payload"], indent=2, ensure_ascii=False),
        example_headers="\n".join(f"{name}: {value}" for name, value in example["headers"].items()),
    )


def _process(operation: Json) -> str:
    name: str = operation["tags"][0]["name"]
    return name


def _is_timer(operation: Json) -> bool:
    found: bool = operation["channel"]["$ref"].endswith("imers")
    return found


def _consumer(operation: Json) -> Consumer:
    return Consumer(_process(operation), operation["summary"], operation["bindings"]["nats"].get("x-durable"))


def _fields(schema: Json) -> tuple[Field, ...]:
    return tuple(
        Field(
            name=name,
            type=_type(field),
            part=next(_references(field), None),
            is_required=name in schema.get("required", ()),
            description=field.get("description", ""),
        )
        for name, field in schema.get("properties", {}).items()
    )


def _part(name: str, schema: Json) -> Part:
    return Part(name, schema.get("description", ""), _fields(schema), tuple(schema.get("enum", ())))


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if choices := schema.get("anyOf"):
        return " or ".join(_type(choice) for choice in choices)
    if "const" in schema:
        return json.dumps(schema["const"])
    return "time" if schema.get("format") == "date-time" else str(schema.get("type", "any"))


def _references(schema: Json) -> Iterator[str]:
    """The names of the types to which a schema refers directly."""
    if "$ref" in schema:
        yield str(schema["$ref"]).rpartition("/")[2]
    for choice in schema.get("anyOf", ()):
        yield from _references(choice)


def _parts(schema: Json, schemas: Json) -> list[str]:
    """The names of all types that an event contains, each once."""
    found: dict[str, None] = {}
    for field in schema.get("properties", {}).values():
        for name in _references(field):
            found |= dict.fromkeys([name, *_parts(schemas[name], schemas)])
    return list(found)
