"""The tickets that `just demo` lists, their sellers and their buyers. All names are invented."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from contracts.tickets import Category

PASSWORD = "see you at the show"  # noqa: S105 - of invented users; `just demo` prints it

Outcome = Literal[
    "reserved", "declined", "bank check", "paid", "past", "cancelled", "refunded", "relisted", "withdrawn"
]
"""The outcome of an offer.

All outcomes except `withdrawn` need a buyer. A `past` ticket was bought, and its event is over. A `relisted`
ticket was refunded and is on sale again.
"""

BUYER, SELLER = "noah", "maren"
"""The user with orders in every state, and the user with tickets in every state."""

SOLD: tuple[Outcome, ...] = ("paid", "past", "refunded")
"""The outcomes after which a ticket is sold."""

TIME_TO_BUY = timedelta(minutes=40)
"""An event starts at least this long after `just demo` is run."""
WEEKDAYS = "Mon Tue Wed Thu Fri Sat Sun".split()


@dataclass(frozen=True)
class Venue:
    name: str
    city: str
    time_zone: str


@dataclass(frozen=True)
class Offer:
    seller: str
    price: float
    face: float | None = None
    seat: str | None = None
    """The seat, which no other offer of this seller with the same title has."""
    quantity: int = 1
    notes: str | None = None
    outcome: Outcome | None = None
    buyer: str = ""


@dataclass(frozen=True)
class Event:
    title: str
    venue: Venue
    start: str
    """The local time of the start: `today 20:00`, `Fri 19:30` (the next Friday) or `Fri+2 19:30` (2 weeks
    later)."""
    offers: tuple[Offer, ...]
    look: str | None = None
    """The scene and the palette of the event's picture."""
    category: Category = "music"
    weeks_ago: int = 0
    """How many weeks ago a past event was. Its tickets are sold first, as nobody can list them afterwards."""

    def starts_at(self, now: datetime) -> datetime:
        """The next time that fits `start` and leaves enough time to buy a ticket."""
        day, hour = self.start.split()
        zone = ZoneInfo(self.venue.time_zone)
        time = datetime.strptime(hour, "%H:%M").time()  # noqa: DTZ007 - a time of day
        first, interval = _day(day, now.astimezone(zone).date())
        start = datetime.combine(first, time, zone)
        if start < now + TIME_TO_BUY:
            start = datetime.combine(first + timedelta(days=interval), time, zone)
        return start.astimezone(UTC)


def _day(words: str, today: date) -> tuple[date, int]:
    """The first day that `words` may mean, and the number of days until the next one."""
    if words == "today":
        return today, 1
    weekday, _, weeks = words.partition("+")
    days = (WEEKDAYS.index(weekday) - today.weekday()) % 7
    return today + timedelta(days=days + 7 * int(weeks or 0)), 7


@dataclass(frozen=True)
class Listing:
    event: Event
    offer: Offer

    @property
    def key(self) -> tuple[str, str, str | None]:
        return self.offer.seller, self.event.title, self.offer.seat


def listings(*groups: Sequence[Event]) -> list[Listing]:
    """The offers in display order.

    Groups are mixed evenly, and the first offers of all events come before the second offers.
    """
    positions = [
        (index / len(group), event) for group in groups for index, event in enumerate(group, start=1)
    ]
    events = [event for _, event in sorted(positions, key=lambda position: position[0])]
    most = max(len(event.offers) for event in events)
    return [
        Listing(event, event.offers[number])
        for number in range(most)
        for event in events
        if number < len(event.offers)
    ]


def people(listed: Sequence[Listing]) -> Iterator[str]:
    """The names of all sellers and buyers, each once."""
    names = [name for listing in listed for name in (listing.offer.seller, listing.offer.buyer) if name]
    yield from dict.fromkeys(names)


def email_of(name: str) -> str:
    return f"{name}@demo.example.com"


COPPER_HALL = Venue("The Copper Hall", "Dublin", "Europe/Dublin")
ROPE_STREET = Venue("Rope Street Theatre", "Dublin", "Europe/Dublin")
NORDSTERN = Venue("Halle Nordstern", "Berlin", "Europe/Berlin")
FAEHRSTEG = Venue("Theater am Fährsteg", "Berlin", "Europe/Berlin")
FAROL = Venue("Salão do Farol", "Lisbon", "Europe/Lisbon")
MARES = Venue("Teatro das Marés", "Lisbon", "Europe/Lisbon")
NORTHLIGHT = Venue("Northlight Concert House", "Reykjavík", "Atlantic/Reykjavik")
PAPER_MILL = Venue("The Paper Mill", "Toronto", "America/Toronto")
LAKESIDE = Venue("Lakeside Dome", "Toronto", "America/Toronto")
JACARANDA = Venue("Teatro Jacaranda", "Mexico City", "America/Mexico_City")
OBSIDIANA = Venue("Foro Obsidiana", "Mexico City", "America/Mexico_City")
HARMATTAN = Venue("Harmattan Bowl", "Accra", "Africa/Accra")
MIZUBE = Venue("Mizube Hall", "Osaka", "Asia/Tokyo")
LANTERN_WHARF = Venue("Lantern Wharf", "Osaka", "Asia/Tokyo")
TRAMWORKS = Venue("Tramworks", "Melbourne", "Australia/Melbourne")
WATTLE_OVAL = Venue("Wattle Street Oval", "Melbourne", "Australia/Melbourne")
MAGNOLIA = Venue("The Magnolia Room", "New Orleans", "America/Chicago")
RIVERBEND = Venue("Riverbend Park", "New Orleans", "America/Chicago")
