"""Prices as people write them, and the integer minor units that Stripe takes."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from contracts.wire import MAX_INTEGER

MAX_PRICE = Decimal("999999.99")
_PLAIN_NUMBER = re.compile(r"(?P<sign>-?)[0-9]{1,15}(?:\.(?P<decimals>[0-9]+))?", re.ASCII)


def parse_price(value: object, name: str = "Price") -> Decimal:
    """Read a price: a number, or a plain numeric string such as "19.99".

    A float is read by its shortest decimal form, so 19.99 is exact and 0.1 + 0.2 (which
    is 0.30000000000000004) has too many decimals.

    Args:
        name: what an error calls it.

    Raises:
        PydanticCustomError: it isn't a finite number above 0 and at most 999999.99, or has
            more than two decimals.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise PydanticCustomError("price_type", f"{name} must be a number")
    # Before it is written out, which may be long. Decimals aren't asked: to compare their NaN is an error.
    if isinstance(value, int | float) and value > float(MAX_PRICE):
        raise PydanticCustomError("price_high", f"{name} must be at most {MAX_PRICE}")
    match = _PLAIN_NUMBER.fullmatch(str(value).strip())
    if match is None:
        raise PydanticCustomError("price_type", f"{name} must be a number")
    price = Decimal(match[0])
    if price <= 0:
        raise PydanticCustomError("price_low", f"{name} must be greater than 0")
    decimals = match["decimals"] or ""
    if len(decimals) > 2 and not (isinstance(value, float) and decimals.strip("0") == ""):
        raise PydanticCustomError("price_decimals", f"{name} must have at most 2 decimals")
    if price > MAX_PRICE:
        raise PydanticCustomError("price_high", f"{name} must be at most {MAX_PRICE}")
    return price.quantize(Decimal("0.01"))


PRICE_SCHEMA = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": float(MAX_PRICE),
    "multipleOf": 0.01,
}

Price = Annotated[
    Decimal,
    BeforeValidator(parse_price),
    PlainSerializer(float, return_type=float, when_used="json"),
    WithJsonSchema(PRICE_SCHEMA),
]
"""An amount of the marketplace's currency: greater than 0, at most 999999.99, two decimals."""

PRICE_GIVEN_SCHEMA = {
    "anyOf": [
        PRICE_SCHEMA,
        {
            "type": "string",
            "pattern": r"^\s*(0{0,4}[1-9][0-9]{0,5}(\.[0-9]{1,2})?|0{1,4}\.(0[1-9]|[1-9][0-9]?))\s*$",
            "examples": ["19.99"],
        },
    ]
}
"""How a price may come: what `parse_price` takes."""

PriceGiven = Annotated[Price, WithJsonSchema(PRICE_GIVEN_SCHEMA, mode="validation")]
"""A price as a client says it."""

MinorUnits = Annotated[int, Field(gt=0, le=MAX_INTEGER)]
"""An amount in the smallest unit of the currency, as Stripe counts: 19.99 is 1999."""

# https://docs.stripe.com/currencies#zero-decimal and #three-decimal: a price here has two
# decimals, so only currencies with two of them can be configured.
OTHER_THAN_TWO_DECIMALS = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf bhd jod kwd omr tnd".split()
)


def to_minor_units(price: Decimal) -> int:
    """19.99 → 1999, exactly.

    Raises:
        ValueError: the price has a fraction of a minor unit.
    """
    minor = price * 100
    if minor != int(minor):
        raise ValueError(f"{price} has a fraction of a minor unit")
    return int(minor)


def from_minor_units(minor: int) -> Decimal:
    """1999 → 19.99, exactly."""
    return (Decimal(minor) / 100).quantize(Decimal("0.01"))
