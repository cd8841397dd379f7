"""The tickets of the demo."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from contracts.api import TicketBody
from contracts.tickets import CATEGORIES
from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.fill import ticket_body
from sandbox.demo.programme import BUYER, COPPER_HALL, MAGNOLIA, SELLER, Event, Outcome, Venue, people

FRONT_PAGE = 20
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""Noon on a Wednesday."""


def start_of(words: str, venue: Venue = COPPER_HALL, now: datetime = NOON) -> str:
    start = Event("Paper Lanterns", venue, words, ()).starts_at(now).astimezone(ZoneInfo(venue.time_zone))
    return f"{start:%a %d %H:%M}"


def test_an_event_starts_on_the_next_matching_day_in_the_time_zone_of_its_venue() -> None:
    assert start_of("today 20:00") == "Wed 25 20:00"
    assert start_of("Fri 20:00") == "Fri 27 20:00"
    assert start_of("Wed 20:00") == "Wed 25 20:00"
    assert start_of("Wed+1 20:00") == "Wed 02 20:00"
    assert start_of("today 21:00", MAGNOLIA, NOON.replace(hour=1)) == "Tue 24 21:00"


def test_an_event_that_would_start_too_soon_moves_to_the_next_matching_day() -> None:
    assert start_of("today 12:30") == "Thu 26 12:30"
    assert start_of("Wed 11:00") == "Wed 02 11:00"


def test_all_events_start_within_ten_weeks_whenever_the_demo_runs() -> None:
    for hours in range(0, 7 * 24, 5):
        now = NOON + timedelta(hours=hours)
        starts = [listing.event.starts_at(now) for listing in PROGRAMME]
        assert now + timedelta(minutes=30) < min(starts)
        assert max(starts) < now + timedelta(weeks=10)


def test_every_ticket_is_valid_for_the_api() -> None:
    for listing in PROGRAMME:
        TicketBody.model_validate(ticket_body(listing, NOON))


def test_the_events_cover_all_categories_ten_cities_and_various_quantities() -> None:
    events = {listing.event.title: listing.event for listing in PROGRAMME}
    assert 55 <= len(events) <= 65
    assert {event.category for event in events.values()} == set(CATEGORIES)
    assert len({event.venue.city for event in events.values()}) == 10
    assert {listing.offer.quantity for listing in PROGRAMME} == {1, 2, 3, 4}
    pictured = sum(event.look is not None for event in events.values())
    assert 0.7 < pictured / len(events) < 0.8


def test_the_front_page_shows_all_categories_with_different_pictures() -> None:
    front = PROGRAMME[:FRONT_PAGE]
    assert all(listing.event.look for listing in front)
    assert len({listing.event.look for listing in front}) == FRONT_PAGE
    assert {listing.event.category for listing in front} == set(CATEGORIES)
    assert max(Counter(listing.event.venue.city for listing in front).values()) <= FRONT_PAGE // 4
    assert not any(listing.offer.outcome for listing in front)


def test_the_number_of_users_is_within_the_limit_of_sign_ups_per_minute() -> None:
    assert len(list(people(PROGRAMME))) <= 10


def test_every_offer_has_a_unique_key() -> None:
    assert len({listing.key for listing in PROGRAMME}) == len(PROGRAMME)


def test_every_outcome_but_withdrawn_has_a_buyer_other_than_the_seller() -> None:
    for listing in PROGRAMME:
        offer = listing.offer
        assert offer.buyer != offer.seller
        assert bool(offer.buyer) == (offer.outcome not in (None, "withdrawn"))


def test_one_buyer_and_one_seller_have_orders_and_tickets_in_every_state() -> None:
    bought = {listing.offer.outcome for listing in PROGRAMME if listing.offer.buyer == BUYER}
    assert bought | {"withdrawn"} == set(get_args(Outcome))
    sold = {listing.offer.outcome for listing in PROGRAMME if listing.offer.seller == SELLER}
    assert sold >= {None, "paid", "reserved", "withdrawn"}


def test_a_buyer_has_past_tickets_for_events_that_have_no_other_tickets() -> None:
    """Correcting the date of an event moves all its tickets."""
    past = [listing for listing in PROGRAMME if listing.offer.outcome == "past"]
    assert sum(listing.offer.buyer == BUYER for listing in past) >= 2
    assert all(listing.event.weeks_ago > 0 for listing in past)
    titles = Counter(listing.event.title for listing in PROGRAMME)
    assert {titles[listing.event.title] for listing in past} == {1}
    assert all(not listing.event.weeks_ago for listing in PROGRAMME if listing not in past)


def test_some_sellers_have_sold_several_tickets_and_others_have_not_sold_any() -> None:
    sold = Counter({listing.offer.seller: 0 for listing in PROGRAMME})
    sold.update(listing.offer.seller for listing in PROGRAMME if listing.offer.outcome == "paid")
    assert sum(times >= 3 for times in sold.values()) >= 4
    assert 0 in sold.values()
