"""Values that a JSON Schema describes, as far as events use JSON Schema."""

import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

JSON = st.SearchStrategy[Any]


def values(schema: dict[str, Any], definitions: dict[str, Any] | None = None) -> JSON:
    """JSON values that satisfy the schema. Objects have all their fields, and one that nobody knows."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    if reference := schema.get("$ref"):
        return values(definitions[reference.removeprefix("#/$defs/")], definitions)
    if "anyOf" in schema:
        return st.one_of([values(each, definitions) for each in schema["anyOf"]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "null":
            return st.none()
        case "boolean":
            return st.booleans()
        case "integer":
            return _integers(schema)
        case "number":
            return _numbers(schema)
        case "string":
            return _texts(schema)
        case "array":
            return st.lists(values(schema["items"], definitions), max_size=3)
        case "object":
            fields = {name: values(each, definitions) for name, each in schema["properties"].items()}
            return st.fixed_dictionaries({**fields, "addedLater": st.just({"by": "a newer version"})})
        case other:
            raise AssertionError(f"generated.py makes no {other}")


def _integers(schema: dict[str, Any]) -> JSON:
    lowest = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    return st.integers(lowest, schema.get("maximum"))


def _numbers(schema: dict[str, Any]) -> JSON:
    """Amounts with two decimals, such as prices."""
    assert (schema["multipleOf"], schema["exclusiveMinimum"]) == (0.01, 0)
    return st.integers(1, round(schema["maximum"] * 100)).map(lambda cents: cents / 100)


def _texts(schema: dict[str, Any]) -> JSON:
    if "pattern" in schema:
        return st.from_regex(re.compile(schema["pattern"], re.ASCII), fullmatch=True)
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
    return st.text(min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 40))
