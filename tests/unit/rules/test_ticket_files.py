"""Rules of the files of tickets."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.tickets.files import rules
from services.tickets.files.entries import MAX_FILES, FileEntry
from services.tickets.files.inspection import seats_on
from services.tickets.rules import (
    NotTheSeller,
    TicketReserved,
    TicketSold,
    TicketState,
    TicketWithdrawn,
    questioned_seat,
    seat_key,
)

NOW = datetime(2027, 3, 1, 18, tzinfo=UTC)
SELLER, BUYER, OTHER = "seller", "buyer", "other"
DAY = timedelta(days=1)


def entry(name: str = "f", seats: int = 1, **changes: Any) -> FileEntry:
    values = {"kind": "pdf", "size": 1, "has_code": True, "uploaded_at": NOW, **changes}
    return FileEntry(id=name, seats=seats, **values)


def ticket(**changes: Any) -> TicketState:
    values = {"user_id": SELLER, "title": "Hamlet", "price_minor": 100, **changes}
    return TicketState(**values)


def sold(**changes: Any) -> TicketState:
    return ticket(**{"status": "sold", "buyer_id": BUYER, "order_id": "o", **changes})


def test_the_last_missing_file_makes_a_listing_complete() -> None:
    listing = ticket(quantity=2, files=[entry("a")])
    changes = rules.add_file(listing, SELLER, entry("b"), NOW)
    assert changes is not None
    assert changes["files_ready_at"] == NOW
    assert changes["files"] == [entry("a"), entry("b")]


def test_adding_a_file_again_changes_nothing() -> None:
    assert rules.add_file(ticket(files=[entry("a")]), SELLER, entry("a"), NOW) is None


def test_a_listing_has_no_files_for_more_persons_than_it_is_for() -> None:
    with pytest.raises(rules.QuantityExceeded):
        rules.add_file(ticket(quantity=2), SELLER, entry(seats=3), NOW)


def test_the_number_of_files_is_limited() -> None:
    files = [entry(str(number), seats=0) for number in range(MAX_FILES)]
    with pytest.raises(rules.TooManyFiles):
        rules.add_file(ticket(files=files), SELLER, entry("new"), NOW)


@pytest.mark.parametrize(
    ("state", "by", "error"),
    [
        (ticket(), OTHER, NotTheSeller),
        (ticket(status="withdrawn", withdrawn=True), SELLER, TicketWithdrawn),
        (sold(refunded=True), SELLER, rules.FilesFinal),
        (sold(files_ready_at=NOW), SELLER, rules.FilesFinal),
    ],
    ids=["stranger", "withdrawn", "refunded", "complete"],
)
def test_files_cannot_be_added(state: TicketState, by: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        rules.add_file(state, by, entry(), NOW)


@pytest.mark.parametrize("state", [ticket(), ticket(status="reserved"), sold(), sold(promised=True)])
def test_the_seller_adds_files_until_they_are_complete(state: TicketState) -> None:
    assert rules.add_file(state, SELLER, entry(), NOW) is not None


def test_promised_files_are_not_added_after_their_deadline() -> None:
    """The buyer would get both the files and the money, until the event about the refund arrives."""
    due = sold(promised=True, order_delivery="due", upload_by=NOW)
    assert rules.add_file(due, SELLER, entry(), NOW) is not None
    with pytest.raises(rules.FilesFinal, match="time to upload"):
        rules.add_file(due, SELLER, entry(), NOW + timedelta(seconds=1))


@pytest.mark.parametrize(("status", "error"), [("reserved", TicketReserved), ("sold", TicketSold)])
def test_files_that_somebody_holds_or_has_bought_stay(status: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        rules.remove_file(ticket(status=status, files=[entry()]), SELLER, "f", NOW)


def test_removing_a_file_makes_a_listing_incomplete_and_a_repetition_changes_nothing() -> None:
    listing = ticket(files=[entry()], files_ready_at=NOW)
    assert rules.remove_file(listing, SELLER, "f", NOW) == {"files": [], "files_ready_at": None}
    assert rules.remove_file(ticket(), SELLER, "f", NOW) is None


@pytest.mark.parametrize(
    ("state", "by"),
    [
        (ticket(), SELLER),
        (ticket(status="reserved", buyer_id=BUYER), BUYER),
        (sold(), SELLER),
        (sold(), OTHER),
        (sold(refunded=True), BUYER),
    ],
)
def test_nobody_but_the_buyer_who_paid_reads_a_file(state: TicketState, by: str) -> None:
    state.files = [entry()]
    with pytest.raises(rules.NotTheFilesOwner):
        rules.file_to_read(state, by, "f")


def test_the_buyer_reads_files_but_no_void_ones() -> None:
    state = sold(files=[entry(), entry("v", is_void=True)])
    assert rules.file_to_read(state, BUYER, "f") == entry()
    assert rules.file_to_read(state, BUYER, "v") is None
    assert rules.file_to_read(state, BUYER, "unknown") is None


def verdict(
    state: TicketState | None,
    by: str,
    *,
    was_bought: bool = False,
    was_read: bool = False,
    age: timedelta = DAY,
) -> str:
    return rules.verdict(
        state,
        "f",
        by,
        claimed_by=SELLER,
        was_bought=was_bought,
        was_read=was_read,
        claimed_at=NOW - age,
        now=NOW,
    )


FILES = [entry()]
VOID = [entry(is_void=True)]


@pytest.mark.parametrize(
    ("state", "by", "expected"),
    [
        (ticket(files=FILES), SELLER, "taken"),
        (ticket(files=FILES, status="reserved"), OTHER, "taken"),
        (sold(files=FILES), SELLER, "taken"),
        (sold(files=FILES), BUYER, "bought"),
        (sold(files=FILES, refunded=True), BUYER, "taken"),
        (sold(files=FILES, refunded=True), SELLER, "bought"),
        (ticket(files=VOID), BUYER, "taken"),
        (ticket(files=VOID), SELLER, "bought"),
        (sold(files=VOID), BUYER, "taken"),
        (ticket(files=FILES, status="withdrawn"), OTHER, "free"),
        (ticket(), OTHER, "free"),
        (None, OTHER, "free"),
    ],
)
def test_whose_a_claimed_code_is(state: TicketState | None, by: str, expected: str) -> None:
    assert verdict(state, by) == expected


@pytest.mark.parametrize("state", [ticket(files=VOID), sold(files=FILES, refunded=True)])
def test_nobody_lists_a_code_that_a_refunded_buyer_has_read(state: TicketState) -> None:
    assert {verdict(state, by, was_read=True) for by in (SELLER, BUYER, OTHER)} == {"taken"}


def test_who_owns_a_ticket_lists_its_code_after_reading_it() -> None:
    assert verdict(sold(files=FILES), BUYER, was_read=True) == "bought"


def test_a_code_whose_upload_is_in_progress_is_taken() -> None:
    assert verdict(ticket(), OTHER, age=rules.GRACE - timedelta(seconds=1)) == "taken"
    assert verdict(ticket(), OTHER, age=rules.GRACE) == "free"


def test_a_code_that_was_bought_here_stays_with_who_bought_it() -> None:
    withdrawn = ticket(files=FILES, status="withdrawn")
    assert verdict(withdrawn, OTHER, was_bought=True) == "taken"
    assert verdict(withdrawn, SELLER, was_bought=True) == "bought"


@pytest.mark.parametrize(
    ("state", "until"),
    [
        (None, None),
        (ticket(), None),
        (ticket(files=VOID), None),
        (ticket(files=FILES, status="withdrawn"), None),
        (ticket(files=FILES), NOW + rules.RECHECK),
        (ticket(files=FILES, starts_at=NOW - 3 * DAY), None),
        (sold(files=FILES, starts_at=NOW), NOW + 2 * DAY),
        (sold(files=FILES), NOW + 2 * DAY),
    ],
)
def test_how_long_a_file_is_kept(state: TicketState | None, until: datetime | None) -> None:
    assert rules.keep_until(state, "f", NOW, NOW, days=2) == until


def test_claims_of_sold_codes_outlive_their_file() -> None:
    assert rules.claim_until(ticket(files=FILES), "f", was_bought=False, now=NOW, days=2) is None
    assert rules.claim_until(sold(files=FILES), "f", was_bought=False, now=NOW, days=2) == NOW + rules.UNDATED
    dated = sold(files=FILES, starts_at=NOW + DAY)
    assert rules.claim_until(dated, "f", was_bought=False, now=NOW, days=2) == NOW + 3 * DAY


@pytest.mark.parametrize(
    ("pages", "seats"),
    [
        ([[]], 1),
        ([[], []], 2),
        ([[("QR", "a")], []], 1),
        ([[("QR", "a"), ("Code128", "b")]], 1),
        ([[("QR", "a"), ("QR", "b")], [("QR", "c")]], 3),
        ([[("QR", "a")], [("QR", "a")]], 1),
    ],
)
def test_for_how_many_persons_pages_are(pages: list[list[tuple[str, str]]], seats: int) -> None:
    assert seats_on(pages) == seats


def test_a_seat_is_recognized_despite_its_spelling() -> None:
    key = seat_key("Hamlet", "Globe", NOW, "Row 4, seat 7")
    assert key == seat_key("HAMLET ", "globe", NOW, "row 4 seat 7")
    assert key != seat_key("Hamlet", "Globe", NOW, "Row 4, seat 8")
    assert key != seat_key("Hamlet", "Globe", NOW + DAY, "Row 4, seat 7")


@pytest.mark.parametrize(("venue", "seat"), [(None, "Row 4"), ("Globe", None), ("Globe", "Standing")])
def test_an_area_is_no_seat(venue: str | None, seat: str | None) -> None:
    assert seat_key("Hamlet", venue, NOW, seat) is None


@pytest.mark.parametrize(
    ("known", "by", "is_questioned"),
    [
        (ticket(), OTHER, True),
        (ticket(status="withdrawn"), OTHER, False),
        (sold(), SELLER, True),
        (sold(), BUYER, False),
        (sold(refunded=True), SELLER, False),
        (sold(refunded=True), BUYER, True),
    ],
)
def test_who_is_asked_about_a_seat(known: TicketState, by: str, is_questioned: bool) -> None:
    assert (questioned_seat([known], by) is not None) == is_questioned


def test_an_access_is_on_record_until_some_days_after_the_event_or_a_later_access() -> None:
    assert rules.record_until(sold(starts_at=NOW + 90 * DAY), NOW, 30) == NOW + 120 * DAY
    assert rules.record_until(sold(starts_at=NOW - DAY), NOW, 30) == NOW + 30 * DAY
    assert rules.record_until(sold(starts_at=None), NOW, 30) == NOW + 30 * DAY
