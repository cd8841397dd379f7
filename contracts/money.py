"""Prices as decimals, and amounts as the integer minor units that Stripe uses."""

import re
from decimal import Decimal
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from contracts.wire import MAX_INTEGER

MAX_PRICE = Decimal("999999.99")
_PLAIN_NUMBER = re.compile(r"(?P<sign>-?)[0-9]{1,15}(?:\.(?P<decimals>[0-9]+))?", re.ASCII)


def parse_price(value: object, name: str = "Price") -> Decimal:
    """Read a price: a number, or a plain numeric string such as "19.99".

    A float is read in its shortest decimal form, so 19.99 is exact, and 0.1 + 0.2 has too many
    decimals (0.30000000000000004).

    Args:
        name: the name of the price in error messages.

    Raises:
        PydanticCustomError: the value isn't a finite number above 0 and at most 999999.99, or
            has more than two decimals.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise PydanticCustomError("price_type", f"{name} must be a number")
    # Reject a huge number before it becomes a long text. A Decimal isn't compared, because it may be a NaN,
    # which can't be compared.
    if isinstance(value, int | float) and value > float(MAX_PRICE):
        raise PydanticCustomError("price_high", f"{name} must be at most {MAX_PRICE}")
    text = str(value).strip()
    if not text:  # as the Node version says
        raise PydanticCustomError("price_low", f"{name} must be greater than 0")
    match = _PLAIN_NUMBER.fullmatch(text)
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
"""JSON Schema of a price. Documents describe the multiple in words (kit/http/openapi.py)."""

Price = Annotated[
    Decimal,
    BeforeValidator(parse_price),
    PlainSerializer(float, return_type=float, when_used="json"),
    WithJsonSchema(PRICE_SCHEMA),
]
"""An amount of the marketplace's currency: greater than 0, at most 999999.99, two decimals."""


def price_per_ticket(price: Decimal, quantity: int) -> Decimal:
    """The price of one of several tickets that are sold together, rounded to the nearest minor unit."""
    minor = (2 * to_minor_units(price) + quantity) // (2 * quantity)
    return from_minor_units(max(1, minor))


PRICE_INPUT_SCHEMA = {
    "anyOf": [
        PRICE_SCHEMA,
        {
            "type": "string",
            "pattern": r"^\s*(0{0,4}[1-9][0-9]{0,5}(\.[0-9]{1,2})?|0{1,4}\.(0[1-9]|[1-9][0-9]?))\s*$",
            "examples": ["19.99"],
        },
    ]
}
"""JSON Schema of the prices that `parse_price` accepts."""

PriceInput = Annotated[Price, WithJsonSchema(PRICE_INPUT_SCHEMA, mode="validation")]
"""A price in a request: a number, or a numeric string such as "19.99"."""

MinorUnits = Annotated[int, Field(gt=0, le=MAX_INTEGER)]
"""An amount in the smallest unit of the currency, as Stripe uses it: 19.99 is 1999."""

MinorUnitsFromZero = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
"""The same, or zero."""

# Prices have two decimals, so these currencies can't be configured.
# https://docs.stripe.com/currencies#zero-decimal and #three-decimal
OTHER_THAN_TWO_DECIMALS = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf bhd jod kwd omr tnd".split()
)


class MinimumCharge(NamedTuple):
    """The smallest amount that Stripe charges in a currency."""

    amount: int
    """In minor units."""
    text: str
    """As people write it: $0.50."""


MINIMUM_CHARGES = {
    "aed": MinimumCharge(200, "2.00 AED"),
    "aud": MinimumCharge(50, "A$0.50"),
    "bgn": MinimumCharge(100, "1.00 BGN"),
    "brl": MinimumCharge(50, "R$0.50"),
    "cad": MinimumCharge(50, "CA$0.50"),
    "chf": MinimumCharge(50, "0.50 CHF"),
    "czk": MinimumCharge(1500, "15.00 CZK"),
    "dkk": MinimumCharge(250, "2.50 DKK"),
    "eur": MinimumCharge(50, "€0.50"),
    "gbp": MinimumCharge(30, "£0.30"),
    "hkd": MinimumCharge(400, "HK$4.00"),
    "huf": MinimumCharge(17500, "175.00 HUF"),
    "inr": MinimumCharge(50, "₹0.50"),
    "mxn": MinimumCharge(1000, "MX$10.00"),
    "myr": MinimumCharge(200, "2.00 MYR"),
    "nok": MinimumCharge(300, "3.00 NOK"),
    "nzd": MinimumCharge(50, "NZ$0.50"),
    "pln": MinimumCharge(200, "2.00 PLN"),
    "ron": MinimumCharge(200, "2.00 RON"),
    "sek": MinimumCharge(300, "3.00 SEK"),
    "sgd": MinimumCharge(50, "S$0.50"),
    "thb": MinimumCharge(1000, "10.00 THB"),
    "usd": MinimumCharge(50, "$0.50"),
}
"""Stripe's table of minimums, for the currencies with two decimals.

https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts
In other currencies, Stripe converts the amount at the rate of the day and compares it with the minimum of the
account's own currency. Nobody can know that limit beforehand, so there is none here, and Stripe decides.
"""


def minimum_charge(currency: str) -> MinimumCharge | None:
    """The smallest amount that can be charged; None if only Stripe knows it."""
    return MINIMUM_CHARGES.get(currency)


def to_minor_units(price: Decimal) -> int:
    """Convert a price to minor units without rounding: 19.99 → 1999.

    Raises:
        ValueError: the price has a fraction of a minor unit.
    """
    minor = price * 100
    if minor != int(minor):
        raise ValueError(f"{price} has a fraction of a minor unit")
    return int(minor)


def from_minor_units(minor: int) -> Decimal:
    """Convert minor units to a price: 1999 → 19.99."""
    return (Decimal(minor) / 100).quantize(Decimal("0.01"))
