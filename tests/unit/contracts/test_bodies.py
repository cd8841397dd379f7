from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.api import TOKEN, CurrentUserResult, OrderBody, PaymentBody, SignIn, SignUp, TicketBody
from contracts.events import TicketCreated
from contracts.examples import ORDER
from contracts.wire import Moment, Wire, now

MOMENT: TypeAdapter[datetime] = TypeAdapter(Moment)


def refusals(kind: type[Wire], **fields: Any) -> list[tuple[str, str]]:
    """The field and the message of each validation error."""
    with pytest.raises(ValidationError) as refused:
        kind.model_validate(fields)
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in refused.value.errors()]


@pytest.mark.parametrize("kind", [SignUp, SignIn])
def test_an_email_address_is_trimmed_and_lowercased(kind: type[SignUp] | type[SignIn]) -> None:
    assert kind(email="  Ada@Example.COM\t", password="correct horse").email == "ada@example.com"


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@example.com, b@c.de"]
)
def test_signing_up_requires_a_valid_email_address(email: str) -> None:
    assert [field for field, _ in refusals(SignUp, email=email, password="correct horse")] == ["email"]


@pytest.mark.parametrize("email", ["Ada <ada@example.com>", "<ada@example.com>"])
def test_an_email_address_with_a_name_is_refused(email: str) -> None:
    assert refusals(SignUp, email=email, password="correct horse") == [
        ("email", "Email must be just an address, without a name")
    ]


@pytest.mark.parametrize("email", ["a@xn--mnchen-3ya.de", "a@m\u00fcnchen.de", "e\u0301@example.com"])
def test_signing_up_and_signing_in_normalize_an_email_address_alike(email: str) -> None:
    stored = SignUp(email=email, password="correct horse").email
    assert SignIn(email=email, password="correct horse").email == stored


@pytest.mark.parametrize("email", ["Ada", " ADA\t", "Ada <ADA@example.com>"])
def test_signing_in_does_not_validate_the_format_of_the_email_address(email: str) -> None:
    assert SignIn(email=email, password="x").email == email.strip().lower()


@pytest.mark.parametrize("kind", [SignUp, SignIn])
@pytest.mark.parametrize("email", [{"$gt": ""}, ["ada@example.com"], None, 5])
def test_an_email_address_that_is_not_text_is_refused(kind: type[Wire], email: object) -> None:
    assert [field for field, _ in refusals(kind, email=email, password="correct horse")] == ["email"]


@pytest.mark.parametrize("length", [8, 256])
def test_a_password_may_have_8_to_256_characters(length: int) -> None:
    assert SignUp(email="ada@example.com", password="ü" * length).password == "ü" * length


@pytest.mark.parametrize("length", [0, 7, 257, 1025])
def test_a_password_with_fewer_than_8_or_more_than_256_characters_is_refused(length: int) -> None:
    assert refusals(SignUp, email="ada@example.com", password="x" * length) == [
        ("password", "Password must be between 8 and 256 characters")
    ]


def test_a_password_is_not_trimmed() -> None:
    assert SignUp(email="ada@example.com", password="  Two Blanks  ").password == "  Two Blanks  "


def test_a_new_password_is_normalized_before_its_length_is_checked() -> None:
    decomposed = "e\u0301" * 256
    assert SignUp(email="ada@example.com", password=decomposed).password == "\u00e9" * 256
    assert refusals(SignUp, email="ada@example.com", password="e\u0301" * 7)


@pytest.mark.parametrize(
    "blank", [" ", "\u00a0", "\u3000", "\u200b", "\u2060", "\u00ad", "\u3164", "\u2800", "\u0301"]
)
def test_a_password_of_spaces_and_invisible_characters_only_is_refused(blank: str) -> None:
    ((field, message),) = refusals(SignUp, email="ada@example.com", password=blank * 9)
    assert (field, message.partition(",")[0]) == (
        "password",
        "Password must not consist of spaces and invisible characters only",
    )


