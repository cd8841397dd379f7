"""When two descriptions mean the same event, what tickets take over from it, and how they are grouped."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from contracts.api import Ticket
from contracts.money import price_per_ticket
from contracts.tickets import countries, country_of, time_zones
from services.tickets.rules import EventInThePast, TicketState
from services.tickets.shows import rules

START = datetime(2031, 6, 5, 18, 30, tzinfo=UTC)
NOW = datetime(2031, 1, 1, tzinfo=UTC)
SHOW, OTHER = "a" * 24, "b" * 24
FACTS: dict[str, Any] = {
    "title": "Nick Cave",
    "venue": "Tempodrom",
    "city": "Berlin",
    "country": "DE",
    "time_zone": "Europe/Berlin",
    "starts_at": START,
}


def facts(**changes: Any) -> rules.ShowFacts:
    return rules.ShowFacts.model_validate({**FACTS, **changes})


def show(**changes: Any) -> rules.ShowState:
    values = {**FACTS, **changes}
    key = rules.key_of(*(values[name] for name in ("title", "venue", "city", "starts_at")))
    return rules.ShowState.model_validate({"keys": [key], **values})


def a_ticket(**changes: Any) -> TicketState:
    values = {"user_id": "e" * 24, "title": "Nick Cave", "price_minor": 4500, **FACTS, **changes}
    return TicketState.model_validate(values)


def listed(number: int, price: str, seat: str | None = None, quantity: int = 1, **more: Any) -> Ticket:
    values = {"status": "available", "version": 0, "userId": "e" * 24, **more}
    return Ticket.model_validate(
        {
            "id": f"{number:024x}",
            "title": "Nick Cave",
            "price": price,
            "seat": seat,
            "quantity": quantity,
            **values,
        }
    )


@pytest.mark.parametrize(
    "spelling",
    [
        {"title": "NICK CAVE!"},
        {"title": "nick  cave", "venue": "tempodrom", "city": "BERLIN"},
        {"starts_at": START + timedelta(seconds=59)},
    ],
)
def test_spellings_that_differ_in_case_accents_and_punctuation_mean_the_same_event(
    spelling: dict[str, Any],
) -> None:
    described = {**FACTS, **spelling}
    key = rules.key_of(*(described[name] for name in ("title", "venue", "city", "starts_at")))
    assert key == show().keys[0]


@pytest.mark.parametrize(
    "other",
    [
        {"title": "Nick Drake"},
        {"venue": "Astra"},
        {"city": "Bern"},
        {"starts_at": START + timedelta(minutes=1)},
        {"title": "Nick", "venue": "Cave Tempodrom"},
    ],
)
def test_another_title_place_or_time_means_another_event(other: dict[str, Any]) -> None:
    assert show(**other).keys != show().keys


def test_titles_of_signs_only_are_told_apart() -> None:
    assert show(title="!!!").keys != show(title="???").keys


@pytest.mark.parametrize("missing", ["starts_at", "venue", "city"])
def test_a_listing_without_date_venue_or_city_describes_no_event(missing: str) -> None:
    assert rules.described({**FACTS, missing: None}) is None


def test_the_country_follows_from_the_time_zone_unless_it_is_given() -> None:
    derived, given = (rules.described({**FACTS, "country": country}) for country in (None, "AT"))
    assert derived is not None
    assert derived.country == "DE"
    assert given is not None
    assert given.country == "AT"


def test_zones_have_their_country_also_under_former_names() -> None:
    zones = {"Asia/Calcutta": "IN", "US/Eastern": "US", "Europe/Kiev": "UA", "GB": "GB", "UTC": None}
    assert {zone: country_of(zone) for zone in zones} == zones
    assert {country_of(zone) for zone in time_zones()} <= {None, *countries()}


def test_a_show_that_has_begun_takes_no_listings() -> None:
    rules.check_has_not_begun(show(), START - timedelta(seconds=1))
    with pytest.raises(EventInThePast):
        rules.check_has_not_begun(show(), START)


@pytest.mark.parametrize("status", ["available", "reserved"])
def test_a_ticket_that_is_not_sold_takes_over_place_and_time(status: str) -> None:
    ticket = a_ticket(status=status, show_id=OTHER, venue="Temprodom")
    changes = rules.follow(ticket, SHOW, facts(starts_at=START + timedelta(hours=1)))
    assert changes is not None
    assert (changes["show_id"], changes["venue"]) == (SHOW, "Tempodrom")
    assert changes["starts_at"] == START + timedelta(hours=1)
    assert "title" not in changes
    assert "price_minor" not in changes


def test_a_sold_ticket_gets_another_date_and_stays_otherwise_as_its_buyer_bought_it() -> None:
    ticket = a_ticket(status="sold", show_id=OTHER, venue="Temprodom")
    changes = rules.follow(ticket, SHOW, facts(starts_at=START + timedelta(hours=1)))
    assert changes == {
        "show_id": SHOW,
        "starts_at": START + timedelta(hours=1),
        "time_zone": ticket.time_zone,
        "date_changes": 1,
    }


def test_a_withdrawn_ticket_only_gets_the_id() -> None:
    ticket = a_ticket(status="withdrawn", show_id=OTHER)
    assert rules.follow(ticket, SHOW, facts(starts_at=START + timedelta(hours=1))) == {"show_id": SHOW}


def test_only_changes_of_the_date_are_counted() -> None:
    ticket = a_ticket(show_id=SHOW, venue="Temprodom", date_changes=3)
    changes = rules.follow(ticket, SHOW, facts())
    assert changes is not None
    assert "date_changes" not in changes
    later = rules.follow(ticket, SHOW, facts(starts_at=START + timedelta(hours=1)))
    assert later is not None
    assert later["date_changes"] == 4


def test_a_ticket_without_a_date_gets_none() -> None:
    ticket = a_ticket(show_id=OTHER, starts_at=None, venue=None, city=None)
    assert rules.follow(ticket, SHOW, facts()) == {"show_id": SHOW}


def test_a_ticket_that_has_followed_does_not_change() -> None:
    assert rules.follow(a_ticket(show_id=SHOW), SHOW, facts()) is None


def test_merging_twice_changes_nothing() -> None:
    assert rules.merge_into(show(), OTHER, NOW) == {"merged_into": OTHER, "unsettled_since": NOW}
    assert rules.merge_into(show(merged_into=OTHER), OTHER, NOW) is None


def test_a_correction_keeps_the_former_description_as_one_of_the_same_event() -> None:
    changes = rules.correct(show(), {"venue": "Astra"}, NOW)
    assert changes is not None
    assert changes["keys"] == [*show().keys, *show(venue="Astra").keys]
    back = rules.correct(show(venue="Astra", keys=changes["keys"]), {"venue": "Tempodrom"}, NOW)
    assert back is not None
    assert back["keys"] == changes["keys"][::-1]


def test_a_correction_to_what_is_known_changes_nothing() -> None:
    assert rules.correct(show(), {"venue": "Tempodrom", "country": "DE"}, NOW) is None


def test_another_time_zone_brings_its_country_unless_that_is_given() -> None:
    moved = rules.correct(show(), {"time_zone": "Europe/Vienna"}, NOW)
    assert moved is not None
    assert moved["country"] == "AT"
    given = rules.correct(show(), {"time_zone": "Europe/Vienna", "country": "CH"}, NOW)
    assert given is not None
    assert given["country"] == "CH"


@pytest.mark.parametrize(
    ("seat", "area"),
    [
        (None, None),
        ("Block A", "Block A"),
        ("Block A, row 4, seat 7", "Block A"),
        ("Balcony row B", "Balcony"),
        ("Orchestra - row G", "Orchestra"),
        ("Parkett, Reihe 6", "Parkett"),
        ("Platea, fila 8", "Platea"),
        ("Section 114 / seat 3", "Section 114"),
        ("Standing", "Standing"),
        ("Row 4, seats 11 and 12", None),
        ("14B", None),
        ("Seat 12", None),
        (", ,", None),
    ],
)
def test_the_area_is_the_leading_part_of_the_seat(seat: str | None, area: str | None) -> None:
    assert rules.area_of(seat) == area


@pytest.mark.parametrize(
    ("price", "quantity", "each"),
    [("10", 1, "10.00"), ("10", 3, "3.33"), ("5", 3, "1.67"), ("0.01", 10, "0.01")],
)
def test_the_price_per_ticket_is_rounded_to_the_nearest_minor_unit(
    price: str, quantity: int, each: str
) -> None:
    assert price_per_ticket(Decimal(price), quantity) == Decimal(each)


def test_tickets_are_grouped_by_area_and_number_of_seats_and_the_cheapest_per_ticket_comes_first() -> None:
    groups = rules.grouped(
        [
            listed(1, "50", "Block A, row 1"),
            listed(2, "60", "block a, row 9", 2),
            listed(3, "45", "Block A, row 2"),
            listed(4, "40", "Balcony"),
            listed(5, "10", "Balcony", status="sold"),
            listed(6, "70", "Balcony", 2, status="reserved"),
        ]
    )
    found = [
        (group.area, group.quantity, group.lowest, [t.id[-1] for t in group.tickets]) for group in groups
    ]
    assert found == [
        ("block a", 2, Decimal(30), ["2"]),
        ("Balcony", 1, Decimal(40), ["4", "5"]),
        ("block a", 1, Decimal(45), ["3", "1"]),
        ("Balcony", 2, None, ["6"]),
    ]


def test_the_range_is_of_prices_per_ticket_that_can_be_bought() -> None:
    tickets = [listed(1, "50"), listed(2, "60", None, 2), listed(3, "5", status="sold")]
    assert rules.price_range(tickets) == (Decimal(30), Decimal(50))
    assert rules.price_range(tickets[2:]) == (None, None)


def test_sales_say_more_about_the_demand_for_an_event_than_holds() -> None:
    held, sold, both = "a" * 24, "b" * 24, "c" * 24
    groups = [(held, "reserved", 2), (sold, "sold", 1), (both, "sold", 1), (both, "reserved", 1)]
    assert rules.by_demand(groups) == [both, sold, held]


def test_only_the_most_popular_events_are_kept_and_those_without_demand_are_not() -> None:
    groups = [(f"{number:024x}", "sold", number) for number in range(rules.MAX_POPULAR + 10)]
    popular = rules.by_demand(groups)
    assert len(popular) == rules.MAX_POPULAR
    assert popular[0] == groups[-1][0]
    assert rules.by_demand([("a" * 24, "withdrawn", 5)]) == []
