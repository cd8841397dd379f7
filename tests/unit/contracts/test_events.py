import re
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.events import ALL_EVENTS, Event, OrderCreated, PaymentCreated, TicketCreated
from contracts.examples import BUYER, LINK, MATCH, ORDER, PAYMENT, SESSION, TICKET
from contracts.examples import EVENT_EXAMPLES as EVENTS
from contracts.wire import Wire


def changed(kind: type[Wire], **changes: Any) -> Wire:
    example = next(event for event in EVENTS if type(event) is kind)
    return kind.model_validate({**example.model_dump(by_alias=True), **changes})


@pytest.mark.parametrize("event", ALL_EVENTS)
def test_the_subject_of_an_event_follows_from_its_class_name(event: type[Event]) -> None:
    """For example, `TicketCreated` has the subject `ticket.created`."""
    assert event.subject == re.sub(r"(?<!^)(?=[A-Z])", ".", event.__name__).lower()


def test_no_two_events_share_a_subject() -> None:
    assert len({event.subject for event in ALL_EVENTS}) == len(ALL_EVENTS)


@pytest.mark.parametrize("event", ALL_EVENTS)
def test_every_event_has_a_docstring_of_one_line_that_ends_with_a_period(event: type[Event]) -> None:
    assert event.__doc__ is not None
    assert event.__doc__.endswith(".")
    assert "\n" not in event.__doc__


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.subject)
def test_an_event_contains_the_id_of_the_aggregate_that_changed(event: Event) -> None:
    expected = {
        "ticket": TICKET,
        "order": ORDER,
        "payment": PAYMENT,
        "payout": ORDER,
        "expiration": ORDER,
        "user": BUYER,
        "link": LINK,
        "session": SESSION,
        "alert": MATCH,
    }
    assert event.about == expected[event.subject.partition(".")[0]]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        TICKET[:-1],
        TICKET + "0",
        TICKET.upper(),
        TICKET[:-1] + "g",
        TICKET + "\n",
        "../" + TICKET,
        5,
        None,
    ],
)
def test_an_id_is_24_lower_case_hexadecimal_digits(wrong: object) -> None:
    with pytest.raises(ValidationError):
        changed(TicketCreated, id=wrong)


@pytest.mark.parametrize(
    ("kind", "field", "wrong"),
    [
        (TicketCreated, "version", -1),
        (TicketCreated, "status", "lost"),
        (TicketCreated, "price", 0),
        (OrderCreated, "hold", 0),
        (OrderCreated, "status", "available"),
        (OrderCreated, "expiresAt", "2027-03-01T18:45:00"),
        (PaymentCreated, "amount", 0),
        (PaymentCreated, "amount", 19.99),
        (PaymentCreated, "status", "paid"),
    ],
)
def test_an_event_with_an_invalid_value_is_refused(kind: type[Event], field: str, wrong: object) -> None:
    with pytest.raises(ValidationError) as refused:
        changed(kind, **{field: wrong})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]
