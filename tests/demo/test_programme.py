"""What the demo puts on sale."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from contracts.api import TicketBody
from contracts.tickets import CATEGORIES
from sandbox.demo.__main__ import PROGRAMME
from sandbox.demo.fill import body_of
from sandbox.demo.programme import BUYER, COPPER_HALL, MAGNOLIA, SELLER, Ending, Event, Venue, people

FRONT_PAGE = 20
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
"""A Wednesday."""


def begins(words: str, venue: Venue = COPPER_HALL, now: datetime = NOON) -> str:
    start = Event("Paper Lanterns", venue, words, ()).starts_at(now).astimezone(ZoneInfo(venue.time_zone))
    return f"{start:%a %d %H:%M}"


def test_events_begin_on_the_next_such_day_by_the_clocks_of_the_venue() -> None:
    assert begins("today 20:00") == "Wed 25 20:00"
    assert begins("Fri 20:00") == "Fri 27 20:00"
    assert begins("Wed 20:00") == "Wed 25 20:00"
    assert begins("Wed+1 20:00") == "Wed 02 20:00"
    assert begins("today 21:00", MAGNOLIA, NOON.replace(hour=1)) == "Tue 24 21:00"


def test_what_would_begin_too_soon_begins_on_the_next_such_day() -> None:
    assert begins("today 12:30") == "Thu 26 12:30"
    assert begins("Wed 11:00") == "Wed 02 11:00"


def test_whenever_it_runs_all_events_are_in_the_coming_weeks() -> None:
    for hours in range(0, 7 * 24, 5):
        now = NOON + timedelta(hours=hours)
        starts = [listing.event.starts_at(now) for listing in PROGRAMME]
        assert now + timedelta(minutes=30) < min(starts)
        assert max(starts) < now + timedelta(weeks=10)


def test_every_ticket_is_as_the_api_wants_it() -> None:
    for listing in PROGRAMME:
        TicketBody.model_validate(body_of(listing, NOON))


def test_there_is_something_for_everybody() -> None:
    events = {listing.event.title: listing.event for listing in PROGRAMME}
    assert 55 <= len(events) <= 65
    assert {event.category for event in events.values()} == set(CATEGORIES)
    assert len({event.venue.city for event in events.values()}) == 10
    assert {listing.offer.quantity for listing in PROGRAMME} == {1, 2, 3, 4}
    pictured = sum(event.look is not None for event in events.values())
    assert 0.7 < pictured / len(events) < 0.8


def test_the_front_page_is_mixed_and_full_of_pictures() -> None:
    front = PROGRAMME[:FRONT_PAGE]
    assert all(listing.event.look for listing in front)
    assert len({listing.event.look for listing in front}) == FRONT_PAGE
    assert {listing.event.category for listing in front} == set(CATEGORIES)
    assert max(Counter(listing.event.venue.city for listing in front).values()) <= FRONT_PAGE // 4
    assert not any(listing.offer.ending for listing in front)


def test_ten_users_may_sign_up_within_the_limits_of_a_minute() -> None:
    assert len(list(people(PROGRAMME))) <= 10


def test_every_offer_can_be_told_from_all_others() -> None:
    assert len({listing.key for listing in PROGRAMME}) == len(PROGRAMME)


def test_nobody_buys_their_own_tickets_and_nobody_buys_nothing() -> None:
    for listing in PROGRAMME:
        offer = listing.offer
        assert offer.buyer != offer.seller
        assert bool(offer.buyer) == (offer.ending not in (None, "withdrawn"))


def test_one_buyer_and_one_seller_show_all_that_can_happen() -> None:
    bought = {listing.offer.ending for listing in PROGRAMME if listing.offer.buyer == BUYER}
    assert bought | {"withdrawn"} == set(get_args(Ending))
    sold = {listing.offer.ending for listing in PROGRAMME if listing.offer.seller == SELLER}
    assert sold >= {None, "paid", "held", "withdrawn"}


def test_some_sellers_have_sold_a_lot_and_some_nothing() -> None:
    sold = Counter({listing.offer.seller: 0 for listing in PROGRAMME})
    sold.update(listing.offer.seller for listing in PROGRAMME if listing.offer.ending == "paid")
    assert sum(times >= 3 for times in sold.values()) >= 4
    assert 0 in sold.values()