@pytest.mark.parametrize("control", ["\0", "\t", "\n", "\x1b", "\x7f", "\x85"])
def test_a_password_with_a_control_character_is_refused(control: str) -> None:
    ((field, message),) = refusals(SignUp, email="ada@example.com", password=f"correct{control}horse")
    assert field == "password"
    assert "control characters" in message


def test_signing_in_accepts_a_password_that_could_not_be_chosen_any_more() -> None:
    assert SignIn(email="ada@example.com", password="\0" * 8).password == "\0" * 8


def test_signing_in_does_not_validate_the_minimum_length_of_the_password() -> None:
    assert SignIn(email="ada@example.com", password="x").password == "x"


@pytest.mark.parametrize("kind", [SignUp, SignIn])
def test_a_password_longer_than_1024_characters_is_refused_without_hashing(kind: type[Wire]) -> None:
    assert [field for field, _ in refusals(kind, email="ada@example.com", password="x" * 1025)] == [
        "password"
    ]


def test_a_title_is_trimmed() -> None:
    assert TicketBody.model_validate({"title": "  Row 4 ", "price": 5}).title == "Row 4"


@pytest.mark.parametrize(
    ("title", "why"),
    [
        ("", "Title is required"),
        ("  \t\n", "Title is required"),
        ("x" * 201, "Title must be at most 200 characters"),
    ],
)
def test_a_title_has_1_to_200_characters(title: str, why: str) -> None:
    assert refusals(TicketBody, title=title, price=5) == [("title", why)]
    assert TicketBody.model_validate({"title": "x" * 200, "price": 5}).title == "x" * 200


def test_the_error_lists_every_invalid_field() -> None:
    assert [field for field, _ in refusals(TicketBody, title="", price=0, venue=" ", startsAt="soon")] == [
        "title",
        "price",
        "startsAt",
        "venue",
    ]


@pytest.mark.parametrize("field", ["venue", "city"])
def test_venue_and_city_are_optional_and_have_1_to_120_characters(field: str) -> None:
    assert getattr(TicketBody.model_validate({"title": "x", "price": 5}), field) is None
    assert getattr(TicketBody.model_validate({"title": "x", "price": 5, field: " Köln "}), field) == "Köln"
    for wrong in ("", "  ", "x" * 121):
        assert [name for name, _ in refusals(TicketBody, title="x", price=5, **{field: wrong})] == [field]


def test_a_ticket_needs_only_a_title_and_a_price() -> None:
    ticket = TicketBody.model_validate({"title": "x", "price": 5})
    assert (ticket.quantity, ticket.time_zone, ticket.category, ticket.face_value) == (1, None, None, None)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Argentina/Buenos_Aires", "UTC", " Asia/Tokyo "])
def test_a_time_zone_is_given_by_its_iana_name(zone: str) -> None:
    ticket = TicketBody.model_validate({"title": "x", "price": 5, "timeZone": zone})
    assert ticket.time_zone == zone.strip()


@pytest.mark.parametrize(
    "zone", ["", "Berlin", "europe/berlin", "+02:00", "Europe", "/etc/passwd", "../UTC", "localtime", "a\0b"]
)
def test_a_time_zone_that_is_not_an_iana_name_is_refused(zone: str) -> None:
    assert refusals(TicketBody, title="x", price=5, timeZone=zone) == [
        ("timeZone", "Time zone must be an IANA name such as Europe/Berlin")
    ]


@pytest.mark.parametrize("quantity", [1, 10, 2.0])
def test_a_listing_has_1_to_10_tickets(quantity: float) -> None:
    ticket = TicketBody.model_validate({"title": "x", "price": 5, "quantity": quantity})
    assert ticket.quantity == quantity


@pytest.mark.parametrize("quantity", [0, 11, -1, 2.5, "2", True, None, [1]])
def test_a_quantity_that_is_not_a_whole_number_from_1_to_10_is_refused(quantity: object) -> None:
    assert [field for field, _ in refusals(TicketBody, title="x", price=5, quantity=quantity)] == ["quantity"]


