import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import price_caps
from contracts.price_caps import PriceCap, PriceCaps, WrongPriceCaps
from services.tickets import rules
from services.tickets.rules import FaceValueMissing, PriceAboveCap, Pricing
from tests.unit.rules.builders import NOW, SELLER, ticket

STANDARD = price_caps.read()
PRICING = Pricing(currency="eur", caps=STANDARD)
HEAD = "country,percent,source,date\n"
OTHERS = "*,20,Our default,2026-12-01\n"


def details(price: int, face_value: int | None) -> dict[str, Any]:
    return {"price_minor": price, "face_value_minor": face_value}


@pytest.mark.parametrize(
    ("country", "face_value", "highest"),
    [
        ("FR", 5_000, 5_000),
        ("NO", 5_000, 5_000),
        ("BE", 5_000, 5_000),
        ("PT", 5_000, 5_000),
        ("DK", 5_000, 5_250),
        ("IT", 5_000, 5_250),
        ("PL", 5_000, 5_250),
        ("AU", 5_000, 5_500),
        ("DE", 5_000, 6_000),
        ("US", 5_000, 6_000),
        (None, 5_000, 6_000),
        ("DK", 1_999, 2_098),  # 20.9895
        ("DE", 1_999, 2_398),  # 23.988
        ("DE", 1, 1),
        ("FR", 1, 1),
        ("DE", 99_999_999, 119_999_998),
    ],
)
def test_a_price_may_be_exactly_as_high_as_the_cap_of_the_country_and_no_cent_higher(
    country: str | None, face_value: int, highest: int
) -> None:
    rules.check_price_cap(details(highest, face_value), country, PRICING)
    with pytest.raises(PriceAboveCap):
        rules.check_price_cap(details(highest + 1, face_value), country, PRICING)


@pytest.mark.parametrize(
    ("country", "message"),
    [
        (
            "FR",
            "Price must be at most €15.00: "
            "the limit in the event's country, France, is 0\u00a0% above the face value",
        ),
        (
            "US",
            "Price must be at most €18.00: "
            "the limit in the event's country, United States, is 20\u00a0% above the face value",
        ),
        (
            None,
            "Price must be at most €18.00: "
            "the limit for events without a known country is 20\u00a0% above the face value",
        ),
    ],
)
def test_the_refusal_names_the_highest_price_the_country_and_the_percentage(
    country: str | None, message: str
) -> None:
    with pytest.raises(PriceAboveCap, match=re.escape(message)) as refused:
        rules.check_price_cap(details(1_801, 1_500), country, PRICING)
    assert (refused.value.code, refused.value.field) == ("price-above-cap", "price")


def test_a_listing_without_a_face_value_has_no_cap() -> None:
    rules.check_price_cap(details(1_000_000, None), "FR", PRICING)


def test_a_face_value_is_required_only_if_the_marketplace_says_so() -> None:
    rules.check_face_value(details(1_000, None), PRICING)
    strict = Pricing(requires_face_value=True)
    rules.check_face_value(details(1_000, 1_000), strict)
    with pytest.raises(FaceValueMissing) as refused:
        rules.check_face_value(details(1_000, None), strict)
    assert (refused.value.code, refused.value.field) == ("face-value-missing", "faceValue")
    with pytest.raises(FaceValueMissing):
        rules.edit(ticket(), SELLER, details(1_000, None), NOW, strict)


@given(st.integers(1, 99_999_999), st.decimals(0, 1000, places=2))
def test_the_highest_price_is_never_above_the_cap_and_never_a_whole_cent_below_it(
    face_value: int, percent: Decimal
) -> None:
    exact = Decimal(face_value) * (100 + percent) / 100
    assert 0 <= exact - PriceCap(percent, "x", date(2026, 12, 1)).highest(face_value) < 1


# --- The table ---


def test_countries_are_grouped_by_their_caps_as_sellers_read_them() -> None:
    assert STANDARD.others.percent == 20
    assert STANDARD.groups() == [
        (Decimal(0), ["BE", "FR", "NO", "PT"]),
        (Decimal(5), ["DK", "IT", "PL"]),
        (Decimal(10), ["AU"]),
    ]


def test_a_table_may_have_comments_empty_lines_and_quoted_values() -> None:
    caps = price_caps.parse(f'# ours\n\n{HEAD}{OTHERS}DE, 7.5 ,"A law, a decree",2026-11-30\n')
    assert caps.of("DE") == PriceCap(Decimal("7.5"), "A law, a decree", date(2026, 11, 30), "DE")
    assert caps.of("FR") == caps.of(None) == caps.others


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must be country,percent,source,date"),
        ("country,percent\n*,20\n", "the first line must be country,percent,source,date"),
        (HEAD, "the line for all other countries is missing: *,20,…"),
        (HEAD + OTHERS + "DE,20\n", "line 3: must have 4 values: country, percent, source, date"),
        (HEAD + OTHERS + "de,20,x,2026-12-01\n", "line 3: 'de' isn't a country such as DE, or *"),
        (HEAD + OTHERS + "XX,20,x,2026-12-01\n", "line 3: 'XX' isn't a country such as DE, or *"),
        (HEAD + OTHERS + OTHERS, "line 3: * has a line already"),
        (HEAD + OTHERS + "DE,-1,x,2026-12-01\n", "line 3: percent must be from 0 to 1000, not '-1'"),
        (HEAD + OTHERS + "DE,1001,x,2026-12-01\n", "line 3: percent must be from 0 to 1000, not '1001'"),
        (HEAD + OTHERS + "DE,nan,x,2026-12-01\n", "line 3: percent must be from 0 to 1000, not 'nan'"),
        (HEAD + OTHERS + "DE,20%,x,2026-12-01\n", "line 3: percent must be from 0 to 1000, not '20%'"),
        (HEAD + OTHERS + "DE,20,,2026-12-01\n", "line 3: source is missing"),
        (HEAD + OTHERS + "DE,20,x,1.12.2026\n", "line 3: date must be like 2026-12-01, not '1.12.2026'"),
        (HEAD + OTHERS + "DE,20,x,2026-13-01\n", "line 3: date must be like 2026-12-01, not '2026-13-01'"),
    ],
)
def test_a_mistake_in_the_table_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(WrongPriceCaps) as wrong:
        price_caps.parse(text)
    assert str(wrong.value) == message


def test_all_mistakes_of_a_table_are_reported_at_once() -> None:
    with pytest.raises(WrongPriceCaps) as wrong:
        price_caps.parse(f"{HEAD}{OTHERS}XX,a,,b\nDE,1,x,c\n")
    assert [line.split(":")[0] for line in str(wrong.value).splitlines()] == ["line 3"] * 4 + ["line 4"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "can't be read"), (b"\xff\xfe", "isn't UTF-8"), (b"#" * 100_001, "has more than 100000 bytes")],
)
def test_a_file_that_is_missing_unreadable_or_too_large_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "caps.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WrongPriceCaps, match=message):
        price_caps.read(path)


def test_the_caps_of_a_file_of_the_operator_replace_the_standard_ones(tmp_path: Path) -> None:
    path = tmp_path / "caps.csv"
    path.write_text(HEAD + OTHERS)
    assert isinstance(price_caps.read(path), PriceCaps)
    assert price_caps.read(path).of("FR").percent == 20
