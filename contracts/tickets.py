"""The fields of a ticket that requests, events and stored documents share, and their validation."""

import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from contracts.codes import without_codes
from contracts.money import PRICE_INPUT_SCHEMA, PRICE_SCHEMA, Price, parse_price
from contracts.text import line, paragraphs, schema
from contracts.wire import Count, Id, Moment, Wire

CategoryName = Literal["music", "theatre", "comedy", "sport", "festival", "family", "art", "other"]
"""For parameters of HTTP requests, which msgspec reads. It doesn't know the named type `Category`."""

Category = TypeAliasType("Category", CategoryName)
CATEGORIES: tuple[Category, ...] = get_args(CategoryName)

MAX_QUANTITY = 10

MAX_PICTURE_BYTES = 5 * 1024 * 1024
"""Maximum size of an uploaded picture."""


class TicketDetails(BaseModel):
    """The event and the seats of a ticket. An order keeps their values from the time of its reservation."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    starts_at: Moment | None = None
    """When the event begins."""
    venue: str | None = None
    """Where the event takes place."""
    city: str | None = None
    """The venue's city."""
    time_zone: str | None = None
    """The IANA time zone of the event's location."""
    category: str | None = None
    """Such as `music`. Categories may be added."""
    seat: str | None = None
    """Seat or area."""
    quantity: Count = 1
    """Number of tickets that are sold together. Price and face value are totals for all of them."""


class TicketOffer(BaseModel):
    """Title and price. List this base class last: pydantic then puts its fields first."""

    title: str
    """What the ticket is for."""
    price: Price
    """The price of all tickets of the listing together."""


class TicketSummary(TicketDetails, TicketOffer, Wire):
    """The fields that describe a ticket in events and responses, without the state of its sale."""

    id: Id
    """The ticket's id."""
    picture: str | None = None
    """Name of the picture in /api/tickets/pictures/{name}/small and …/large."""


@cache
def time_zones() -> frozenset[str]:
    """The names of all IANA time zones that this machine or the tzdata package contains."""
    return frozenset(zoneinfo.available_timezones() - {"Factory", "localtime"})


def _one_of(names: Callable[[], Any], error: str, message: str) -> BeforeValidator:
    def check(value: object) -> object:
        if isinstance(value, str) and value.strip() in names():
            return value.strip()
        raise PydanticCustomError(error, message)

    return BeforeValidator(check)


def _quantity(value: object) -> object:
    # 2.0 is accepted: JSON doesn't distinguish integers from other numbers.
    if type(value) in (int, float) and value in range(1, MAX_QUANTITY + 1):
        return int(cast("float", value))
    raise PydanticCustomError("quantity", f"Quantity must be a whole number from 1 to {MAX_QUANTITY}")


def _face_value(value: object) -> Decimal:
    return parse_price(value, "Face value")


CategoryInput = Annotated[
    Category,
    _one_of(lambda: CATEGORIES, "category", f"Category must be one of {', '.join(CATEGORIES)}"),
]
TimeZoneInput = Annotated[
    str,
    _one_of(time_zones, "time_zone", "Time zone must be an IANA name such as Europe/Berlin"),
    Field(json_schema_extra={"format": "iana-time-zone", "examples": ["Europe/Berlin"]}),
]
"""A name from the IANA time zone database."""

Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY), BeforeValidator(_quantity)]
FaceValue = Annotated[
    Decimal,
    BeforeValidator(_face_value),
    PlainSerializer(float, return_type=float, when_used="json"),
    WithJsonSchema(PRICE_INPUT_SCHEMA, mode="validation"),
    WithJsonSchema(PRICE_SCHEMA, mode="serialization"),
]
Title = Annotated[str, line("Title", 200), without_codes("Title"), schema(200)]
Venue = Annotated[str, line("Venue", 120), without_codes("Venue"), schema(120)]
City = Annotated[str, line("City", 120), without_codes("City"), schema(120)]
Seat = Annotated[str, line("Seat", 80), without_codes("Seat"), schema(80)]
Notes = Annotated[str, paragraphs("Notes", 1000), without_codes("Notes"), schema(1000)]
PrivateNote = Annotated[str, paragraphs("Private note", 1000), schema(1000)]
"""A note that only the seller reads, and the buyer after paying."""
