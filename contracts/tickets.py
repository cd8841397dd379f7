"""The fields of a ticket that requests, events and stored documents share, and their validation."""

import zoneinfo
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
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

Delivery = TypeAliasType("Delivery", Literal["instant", "promised", "seller"])
"""How the buyer gets the ticket: `instant` as sealed files for all seats, `promised` as files that the seller
uploads by the deadline, `seller` from the seller."""

MAX_QUANTITY = 10

MAX_FAILED_SALES = 2
"""How many sales of a seller may fail within `FAILED_SALE_DAYS` before new listings need sealed files."""

FAILED_SALE_DAYS = 180
"""How long a failed sale counts."""

MAX_PICTURE_BYTES = 5 * 1024 * 1024
"""Maximum size of an uploaded picture."""

MAX_FILE_BYTES = 10 * 1024 * 1024
"""Maximum size of an uploaded file of a ticket."""


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
    country: str | None = None
    """The country of the event's location, as two capital letters (ISO 3166-1). It follows from the time zone
    unless it is given."""
    show_id: str | None = None
    """The event that the ticket is for, which other listings share. None for a listing that fits no event."""
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
    delivery: Delivery = "seller"
    """How the buyer gets the ticket. A promised ticket becomes `instant` once its files are complete."""


@cache
def time_zones() -> frozenset[str]:
    """The names of all IANA time zones that this machine or the tzdata package contains."""
    return frozenset(zoneinfo.available_timezones() - {"Factory", "localtime"})


@cache
def countries() -> frozenset[str]:
    """The ISO 3166-1 alpha-2 codes of all countries and territories."""
    return frozenset(columns[0] for columns in _table("iso3166.tab"))


@cache
def countries_of_zones() -> Mapping[str, str]:
    """The country of each time zone that belongs to a single one, also by its former names."""
    found = {columns[2]: columns[0] for columns in _table("zone.tab")}
    links = [line.split() for line in _text("tzdata.zi").splitlines() if line.startswith("L ")]
    for _, target, alias in links:
        if alias not in found and target in found:
            found[alias] = found[target]
    return found


def country_of(time_zone: str | None) -> str | None:
    """The country of a time zone. None for UTC and the like."""
    return None if time_zone is None else countries_of_zones().get(time_zone)


def _table(name: str) -> Iterator[list[str]]:
    return (line.split("\t") for line in _text(name).splitlines() if line and not line.startswith("#"))


def _text(name: str) -> str:
    return (files("tzdata") / "zoneinfo" / name).read_text(encoding="utf-8")


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

CountryInput = Annotated[
    str,
    _one_of(countries, "country", "Country must be the code of a country, such as DE"),
    Field(json_schema_extra={"format": "iso-3166-1", "examples": ["DE"]}),
]
"""A code of ISO 3166-1."""

START_YEARS = 9000
"""Events begin before this year, so that delivery, payout and deletion have times after the start."""


def in_start_years(starts_at: datetime | None) -> datetime | None:
    """The start of an event.

    Raises:
        PydanticCustomError: it is too close to the end of all times.
    """
    if starts_at is not None and starts_at.year >= START_YEARS:
        raise PydanticCustomError("starts_at", f"The event must begin before the year {START_YEARS}")
    return starts_at


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
Performer = Annotated[str, line("Performer", 120), without_codes("Performer"), schema(120)]
Performers = Annotated[list[Performer], Field(max_length=20)]
"""Who performs, the most important first."""
Seat = Annotated[str, line("Seat", 80), without_codes("Seat"), schema(80)]
Notes = Annotated[str, paragraphs("Notes", 1000), without_codes("Notes"), schema(1000)]
PrivateNote = Annotated[str, paragraphs("Private note", 1000), schema(1000)]
"""A note that only the seller reads, and the buyer after paying."""
