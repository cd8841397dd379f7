"""Processes of this version and of all released ones can read each other's events."""

import copy
import json
from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators
from pydantic import AfterValidator, Field, ValidationError

from contracts.events import ALL_EVENTS, Event, PaymentCreated
from contracts.money import Price
from contracts.wire import Id, Moment, Wire
from ops import releases
from ops.releases import released_schemas, schemas, versions
from streams.delivery import is_unknown_value
from tests.unit.contracts.compatibility import NEW_READER, OLD_READER, breaking_changes
from tests.unit.contracts.generated import values

CURRENT = {event.subject: schemas(event) for event in ALL_EVENTS}
CLASSES = {event.subject: event for event in ALL_EVENTS}

Lenient = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    # New values are allowed. jsonschema computes multiples in binary, where 0.07 is none of 0.01.
    {"enum": lambda *_: None, "multipleOf": lambda *_: None},
)

RELEASED = [(version, subject) for version in versions() for subject in released_schemas(version)]


@pytest.mark.parametrize("version", versions())
def test_this_version_and_released_ones_can_read_each_others_events(version: str) -> None:
    changes = breaking_changes(released_schemas(version), CURRENT)
    assert not changes, "\n".join(
        ["An upgrade would lose events. CONTRIBUTING.md explains how to change them.", *changes]
    )


@pytest.mark.parametrize(("version", "subject"), RELEASED)
def test_this_version_reads_everything_that_a_released_one_writes(version: str, subject: str) -> None:
    """Validators may refuse more than a schema shows."""
    written = released_schemas(version)[subject]["written"]

    @given(values(written))
    @settings(max_examples=50)
    def read(event: Any) -> None:
        CLASSES[subject].model_validate_json(json.dumps(event))

    read()


@pytest.mark.parametrize(("version", "subject"), RELEASED)
def test_a_released_version_reads_what_this_one_writes_except_for_new_values(
    version: str, subject: str
) -> None:
    reader = Lenient(released_schemas(version)[subject]["read"])

    @given(values(CURRENT[subject]["written"]))
    @settings(max_examples=50)
    def read(event: Any) -> None:
        reader.validate(event)

    read()


def test_every_event_of_this_version_is_written_as_its_schema_says() -> None:
    for subject, event in CLASSES.items():
        fields = {field.alias for field in event.model_fields.values()}
        assert fields == set(CURRENT[subject]["written"]["required"])


# --- Each kind of breaking change is found ---


class Seat(Wire):
    row: int
    number: int | None = None


class Sold(Event):
    """A ticket was sold."""

    subject: ClassVar[str] = "ticket.sold"

    id: Id
    status: Literal["paid", "free"]
    amount: Annotated[int, Field(ge=1, le=100)]
    price: Price
    at: Moment
    buyer: str | None = None
    gift: bool = False
    seat: Seat
    extra: Seat | None = None


def change(**fields: Any) -> type[Event]:
    """The event with other fields. None removes a field."""
    kept = {name: (info.annotation, info) for name, info in Sold.model_fields.items() if name not in fields}
    added = {name: given for name, given in fields.items() if given is not None}
    namespace = {
        "__annotations__": {
            "subject": ClassVar[str],
            **{name: Sold.__annotations__[name] for name in kept},
            **{name: kind for name, (kind, *_) in added.items()},
        },
        "subject": Sold.subject,
        **{name: info.default for name, (_, info) in kept.items() if not info.is_required()},
        **{name: default for name, (_, *defaults) in added.items() for default in defaults},
        "__module__": __name__,
    }
    return type("Sold", (Event,), namespace)


class SeatWithFloor(Seat):
    floor: str


class SeatWithoutNumber(Wire):
    row: int


class FreeSeat(Seat):
    row: int | None = None  # type: ignore[assignment]


def upgrade_to(changed: type[Event]) -> list[str]:
    return breaking_changes({Sold.subject: schemas(Sold)}, {Sold.subject: schemas(changed)})


