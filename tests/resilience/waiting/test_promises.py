"""The checks of `just waiting` find each broken promise."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from tests.resilience.waiting.promises import Listing, Rules, Told, broken, table

LISTED = datetime(2026, 12, 1, tzinfo=UTC)
RULES = Rules(["ann", "bob", "carl", "dora", "emil"], size=2, interval=timedelta(seconds=10))


def at(seconds: float) -> datetime:
    return LISTED + timedelta(seconds=seconds)


def told(*people: str, after: float) -> list[Told]:
    return [Told(user, at(after)) for user in people]


def listing(*waves: list[Told], taken: float | None = None) -> Listing:
    """A ticket about which everybody who was told got one email."""
    everybody = [each for wave in waves for each in wave]
    emails = Counter(each.user for each in everybody)
    states = [] if taken is None else [(at(taken), False)]
    return Listing("1", "a ticket", LISTED, everybody, states, ["bob"] * (taken is not None), emails)


def kept() -> Listing:
    return listing(told("ann", "bob", after=1), told("carl", "dora", after=11), told("emil", after=21))


def test_waves_in_the_order_of_requests_keep_every_promise() -> None:
    assert list(broken(kept(), RULES)) == []
    assert list(broken(listing(told("ann", "bob", after=1), taken=2), RULES)) == []


@pytest.mark.parametrize(
    ("seen", "promise"),
    [
        (listing(told("ann", "ann", after=1), taken=2), "1 people were told twice: ann"),
        (listing(told("bob", "carl", after=1), taken=2), "wave 1 isn't the 2 oldest requests"),
        (listing(told("ann", "bob", after=3), taken=2), "wave 1 began while the ticket wasn't on sale"),
        (
            listing(told("ann", "bob", after=1), told("carl", "dora", after=9), taken=12),
            "wave 2 began 9.0 s after the listing",
        ),
        (
            listing(told("ann", "bob", after=11), told("carl", "dora", after=15), taken=16),
            "wave 2 began only 4.0 s after wave 1",
        ),
        (listing(told("ann", "bob", after=1)), "only 2 of 5 people were told of a ticket that nobody took"),
    ],
)
def test_a_broken_promise_is_found(seen: Listing, promise: str) -> None:
    assert any(line.startswith(promise) for line in broken(seen, RULES)), list(broken(seen, RULES))


def test_a_ticket_that_two_people_bought_is_found() -> None:
    seen = listing(told("ann", "bob", after=1), taken=2)
    seen.bought_by.append("ann")
    assert list(broken(seen, RULES)) == ["2 people bought it"]


def test_a_missing_and_a_second_email_are_found() -> None:
    seen = kept()
    seen.emails = seen.emails + Counter(["ann"]) - Counter(["bob"])
    assert list(broken(seen, RULES)) == [
        "1 people got no email about it",
        "1 people got too many emails about it",
    ]


def test_nobody_may_be_told_between_a_reservation_and_its_end() -> None:
    seen = kept()
    seen.states = [(at(2), False), (at(14), True)]
    assert list(broken(seen, RULES)) == ["wave 2 began while the ticket wasn't on sale"]
    seen.states = [(at(2), False), (at(10.5), True)]
    assert list(broken(seen, RULES)) == []


def test_the_table_shows_the_people_and_the_times_of_each_wave() -> None:
    rows = table([kept(), listing(told("ann", "bob", after=1), taken=2)], RULES.size)
    assert rows[0] == "| ticket | wave 1 | wave 2 | wave 3 | taken | emails |"
    assert rows[2].endswith(" | 2 after 11.0\u201311.0 s | 1 after 21.0\u201321.0 s | never | 5 |")
    assert rows[3] == "| a ticket | 2 after 1.0\u20131.0 s |  |  | after 2.0 s | 2 |"
