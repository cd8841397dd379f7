from decimal import Decimal
from typing import Any

import pytest
from babel import Locale

from contracts.api import OrderTicket, Ticket
from web.rendering import locales
from web.rendering.payout_texts import fee_of
from web.rendering.prices import Prices

PRICES = Prices("usd")


def ticket(price: str, quantity: int = 1, face_value: str | None = None) -> Ticket:
    values: dict[str, Any] = {"id": "a" * 24, "user_id": "b" * 24, "version": 0, "status": "available"}
    stated = None if face_value is None else Decimal(face_value)
    return Ticket(title="Hamlet", price=Decimal(price), quantity=quantity, face_value=stated, **values)


@pytest.mark.parametrize(
    ("price", "quantity", "text", "total", "each"),
    [
        ("15", 1, "$15.00", "", "$15.00"),
        ("60", 4, "4 \u00d7 $15.00", "$60.00 in total", "$15.00"),
        ("61", 2, "2 \u00d7 $30.50", "$61.00 in total", "$30.50"),
        ("50", 3, "3 for $50.00", "", "about $16.67"),
        ("0.05", 10, "10 for $0.05", "", "about $0.01"),
    ],
)
def test_a_set_is_shown_with_the_price_of_each_ticket_unless_that_would_be_rounded(
    price: str, quantity: int, text: str, total: str, each: str
) -> None:
    shown = ticket(price, quantity)
    assert (PRICES.text(shown), PRICES.total(shown), PRICES.each(shown)) == (text, total, each)


@pytest.mark.parametrize(
    ("face_value", "quantity", "table", "line"),
    [
        (None, 4, "Not stated", "Face value not stated"),
        ("12", 1, "$12.00", "Face value $12.00"),
        ("48", 4, "4 \u00d7 $12.00", "Face value $12.00 each"),
        ("50", 3, "3 for $50.00", "Face value $50.00 in total"),
    ],
)
def test_a_face_value_is_shown_per_ticket_or_as_not_stated(
    face_value: str | None, quantity: int, table: str, line: str
) -> None:
    shown = ticket("60", quantity, face_value)
    assert (PRICES.face_value(shown), PRICES.face_value_line(shown)) == (table, line)


def test_nothing_is_said_about_the_face_value_where_nobody_knows_it() -> None:
    ordered = OrderTicket(id="a" * 24, version=0, title="Hamlet", price=Decimal(60), quantity=4)
    assert (PRICES.text(ordered), PRICES.face_value_line(ordered)) == ("4 \u00d7 $15.00", "")


def test_prices_are_formatted_as_in_the_country_of_the_reader() -> None:
    with locales.using(Locale("en", "DE")):
        assert Prices("eur").text(ticket("61", 2)) == "2 \u00d7 30,50\u00a0€"


@pytest.mark.parametrize(
    ("price", "percent", "fee"),
    [("19.99", "5", "1.00"), ("0.10", "5", "0.01"), ("60.00", "2.5", "1.50"), ("60.00", "0", "0.00")],
)
def test_the_fee_is_rounded_half_up(price: str, percent: str, fee: str) -> None:
    assert fee_of(Decimal(price), Decimal(percent)) == Decimal(fee)
