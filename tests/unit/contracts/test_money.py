import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.money import MAX_PRICE, OTHER_THAN_TWO_DECIMALS, Price, from_minor_units, to_minor_units

PRICE: TypeAdapter[Decimal] = TypeAdapter(Price)

MINOR_UNITS = st.integers(min_value=1, max_value=99_999_999)

TYPE = "Price must be a number"
LOW = "Price must be greater than 0"
HIGH = "Price must be at most 999999.99"
DECIMALS = "Price must have at most 2 decimals"


def refusal_of(value: object) -> str:
    with pytest.raises(ValidationError) as refused:
        PRICE.validate_python(value)
    (error,) = refused.value.errors()
    return error["msg"]


def test_19_99_is_converted_to_1999_cents_and_back() -> None:
    assert to_minor_units(Decimal("19.99")) == 1999
    assert from_minor_units(1999) == Decimal("19.99")


@given(MINOR_UNITS)
def test_every_amount_in_cents_survives_the_conversion_to_a_price_and_back(minor: int) -> None:
    assert to_minor_units(from_minor_units(minor)) == minor


@given(MINOR_UNITS)
def test_a_price_survives_the_conversion_to_json_and_back(minor: int) -> None:
    wire = PRICE.dump_json(from_minor_units(minor))
    assert to_minor_units(PRICE.validate_json(wire)) == minor
    assert to_minor_units(PRICE.validate_python(json.loads(wire))) == minor


@given(MINOR_UNITS)
def test_a_price_can_be_given_as_text(minor: int) -> None:
    price = from_minor_units(minor)
    assert PRICE.validate_python(str(price)) == price


def test_every_price_up_to_1000_given_as_a_float_is_exact() -> None:
    cents = range(1, 100_001)
    assert [to_minor_units(PRICE.validate_python(cent / 100)) for cent in cents] == list(cents)


@given(st.floats() | st.integers() | st.text() | st.decimals())
def test_every_accepted_value_is_within_bounds_and_has_two_decimals(value: object) -> None:
    try:
        price = PRICE.validate_python(value)
    except ValidationError:
        return
    assert 0 < price <= MAX_PRICE
    assert price.as_tuple().exponent == -2


@pytest.mark.parametrize(
    ("written", "price"),
    [
        (19.99, "19.99"),
        (20, "20.00"),
        ("19.99", "19.99"),
        (" 19.99 ", "19.99"),
        ("5", "5.00"),
        ("007.5", "7.50"),
        (100000.0, "100000.00"),
        (0.01, "0.01"),
        (999999.99, "999999.99"),
        ("999999.99", "999999.99"),
        (Decimal("0.5"), "0.50"),
    ],
)
def test_common_spellings_of_a_price_are_accepted(written: object, price: str) -> None:
    assert str(PRICE.validate_python(written)) == price


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (0.1 + 0.2, DECIMALS),
        ("0.001", DECIMALS),
        (0.001, DECIMALS),
        ("19.990", DECIMALS),
        (19.999, DECIMALS),
        (0, LOW),
        ("0.00", LOW),
        (-0.0, LOW),
        (-1, LOW),
        ("-19.99", LOW),
        (1_000_000, HIGH),
        ("1000000.00", HIGH),
        (1e16, HIGH),
        pytest.param(10**5000, HIGH, id="10**5000"),
        (float("inf"), HIGH),
        (Decimal("sNaN"), TYPE),
        (float("nan"), TYPE),
        (Decimal("NaN"), TYPE),
        (True, TYPE),
        (None, TYPE),
        ([19.99], TYPE),
        ({"$gt": 0}, TYPE),
        ("", LOW),
        ("   ", LOW),
        ("1e2", TYPE),
        ("1_000", TYPE),
        ("1,50", TYPE),
        ("+5", TYPE),
        ("5.", TYPE),
        (".5", TYPE),
        ("0x10", TYPE),
        ("NaN", TYPE),
        ("Infinity", TYPE),
        ("١٩.٩٩", TYPE),
        ("\uff11\uff19", TYPE),
        ("9" * 5000, TYPE),
    ],
)
def test_an_invalid_price_is_refused_with_the_reason(written: object, why: str) -> None:
    assert refusal_of(written) == why


@pytest.mark.parametrize("text", ["1e400", "-1e400", "NaN", "Infinity", "true", "null", '"1e2"', "1" * 5000])
def test_an_invalid_price_in_json_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        PRICE.validate_json(text)


def test_a_fraction_of_a_cent_is_an_error() -> None:
    with pytest.raises(ValueError, match="fraction"):
        to_minor_units(Decimal("19.999"))


def test_a_price_is_a_number_in_json() -> None:
    assert PRICE.dump_json(Decimal("19.99")) == b"19.99"
    assert PRICE.dump_json(Decimal("20.00")) == b"20.0"


def test_yen_and_dinars_are_among_currencies_without_exactly_two_decimals() -> None:
    assert {"jpy", "krw", "bhd", "kwd"} <= OTHER_THAN_TWO_DECIMALS
    assert not {"usd", "eur", "gbp"} & OTHER_THAN_TWO_DECIMALS
