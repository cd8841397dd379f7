"""What a seller may say of a ticket, beyond title, price and place."""

import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from contracts.money import PRICE_GIVEN_SCHEMA, PRICE_SCHEMA, parse_price

Category = Literal["music", "theatre", "comedy", "sport", "festival", "family", "art", "other"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

MAX_QUANTITY = 10


@cache
def time_zones() -> frozenset[str]:
    """The names of IANA's time zones, as this machine or the tzdata package has them."""
    return frozenset(zoneinfo.available_timezones() - {"Factory", "localtime"})


def _one_of(names: Callable[[], Any], error: str, message: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and value.strip() in names():
            return value.strip()
        raise PydanticCustomError(error, message)

    return BeforeValidator(check)


def _quantity(value: object) -> object:
    # 2.0 is a whole number too: JSON has but one kind of number.
    if type(value) in (int, float) and value in range(1, MAX_QUANTITY + 1):
        return int(cast("float", value))
    raise PydanticCustomError("quantity", f"Quantity must be a whole number from 1 to {MAX_QUANTITY}")


def _face_value(value: object) -> Decimal:
    return parse_price(value, "Face value")


CategoryGiven = Annotated[
    Category,
    _one_of(lambda: CATEGORIES, "category", f"Category must be one of {', '.join(CATEGORIES)}"),
]
TimeZoneGiven = Annotated[
    str,
    _one_of(time_zones, "time_zone", "Time zone must be the name of one, as in Europe/Berlin"),
    Field(json_schema_extra={"format": "iana-time-zone", "examples": ["Europe/Berlin"]}),
]
"""A name of the IANA time zone database."""

NOT_BLANK = Field(json_schema_extra={"pattern": r"\S"})
"""For the documentation, of text that must have something left when it is trimmed."""

Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY), BeforeValidator(_quantity)]
FaceValue = Annotated[
    Decimal,
    BeforeValidator(_face_value),
    PlainSerializer(float, return_type=float, when_used="json"),
    WithJsonSchema(PRICE_GIVEN_SCHEMA, mode="validation"),
    WithJsonSchema(PRICE_SCHEMA, mode="serialization"),
]
Seat = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), NOT_BLANK]
Notes = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000), NOT_BLANK]
