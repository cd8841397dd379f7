"""The base of every model that crosses a process boundary."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


class Wire(BaseModel):
    """An immutable model: camelCase in JSON, snake_case in Python."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, use_attribute_docstrings=True
    )

    def to_json(self) -> str:
        """The model as camelCase JSON."""
        return self.model_dump_json(by_alias=True)


def left_out_if_none(*fields: str) -> Callable[[dict[str, Any]], None]:
    """A change of a model's JSON schema, for fields that `to_json` leaves out instead of writing null.

    Args:
        fields: their names in JSON.
    """

    def change(schema: dict[str, Any]) -> None:
        schema["required"] = [name for name in schema.get("required", ()) if name not in fields]
        for name in fields:
            described = schema["properties"][name]
            (kind,) = (each for each in described.pop("anyOf", [{}]) if each != {"type": "null"})
            described |= kind

    return change


def _to_milliseconds(moment: datetime) -> datetime:
    """Convert to UTC and truncate to milliseconds like MongoDB, so that a time equals its stored value."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("moment", "Times must be within the years 1 to 9999") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


_NUMBER = re.compile(r"[+-]?[0-9.]+")


def _reject_number(value: object) -> object:
    """Reject a number, because it could mean seconds or milliseconds."""
    if isinstance(value, datetime) or (isinstance(value, str) and not _NUMBER.fullmatch(value.strip())):
        return value
    raise PydanticCustomError("moment", "Times must be written as in 2026-12-31T20:00:00Z")


def _in_json(moment: datetime) -> str:
    """Write a time as JavaScript's toISOString does, always with milliseconds: 2027-01-01T20:00:00.000Z."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_reject_number),
    AfterValidator(_to_milliseconds),
    PlainSerializer(_in_json, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A timezone-aware time in UTC with millisecond precision; ISO 8601 on the wire."""

Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{24}$")]
"""A MongoDB ObjectId as 24 lower-case hexadecimal digits."""


MAX_INTEGER = 2**63 - 1
"""The largest integer that MongoDB stores."""

Version = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Count = Annotated[int, Field(ge=1, le=MAX_INTEGER)]


def now() -> datetime:
    """The current time as a `Moment`."""
    return _to_milliseconds(datetime.now(UTC))