BREAKING: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a new required field": (
        {"seller": (str,)},
        [f"ticket.sold seller: the field is required, but isn't always written: {NEW_READER}"],
    ),
    "a removed optional field": ({"gift": None}, ["ticket.sold gift: the field was removed"]),
    "a removed required field": (
        {"amount": None},
        [
            f"ticket.sold amount: the field is required, but isn't always written: {OLD_READER}",
            "ticket.sold amount: the field was removed",
        ],
    ),
    "a renamed field": (
        {"buyer": None, "user": (str | None, None)},
        ["ticket.sold buyer: the field was removed"],
    ),
    "a removed value": (
        {"status": (Literal["paid"],)},
        [f"ticket.sold status: 'free' isn't accepted: {NEW_READER}"],
    ),
    "fixed values instead of a text": (
        {"buyer": (Literal["ada"] | None, None)},
        [f"ticket.sold buyer: only ['ada'] are accepted: {NEW_READER}"],
    ),
    "any text instead of fixed values": (
        {"status": (str,)},
        [f"ticket.sold status: only ['paid', 'free'] are accepted: {OLD_READER}"],
    ),
    "another type": (
        {"amount": (str,)},
        [
            f"ticket.sold amount: integer isn't string: {NEW_READER}",
            f"ticket.sold amount: string isn't integer: {OLD_READER}",
        ],
    ),
    "a wider type": (
        {"gift": (bool | int, False)},
        [f"ticket.sold gift: integer isn't boolean: {OLD_READER}"],
    ),
    "a narrower type": (
        {"buyer": (str, "")},
        [
            f"ticket.sold buyer: null isn't string: {NEW_READER}",
            "ticket.sold buyer: the default value None became ''",
        ],
    ),
    "a field that may be null": (
        {"amount": (Annotated[int, Field(ge=1, le=100)] | None,)},
        [f"ticket.sold amount: null isn't integer: {OLD_READER}"],
    ),
    "a higher minimum": (
        {"amount": (Annotated[int, Field(ge=2, le=100)],)},
        [f"ticket.sold amount: less than 2 isn't accepted: {NEW_READER}"],
    ),
    "a lower minimum": (
        {"amount": (Annotated[int, Field(ge=0, le=100)],)},
        [f"ticket.sold amount: less than 1 isn't accepted: {OLD_READER}"],
    ),
    "a lower maximum": (
        {"amount": (Annotated[int, Field(ge=1, lt=100)],)},
        [f"ticket.sold amount: more than 100 isn't accepted: {NEW_READER}"],
    ),
    "no maximum": (
        {"amount": (Annotated[int, Field(ge=1)],)},
        [f"ticket.sold amount: more than 100 isn't accepted: {OLD_READER}"],
    ),
    "a pattern": (
        {"buyer": (Id | None, None)},
        [f"ticket.sold buyer: pattern '^[0-9a-f]{{24}}$' is required: {NEW_READER}"],
    ),
    "no pattern": (
        {"id": (str,)},
        [f"ticket.sold id: pattern '^[0-9a-f]{{24}}$' is required: {OLD_READER}"],
    ),
    "another precision": (
        {"price": (float,)},
        [
            f"ticket.sold price: multipleOf 0.01 is required: {OLD_READER}",
            f"ticket.sold price: less than 0 isn't accepted: {OLD_READER}",
            f"ticket.sold price: more than 999999.99 isn't accepted: {OLD_READER}",
        ],
    ),
    "a time as any text": (
        {"at": (str,)},
        [f"ticket.sold at: format 'date-time' is required: {OLD_READER}"],
    ),
    "a maximum length": (
        {"buyer": (Annotated[str, Field(max_length=5)] | None, None)},
        [f"ticket.sold buyer: a text longer than 5 isn't accepted: {NEW_READER}"],
    ),
    "a minimum length": (
        {"buyer": (Annotated[str, Field(min_length=2)] | None, None)},
        [f"ticket.sold buyer: a text shorter than 2 isn't accepted: {NEW_READER}"],
    ),
    "another default value": (
        {"gift": (bool, True)},
        ["ticket.sold gift: the default value False became True"],
    ),
    "a new required field of a part": (
        {"seat": (SeatWithFloor,)},
        [f"ticket.sold seat.floor: the field is required, but isn't always written: {NEW_READER}"],
    ),
    "a removed field of an optional part": (
        {"extra": (SeatWithoutNumber | None, None)},
        ["ticket.sold extra.number: the field was removed"],
    ),
    "a nullable field of a part": (
        {"seat": (FreeSeat,)},
        [f"ticket.sold seat.row: null isn't integer: {OLD_READER}"],
    ),
    "a text instead of a part": (
        {"extra": (str | None, None)},
        [
            f"ticket.sold extra: object isn't string or null: {NEW_READER}",
            f"ticket.sold extra: string isn't object or null: {OLD_READER}",
            "ticket.sold extra.row: the field was removed",
            "ticket.sold extra.number: the field was removed",
        ],
    ),
}