def test_a_face_value_is_parsed_like_a_price_and_named_in_errors() -> None:
    assert TicketBody.model_validate({"title": "x", "price": 5, "faceValue": "19.9"}).face_value == Decimal(
        "19.90"
    )
    assert refusals(TicketBody, title="x", price=0, faceValue=0) == [
        ("price", "Price must be greater than 0"),
        ("faceValue", "Face value must be greater than 0"),
    ]


def test_an_event_with_an_unknown_category_is_accepted() -> None:
    fields = {"id": ORDER, "version": 0, "title": "x", "price": 5, "userId": ORDER, "status": "available"}
    assert TicketCreated.model_validate({**fields, "category": "opera"}).category == "opera"


@pytest.mark.parametrize("fields", [{}, {"ticketId": ""}, {"ticketId": "  "}])
def test_a_reservation_requires_a_ticket_id(fields: dict[str, str]) -> None:
    assert [why for _, why in refusals(OrderBody, **fields)] == ["TicketId must be provided"]


def test_a_payment_has_no_card_if_the_buyer_pays_on_stripes_page() -> None:
    assert PaymentBody(order_id=ORDER).token is None


@pytest.mark.parametrize("token", ["tok_visa", "pm_card_visa", "pm_1Abc", "tok_" + "x" * 200])
def test_tokens_and_payment_methods_are_accepted(token: str) -> None:
    assert TOKEN.fullmatch(token)


@pytest.mark.parametrize(
    "token",
    ["", "tok_", "visa", "4242424242424242", "tok_visa\n", "tok_visa/../x", "tok_" + "x" * 201, "src_1"],
)
def test_other_texts_are_no_tokens(token: str) -> None:
    assert not TOKEN.fullmatch(token)


def test_an_anonymous_user_is_null_in_json() -> None:
    assert CurrentUserResult(current_user=None).to_json() == '{"currentUser":null}'


@pytest.mark.parametrize("text", ["2027-06-12T19:30:00", "2027-06-12", "soon", ""])
def test_a_time_without_a_zone_and_a_malformed_time_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        MOMENT.validate_python(text)


@pytest.mark.parametrize("number", [0, 1767225600, 1.5, "1767225600", " -1.5 ", True])
def test_a_number_is_refused_as_a_time(number: object) -> None:
    assert refusals(TicketBody, title="x", price=5, startsAt=number) == [
        ("startsAt", "Times must be written as in 2026-12-31T20:00:00Z")
    ]


@pytest.mark.parametrize("far", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_cannot_represent_is_refused(far: str) -> None:
    assert refusals(TicketBody, title="x", price=5, startsAt=far) == [
        ("startsAt", "Times must be within the years 1 to 9999")
    ]


def test_an_event_is_refused_that_leaves_no_time_for_what_follows_it() -> None:
    last = "8999-12-31T23:59:59Z"
    assert TicketBody(title="x", price=5, starts_at=last).starts_at is not None  # type: ignore[arg-type]
    for late in ("9000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        assert refusals(TicketBody, title="x", price=5, startsAt=late) == [
            ("startsAt", "The event must begin before the year 9000")
        ]


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        MOMENT.validate_python(datetime(2027, 6, 12, 19, 30))  # noqa: DTZ001 - the test is about it


def test_a_time_in_another_zone_is_converted_to_utc() -> None:
    moment = MOMENT.validate_python("2027-06-12T21:30:00+02:00")
    assert moment == datetime(2027, 6, 12, 19, 30, tzinfo=UTC)
    assert moment.tzinfo is UTC
    assert MOMENT.dump_json(moment) == b'"2027-06-12T19:30:00.000Z"'


@pytest.mark.parametrize(("given", "kept"), [(0, 0), (999, 0), (1_000, 1_000), (999_999, 999_000)])
def test_times_are_truncated_to_the_millisecond_like_in_the_database(given: int, kept: int) -> None:
    moment = datetime(2027, 6, 12, 19, 30, 0, given, tzinfo=timezone(timedelta(hours=-3)))
    assert MOMENT.validate_python(moment) == moment.replace(microsecond=kept)


def test_now_is_a_valid_moment_in_utc() -> None:
    present = now()
    assert MOMENT.validate_python(present) == present
    assert present.tzinfo is UTC
