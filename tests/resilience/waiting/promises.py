"""What alerts promise, checked on what happened: pure functions, without a marketplace."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

SLACK = timedelta(seconds=1)
"""How much later than it happened the bus may say something.

A wave is claimed before its first person is told, which takes long on a busy machine. So the first people of
two waves may be told less than the interval apart. But the nth wave never begins before n - 1 intervals.
"""


@dataclass(frozen=True)
class Told:
    """A user was told of a ticket."""

    user: str
    at: datetime


@dataclass
class Listing:
    """A ticket, and what happened to it."""

    id: str
    kind: str
    listed_at: datetime
    told: list[Told] = field(default_factory=list)
    """Those who were told, in the order of time."""
    states: list[tuple[datetime, bool]] = field(default_factory=list)
    """When the bus said that the ticket isn't on sale any more (False), or is again."""
    bought_by: list[str] = field(default_factory=list)
    """Who bought the ticket."""
    emails: Counter[str] = field(default_factory=Counter)
    """How many emails about the ticket each user got."""

    @property
    def taken_at(self) -> datetime | None:
        """Since when somebody has the ticket for good."""
        return None if not self.states or self.states[-1][1] else self.states[-1][0]

    def was_on_sale(self, moment: datetime) -> bool:
        """Whether it was possibly on sale. The bus says a little later than it happens that it is again."""
        known = [is_on_sale for at, is_on_sale in self.states if at - SLACK * is_on_sale <= moment]
        return known[-1] if known else True

    def waves(self, size: int) -> list[list[Told]]:
        """Those who were told, by wave. Only the last wave may have fewer people than the others."""
        return [self.told[place : place + size] for place in range(0, len(self.told), size)]


@dataclass(frozen=True)
class Rules:
    """The people who wait, the oldest request first, and the settings of waves."""

    waiting: Sequence[str]
    size: int
    interval: timedelta


def broken(listing: Listing, rules: Rules) -> Iterator[str]:
    """The promises that were broken for this ticket, each as a sentence."""
    waves = listing.waves(rules.size)
    times = Counter(told.user for told in listing.told)
    if twice := [user for user, count in times.items() if count > 1]:
        yield f"{len(twice)} people were told twice: {twice[0]}"
    for number, wave in enumerate(waves):
        began, place = wave[0].at, number * rules.size
        if {told.user for told in wave} != {*rules.waiting[place : place + rules.size]}:
            yield f"wave {number + 1} isn't the {rules.size} oldest requests that are left"
        if began < listing.listed_at + number * rules.interval:
            yield f"wave {number + 1} began {_after(began, listing.listed_at)} after the listing"
        if not listing.was_on_sale(began):
            yield f"wave {number + 1} began while the ticket wasn't on sale"
    for number, (before, after) in enumerate(pairwise(waves), start=1):
        if after[0].at - before[0].at < rules.interval / 2:
            yield f"wave {number + 1} began only {_after(after[0].at, before[0].at)} after wave {number}"
    if listing.taken_at is None and len(times) < len(rules.waiting):
        yield f"only {len(times)} of {len(rules.waiting)} people were told of a ticket that nobody took"
    if len(listing.bought_by) > 1:
        yield f"{len(listing.bought_by)} people bought it"
    for what, people in (("no email", times - listing.emails), ("too many emails", listing.emails - times)):
        if people:
            yield f"{len(people)} people got {what} about it"


def _after(later: datetime, earlier: datetime) -> str:
    return f"{(later - earlier).total_seconds():.1f} s"


def table(listings: Sequence[Listing], size: int) -> list[str]:
    """Who was told when, as a Markdown table: for each wave the number of people, and the seconds from the
    listing until the first and the last of them were told."""
    rows = [(listing, listing.waves(size)) for listing in listings]
    most = max(len(waves) for _, waves in rows)
    columns = ["ticket", *(f"wave {number}" for number in range(1, most + 1)), "taken", "emails"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for listing, waves in rows:

        def since(moment: datetime, listing: Listing = listing) -> str:
            return f"{(moment - listing.listed_at).total_seconds():.1f}"

        cells = [f"{len(wave)} after {since(wave[0].at)}\u2013{since(wave[-1].at)} s" for wave in waves]
        cells += [""] * (most - len(waves))
        taken = "never" if listing.taken_at is None else f"after {since(listing.taken_at)} s"
        lines.append(f"| {' | '.join([listing.kind, *cells, taken, str(listing.emails.total())])} |")
    return lines