@pytest.mark.parametrize("name", BREAKING)
def test_a_breaking_change_is_found_with_its_event_field_and_reason(name: str) -> None:
    changes, expected = BREAKING[name]
    assert upgrade_to(change(**changes)) == expected


COMPATIBLE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a new optional field": {"seller": (str | None, None)},
    "a new field with a default value": {"quantity": (int, 1)},
    "a new value, for which old processes wait": {"status": (Literal["paid", "free", "lent"],)},
}


@pytest.mark.parametrize("name", COMPATIBLE)
def test_a_compatible_change_is_accepted(name: str) -> None:
    assert upgrade_to(change(**COMPATIBLE[name])) == []


def test_the_removal_of_an_event_is_found() -> None:
    (found,) = breaking_changes({Sold.subject: schemas(Sold)}, {})
    assert found == "ticket.sold: the event was removed, but streams contain it"


def test_a_new_event_is_accepted() -> None:
    assert breaking_changes({}, {Sold.subject: schemas(Sold)}) == []


def test_an_unfamiliar_part_of_a_schema_is_not_ignored() -> None:
    with pytest.raises(AssertionError, match=r"doesn't compare \{'maxItems'\} yet"):
        upgrade_to(change(seats=(Annotated[list[int], Field(max_length=3)], [])))


@pytest.mark.parametrize(("version", "subject"), RELEASED)
def test_the_removal_of_any_field_of_a_released_event_is_found(version: str, subject: str) -> None:
    before = {subject: released_schemas(version)[subject]}
    for field in before[subject]["read"]["properties"]:
        after = copy.deepcopy(CURRENT[subject])
        del after["read"]["properties"][field]
        assert f"{subject} {field}: the field was removed" in breaking_changes(before, {subject: after})


@given(values(schemas(Sold)["written"]))
def test_generated_events_satisfy_the_class_whose_schema_they_come_from(event: Any) -> None:
    assert Sold.model_validate_json(json.dumps(event)).to_json()


def test_control_a_validator_that_no_schema_shows_is_found_by_generated_events() -> None:
    def capital(text: str) -> str:
        if text != text.upper():
            raise ValueError("a currency has capital letters")
        return text

    class Strict(PaymentCreated):
        currency: Annotated[str, AfterValidator(capital)]

    before, after = schemas(PaymentCreated), schemas(Strict)
    assert breaking_changes({"payment.created": before}, {"payment.created": after}) == []

    @given(values(before["written"]))
    @settings(phases=[Phase.generate])  # without a search for the smallest example
    def read(event: Any) -> None:
        Strict.model_validate_json(json.dumps(event))

    with pytest.raises(ValidationError, match="a currency has capital letters"):
        read()


@given(values(schemas(Sold)["written"]), st.text())
def test_delivery_waits_for_every_new_text_in_a_field_with_fixed_values(event: Any, text: str) -> None:
    """Therefore new values are compatible."""
    assume(text not in ("paid", "free"))
    with pytest.raises(ValidationError) as refused:
        Sold.model_validate_json(json.dumps({**event, "status": text}))
    assert is_unknown_value(refused.value)


def test_a_release_contains_the_events_of_this_version(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "FOLDER", tmp_path)
    for version in ("2.0.0", "10.0.0", "2.0.0"):
        releases.release(version, tmp_path)
    assert versions() == ["2.0.0", "10.0.0"]
    assert released_schemas("2.0.0") == json.loads(json.dumps(CURRENT))
