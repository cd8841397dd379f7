"""The JSON of events and API bodies stays stable, because clients read it and NATS stores it for weeks."""

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import contracts.api
import contracts.events
import contracts.export
from contracts.api import Body
from contracts.events import ALL_EVENTS, Event
from contracts.examples import API_EXAMPLES
from contracts.examples import EVENT_EXAMPLES as EVENTS
from contracts.export import ExportHead
from contracts.problems import Problem
from contracts.wire import Wire
from tests.unit.contracts.examples import EXAMPLES, GOLDEN

PATHS = sorted(EXAMPLES)
BODIES = [body for body in API_EXAMPLES if not isinstance(body, Problem)]
REQUESTS = [body for body in BODIES if isinstance(body, Body)]


def name_of(case: object) -> str:
    return case.stem if isinstance(case, Path) else type(case).__name__


def normalized(text: str) -> str:
    """Normalize JSON, so that the order of fields and white space don't matter."""
    return json.dumps(json.loads(text), sort_keys=True)


def json_of(example: Wire) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(example.to_json())
    return fields


def required_fields(example: Wire) -> list[str]:
    return [str(field.alias) for field in type(example).model_fields.values() if field.is_required()]


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_an_example_is_written_as_in_its_golden_file(path: Path) -> None:
    assert normalized(EXAMPLES[path].to_json()) == normalized(path.read_text("utf-8"))


@pytest.mark.parametrize("path", PATHS, ids=name_of)
def test_a_golden_file_is_parsed_as_its_example(path: Path) -> None:
    assert type(EXAMPLES[path]).model_validate_json(path.read_bytes()) == EXAMPLES[path]


def test_every_event_has_a_golden_file() -> None:
    assert {type(event) for event in EVENTS} == set(ALL_EVENTS)
    assert {path.stem for path in GOLDEN.glob("events/*")} == {event.subject for event in ALL_EVENTS}


def test_all_events_lists_every_event_class() -> None:
    declared = [
        kind
        for _, kind in inspect.getmembers(contracts.events, inspect.isclass)
        if issubclass(kind, Event) and "subject" in vars(kind)
    ]
    assert sorted(ALL_EVENTS, key=str) == sorted(declared, key=str)


def test_every_body_of_the_http_api_has_a_golden_file() -> None:
    bodies = {
        name
        for module in (contracts.api, contracts.export)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and kind not in (Body, ExportHead)
    }
    golden = {path.stem for path in GOLDEN.glob("api/*")}
    missing = (bodies | {"Problem"}) - golden
    assert not missing, f"add an example to contracts/examples.py, and its JSON to golden/api/: {missing}"
    assert not golden - bodies - {"Problem"}, "remove these files of golden/api/, which no body has"


@pytest.mark.parametrize("event", EVENTS, ids=name_of)
def test_an_unknown_field_of_an_event_is_ignored(event: Event) -> None:
    assert type(event).model_validate({**json_of(event), "addedLater": {"by": "somebody"}}) == event


@pytest.mark.parametrize(
    ("event", "field"), [(event, field) for event in EVENTS for field in required_fields(event)], ids=name_of
)
def test_an_event_without_a_required_field_is_refused(event: Event, field: str) -> None:
    fields = json_of(event)
    del fields[field]
    with pytest.raises(ValidationError) as refused:
        type(event).model_validate(fields)
    assert [(error["type"], error["loc"]) for error in refused.value.errors()] == [("missing", (field,))]


@pytest.mark.parametrize("body", REQUESTS, ids=name_of)
def test_an_unknown_field_of_a_request_is_refused(body: Body) -> None:
    with pytest.raises(ValidationError) as refused:
        type(body).model_validate({**json_of(body), "pirce": 1})
    assert [(error["type"], error["loc"]) for error in refused.value.errors()] == [
        ("extra_forbidden", ("pirce",))
    ]


@pytest.mark.parametrize("body", REQUESTS, ids=name_of)
@pytest.mark.parametrize("wrong", [{"$ne": None}, ["x"], 5, True], ids=repr)
def test_a_text_field_of_a_request_accepts_only_text(body: Body, wrong: object) -> None:
    fields: Mapping[str, Any] = json_of(body)
    for name, value in fields.items():
        if isinstance(value, str) and name != "startsAt":
            with pytest.raises(ValidationError) as refused:
                type(body).model_validate({**fields, name: wrong})
            assert [error["loc"] for error in refused.value.errors()] == [(name,)]


@pytest.mark.parametrize("example", [*EVENTS, *BODIES], ids=name_of)
def test_events_and_bodies_are_immutable(example: Wire) -> None:
    field = next(iter(type(example).model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(example, field, getattr(example, field))


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=name_of)
def test_no_field_name_in_json_has_an_underscore(example: Wire) -> None:
    def names(value: object) -> list[str]:
        match value:
            case dict():
                return [*value, *(name for part in value.values() for name in names(part))]
            case list():
                return [name for part in value for name in names(part)]
            case _:
                return []

    assert names(json_of(example))
    assert not [name for name in names(json_of(example)) if "_" in name]
