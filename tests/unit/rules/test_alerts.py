"""Which tickets a request matches, and when a ticket is announced again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.api import AlertBody
from services.tickets.alerts import rules
from services.tickets.rules import TicketState

START = datetime(2031, 6, 5, 18, 30, tzinfo=UTC)
NOW = datetime(2031, 1, 1, tzinfo=UTC)
FIVE_MINUTES = timedelta(minutes=5)
SHOW, SELLER, FAN = "a" * 24, "e" * 24, "f" * 24


def a_ticket(**changes: Any) -> TicketState:
    values = {"user_id": SELLER, "title": "Nick Cave", "price_minor": 9000, "quantity": 2, "show_id": SHOW}
    return TicketState.model_validate({**values, "starts_at": START, **changes})


def an_alert(**changes: Any) -> rules.AlertState:
    values = {"user_id": FAN, "kind": "alert", "target": rules.target_of_show(SHOW), **changes}
    return rules.AlertState.model_validate(values)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, True),
        ({"quantity": 2}, True),
        ({"quantity": 1}, False),
        ({"quantity": 3}, False),
        ({"price_to_minor": 4500}, True),
        ({"price_to_minor": 4499}, False),
        ({"price_to_minor": 4500, "quantity": 2}, True),
        ({"user_id": SELLER}, False),
    ],
)
def test_a_request_matches_by_price_per_ticket_and_number_but_not_for_the_seller(
    conditions: dict[str, Any], expected: bool
) -> None:
    assert rules.matches(an_alert(**conditions), a_ticket()) == expected


def test_prices_are_compared_without_rounding() -> None:
    """Three tickets for 100.01 cost more than 33.33 each."""
    three = a_ticket(price_minor=10_001, quantity=3)
    assert not rules.matches(an_alert(price_to_minor=3333), three)
    assert rules.matches(an_alert(price_to_minor=3334), three)


@pytest.mark.parametrize("spelling", ["nick cave", "NICK CAVE!", "Nick  Cave"])
def test_spellings_of_a_performer_are_one_target(spelling: str) -> None:
    assert rules.target_of_performer(spelling) == rules.target_of_performer("Nick Cave")
    assert rules.targets_of(SHOW, ["Nick Cave", spelling]) == [
        rules.target_of_show(SHOW),
        rules.target_of_performer("Nick Cave"),
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"status": "reserved"}, False),
        ({"status": "sold"}, False),
        ({"status": "withdrawn"}, False),
        ({"awaits_files": True}, False),
        ({"show_id": None}, False),
        ({"starts_at": NOW}, False),
        ({"starts_at": None}, True),
    ],
)
def test_only_a_ticket_that_can_be_bought_is_announced(changes: dict[str, Any], expected: bool) -> None:
    assert rules.is_announced(a_ticket(**changes), NOW) == expected


@pytest.mark.parametrize(
    ("before", "changes", "expected"),
    [
        ({}, {"price_minor": 8000}, True),
        ({}, {"quantity": 1}, True),
        ({}, {"show_id": "b" * 24}, True),
        ({"status": "reserved"}, {"status": "available"}, True),
        ({"awaits_files": True}, {"awaits_files": False}, True),
        ({}, {"price_minor": 9000, "notes": "Bring the card"}, False),
        ({}, {"status": "reserved"}, False),
        ({}, {"status": "withdrawn"}, False),
        ({"status": "reserved"}, {"status": "sold"}, False),
        ({"awaits_files": True}, {"price_minor": 8000}, False),
    ],
)
def test_a_ticket_is_offered_anew_if_others_may_want_it(
    before: dict[str, Any], changes: dict[str, Any], expected: bool
) -> None:
    assert rules.is_offered_anew(a_ticket(**before), changes) == expected


def test_offering_a_ticket_anew_makes_no_wave_sooner() -> None:
    later = NOW + FIVE_MINUTES
    assert rules.announced_anew(None, NOW) == {"announce_at": NOW, "announced_to": None}
    assert rules.announced_anew(later, NOW)["announce_at"] == later
    assert rules.announced_anew(NOW - FIVE_MINUTES, NOW)["announce_at"] == NOW


def test_a_wave_is_followed_by_the_next_after_the_interval() -> None:
    later = NOW + FIVE_MINUTES
    assert rules.wave(NOW, FIVE_MINUTES) == {"announce_at": later, "next_wave_at": later}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"showId": SHOW, "performer": "Nick Cave"},
        {"performer": "Nick Cave"},
        {"kind": "favorite", "showId": SHOW, "priceTo": 20},
        {"kind": "favorite", "performer": "Nick Cave", "quantity": 2},
        {"showId": SHOW, "quantity": 11},
        {"showId": SHOW, "priceTo": 0},
    ],
)
def test_a_request_names_one_thing_and_only_an_alert_has_conditions(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlertBody.model_validate(body)
