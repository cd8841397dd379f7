import pytest
from pydantic import ValidationError

from contracts.api import TicketBody
from contracts.codes import find_code


@pytest.mark.parametrize(
    "text",
    [
        "Barcode 4006381333931",
        "1234 5678 9012",
        "1234-5678-9012-3456",
        "transfer code: 4711A",
        "Booking reference ABC123",
        "Order number 20941-7",
        "Code AB12CD34",
        "Code ＡＢ１２ＣＤ３４",  # noqa: RUF001 - full-width letters and digits
        "use tx7q9k2m at the gate",
        "TKT-9F3K-77QX",
        "ABC1234567",
        "550e8400-e29b-41d4-a716-446655440000",
    ],
)
def test_a_code_is_found(text: str) -> None:
    assert find_code(text)


@pytest.mark.parametrize(
    "text",
    [
        "Row 4, seat 12",
        "Section 104, Row B, Seats 12-14",
        "SEC104ROWB12",
        "Block12Row3Seat44",
        "Download2026 Weekend",
        "AC/DC: Power Up Tour 2026/27",
        "12DEC2026, 19h30 to 22h00",
        "2026-12-31T20:00:00Z",
        "31.12.2026 20:00-23:00",
        "Call +491701234567 or 0170 1234567",
        "100EUR, was 1,234.50",
        "https://example.com/a1b2c3d4e5 has a map",
        "blink-182, Sum 41, 3OH!3, Boyz2Men, U2, deadmau5, Maroon5Tribute",
        "4x4 Matrix 7, 1000000 fans",
        "Area code 10115, dress code black",
        "2nd row, 3rd seat, U16 only, FSK12",
        "Lollapalooza2026",
        "Covid19Relief",
        "東京2020 オリンピック",
    ],
)
def test_an_ordinary_text_is_no_code(text: str) -> None:
    assert find_code(text) is None


@pytest.mark.parametrize("field", ["title", "venue", "city", "seat", "notes"])
def test_a_code_is_refused_in_every_public_field(field: str) -> None:
    with pytest.raises(ValidationError, match="everybody can read it"):
        TicketBody.model_validate({"title": "Row 4", "price": 5, field: "Code AB12CD34"})


def test_the_private_note_may_contain_a_code() -> None:
    body = TicketBody.model_validate({"title": "Row 4", "price": 5, "privateNote": " Code AB12CD34 "})
    assert body.private_note == "Code AB12CD34"
