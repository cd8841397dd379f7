"""Whether processes of two versions can read each other's events, decided from the schemas of both versions.

An old version writes events that a new one reads: they stay in the stream for weeks. During a rolling
upgrade, a new version also writes events that an old one reads.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

Schemas = Mapping[str, Mapping[str, dict[str, Any]]]
"""What processes write and what they accept (`ops.releases.schemas`), by subject."""

UNCHECKED = {"$defs", "title", "description", "default", "examples"}
CHECKED = {
    *("$ref", "type", "enum", "const", "anyOf", "properties", "required", "items"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minLength", "maxLength", "pattern", "format", "multipleOf"),
}

NEW_READER = "new processes can't read old events"
OLD_READER = "old processes can't read new events"


@dataclass(frozen=True)
class Refusal:
    """Why a reader may refuse what a writer writes."""

    field: str
    reason: str
    is_new_value: bool = False
    """Whether the reader only doesn't know a text yet. Delivery retries such events (streams/delivery.py)."""


@dataclass(frozen=True)
class Node:
    """A part of a schema, without references."""

    schema: dict[str, Any]
    definitions: dict[str, Any]

    @classmethod
    def of(cls, schema: dict[str, Any], definitions: dict[str, Any]) -> Self:
        if reference := schema.get("$ref"):
            schema = {**definitions[reference.removeprefix("#/$defs/")], **schema}
        unknown = schema.keys() - CHECKED - UNCHECKED
        assert not unknown, f"compatibility.py doesn't compare {unknown} yet"
        return cls(schema, definitions)

    def alternatives(self) -> list[Self]:
        return [self.of(each, self.definitions) for each in self.schema.get("anyOf", [self.schema])]

    def fields(self) -> dict[str, Self]:
        properties = self.schema.get("properties", {})
        return {name: self.of(each, self.definitions) for name, each in properties.items()}

    def values(self) -> list[Any] | None:
        return [self.schema["const"]] if "const" in self.schema else self.schema.get("enum")

    def lower(self) -> tuple[float, int]:
        return max(
            (self.schema.get("minimum", float("-inf")), 0),
            (self.schema.get("exclusiveMinimum", float("-inf")), 1),
        )

    def upper(self) -> tuple[float, int]:
        return min(
            (self.schema.get("maximum", float("inf")), 0),
            (self.schema.get("exclusiveMaximum", float("inf")), -1),
        )


def breaking_changes(old: Schemas, new: Schemas) -> list[str]:
    """One line for each change from `old` to `new` that a rolling upgrade doesn't survive."""
    found = []
    for subject, before in old.items():
        if subject not in new:
            found.append(f"{subject}: the event was removed, but streams contain it")
            continue
        after = new[subject]
        refusals = [
            (NEW_READER, each) for each in _refusals(_root(before["written"]), _root(after["read"]), "")
        ]
        refusals += [
            (OLD_READER, each)
            for each in _refusals(_root(after["written"]), _root(before["read"]), "")
            if not each.is_new_value
        ]
        found += [f"{subject} {each.field}: {each.reason}: {reader}" for reader, each in refusals]
        found += [
            f"{subject} {each.field}: {each.reason}"
            for each in _lost(_root(before["read"]), _root(after["read"]), "")
        ]
    return found


def _root(schema: dict[str, Any]) -> Node:
    return Node.of(schema, schema.get("$defs", {}))


def _lost(before: Node, after: Node, at: str) -> Iterator[Refusal]:
    """Optional fields that were removed, or whose default value changed. Nobody refuses an event because of
    them, but information is lost, or events from before the field mean something else.
    """
    for name, field in before.fields().items():
        path = f"{at}.{name}".removeprefix(".")
        later = after.fields().get(name)
        if later is None:
            yield Refusal(path, "the field was removed")
            continue
        default, later_default = field.schema.get("default"), later.schema.get("default")
        if default != later_default and "default" in field.schema and "default" in later.schema:
            yield Refusal(path, f"the default value {default!r} became {later_default!r}")
        yield from _lost(_object(field), _object(later), path)


def _object(node: Node) -> Node:
    """The alternative that is an object, if there is one."""
    return next((each for each in node.alternatives() if "properties" in each.schema), node)


def _refusals(written: Node, read: Node, at: str) -> Iterator[Refusal]:
    """Why something that `written` allows may not be accepted by `read`."""
    for given in written.alternatives():
        attempts = [list(_compared(given, accepted, at)) for accepted in read.alternatives()]
        if not all(attempts):
            continue  # one alternative accepts everything
        of_type = [
            attempt
            for attempt, accepted in zip(attempts, read.alternatives(), strict=True)
            if given.schema.get("type") == accepted.schema.get("type")
        ]
        if of_type:
            yield from min(of_type, key=len)
        else:
            types = " or ".join(str(each.schema.get("type")) for each in read.alternatives())
            yield Refusal(at, f"{given.schema.get('type', 'anything')} isn't {types}")


def _compared(written: Node, read: Node, at: str) -> Iterator[Refusal]:
    """Compare two schemas without alternatives."""
    given, accepted = written.schema.get("type"), read.schema.get("type")
    if accepted is not None and given != accepted and (given, accepted) != ("integer", "number"):
        yield Refusal(at, f"{given or 'anything'} isn't {accepted}")
        return
    if (known := read.values()) is not None:
        if (values := written.values()) is None:
            yield Refusal(at, f"only {known} are accepted")
        else:
            for value in values:
                if value not in known:
                    yield Refusal(at, f"{value!r} isn't accepted", is_new_value=isinstance(value, str))
        return
    yield from _limits(written, read, at)
    yield from _fields(written, read, at)
    if "items" in read.schema:
        of_written, of_read = (
            Node.of(each.schema.get("items", {}), each.definitions) for each in (written, read)
        )
        yield from _refusals(of_written, of_read, f"{at}[]")


def _limits(written: Node, read: Node, at: str) -> Iterator[Refusal]:
    for name in ("pattern", "format", "multipleOf"):
        if name in read.schema and read.schema[name] != written.schema.get(name) and not written.values():
            yield Refusal(at, f"{name} {read.schema[name]!r} is required")
    if written.lower() < read.lower():
        yield Refusal(at, f"less than {read.lower()[0]} isn't accepted")
    if written.upper() > read.upper():
        yield Refusal(at, f"more than {read.upper()[0]} isn't accepted")
    if written.schema.get("minLength", 0) < read.schema.get("minLength", 0):
        yield Refusal(at, f"a text shorter than {read.schema['minLength']} isn't accepted")
    if written.schema.get("maxLength", float("inf")) > read.schema.get("maxLength", float("inf")):
        yield Refusal(at, f"a text longer than {read.schema['maxLength']} isn't accepted")


def _fields(written: Node, read: Node, at: str) -> Iterator[Refusal]:
    for name in read.schema.get("required", []):
        if name not in written.schema.get("required", []):
            yield Refusal(f"{at}.{name}".removeprefix("."), "the field is required, but isn't always written")
    for name, field in written.fields().items():
        if (accepted := read.fields().get(name)) is not None:
            yield from _refusals(field, accepted, f"{at}.{name}".removeprefix("."))
