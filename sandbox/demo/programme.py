"""What `just demo` puts on sale, who sells it and who buys it. Acts, venues and people are invented."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from contracts.tickets import Category

PASSWORD = "see you at the show"  # noqa: S105 - of made-up users; shown to whoever runs the demo

Ending = Literal["held", "declined", "bank check", "paid", "let go", "refunded", "relisted", "withdrawn"]
"""What becomes of an offer. All but the last need a buyer; of a refunded one, `relisted` is on sale again."""

BUYER, SELLER = "noah", "maren"
"""Those who have orders and tickets in every state."""

BOUGHT: tuple[Ending, ...] = ("paid", "refunded")
"""After these the ticket stays sold."""

SOON = timedelta(minutes=40)
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
    """No seller has two of the same title and seat."""
    quantity: int = 1
    notes: str | None = None
    ending: Ending | None = None
    buyer: str = ""


@dataclass(frozen=True)
class Event:
    title: str
    venue: Venue
    begins: str
    """By the clocks there, as in `today 20:00`, `Fri 19:30` (the next) or `Fri+2 19:30` (two weeks later)."""
    offers: tuple[Offer, ...]
    look: str | None = None
    """A scene and a palette of its picture."""
    category: Category = "music"

    def starts_at(self, now: datetime) -> datetime:
        """When it begins next: not within the next minutes, so that there is time to buy."""
        day, hour = self.begins.split()
        zone = ZoneInfo(self.venue.time_zone)
        time = datetime.strptime(hour, "%H:%M").time()  # noqa: DTZ007 - a time of day
        first, every = _day(day, now.astimezone(zone).date())
        start = datetime.combine(first, time, zone)
        if start < now + SOON:
            start = datetime.combine(first + timedelta(days=every), time, zone)
        return start.astimezone(UTC)


def _day(words: str, today: date) -> tuple[date, int]:
    """The day, and after how many days the next one like it comes."""
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
    """In the order in which they are to be listed: groups mixed evenly, second offers far behind."""
    places = [(at / len(group), event) for group in groups for at, event in enumerate(group, start=1)]
    events = [event for _, event in sorted(places, key=lambda place: place[0])]
    most = max(len(event.offers) for event in events)
    return [
        Listing(event, event.offers[turn])
        for turn in range(most)
        for event in events
        if turn < len(event.offers)
    ]


def people(listed: Sequence[Listing]) -> Iterator[str]:
    """Everybody once."""
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
