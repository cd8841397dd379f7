"""When a one-time link works."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from contracts.events import LinkKind
from services.auth.links import LIFETIMES, PAGES, WINDOW
from services.auth.rules import LinkExpired, check_link, is_early

NOW = datetime(2027, 3, 1, 18, 45, tzinfo=UTC)
BEFORE, AFTER = NOW - timedelta(minutes=20), NOW - timedelta(minutes=5)
KINDS: tuple[LinkKind, ...] = get_args(LinkKind.__value__)


@dataclass
class ALink:
    kind: LinkKind
    email: str = "ann@example.com"
    created_at: datetime = NOW - timedelta(minutes=10)
    expires_at: datetime = NOW + timedelta(minutes=20)
    used_at: datetime | None = None


@dataclass
class AnAccount:
    email: str = "ann@example.com"
    confirmed_at: datetime | None = None
    password_changed_at: datetime | None = None
    email_changed_at: datetime | None = None


def works(link: ALink, account: AnAccount) -> bool:
    try:
        check_link(link, account, NOW)
    except LinkExpired:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_works_until_it_is_used_or_expires(kind: LinkKind) -> None:
    link = ALink(kind)
    assert works(link, AnAccount())
    assert not works(replace(link, used_at=AFTER), AnAccount())
    assert not works(replace(link, expires_at=NOW), AnAccount())


@pytest.mark.parametrize(
    ("kind", "change", "still_works"),
    [
        ("confirm-email", AnAccount(confirmed_at=BEFORE), False),
        ("confirm-email", AnAccount(email="ann@example.net"), False),
        ("confirm-email", AnAccount(password_changed_at=AFTER), True),
        ("reset-password", AnAccount(password_changed_at=BEFORE), True),
        ("reset-password", AnAccount(password_changed_at=AFTER), False),
        ("reset-password", AnAccount(email="ann@example.net"), False),
        ("reset-password", AnAccount(confirmed_at=AFTER), True),
        ("change-email", AnAccount(email="old@example.com"), True),
        ("change-email", AnAccount(email_changed_at=BEFORE), True),
        ("change-email", AnAccount(email_changed_at=AFTER), False),
        ("change-email", AnAccount(password_changed_at=BEFORE), True),
        ("change-email", AnAccount(password_changed_at=AFTER), False),
        ("undo-email-change", AnAccount("x@example.org", AFTER, AFTER, AFTER), True),
    ],
)
def test_a_change_of_the_account_voids_the_links_that_it_makes_useless(
    kind: LinkKind, change: AnAccount, still_works: bool
) -> None:
    assert works(ALink(kind), change) is still_works


def test_every_kind_of_link_has_a_page_and_a_lifetime() -> None:
    assert set(PAGES) == set(LIFETIMES) == set(KINDS)


def test_links_work_at_least_as_long_as_their_number_is_limited() -> None:
    """Otherwise somebody could use up the links of others, who then couldn't get any."""
    assert min(LIFETIMES.values()) >= WINDOW


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("changed_at", "early"), [(None, True), (BEFORE, True), (AFTER, False)])
def test_a_link_about_a_change_of_the_address_waits_for_the_change(
    kind: LinkKind, changed_at: datetime | None, early: bool
) -> None:
    is_about_a_change = kind in {"undo-email-change", "email-replaced"}
    assert is_early(ALink(kind), AnAccount(email_changed_at=changed_at)) is (is_about_a_change and early)
