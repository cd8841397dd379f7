"""What `just demo` puts on sale, and who buys it. Acts and venues are invented."""

from dataclasses import dataclass
from typing import Literal

PASSWORD = "see you at the show"  # noqa: S105 - of made-up users; shown to whoever runs the demo

Ending = Literal["held", "declined", "bank check", "paid", "let go"]


@dataclass(frozen=True)
class Offer:
    """A ticket of one seller, who has no two of the same title."""

    title: str
    price: str
    days: int
    """From today."""
    hour: str
    """UTC, which is what the pages show."""


@dataclass(frozen=True)
class Seller:
    name: str
    venue: str
    city: str
    offers: tuple[Offer, ...]


@dataclass(frozen=True)
class Deal:
    """What a buyer does about a ticket."""

    buyer: str
    seller: str
    title: str
    ending: Ending


def email_of(name: str) -> str:
    return f"{name}@demo.example.com"


SELLERS: tuple[Seller, ...] = (
    Seller(
        "balcony",
        "The Copper Hall",
        "Dublin",
        (
            Offer("Paper Lanterns, balcony row B", "42.50", 4, "19:30"),
            Offer("Paper Lanterns, balcony row C", "39.00", 4, "19:30"),
            Offer("The Harbour Ghosts, standing", "28.00", 9, "20:00"),
            Offer("Slow Weather Quartet, stalls row F", "35.00", 16, "19:00"),
            Offer("Kettle & Crow, farewell night", "54.00", 23, "20:30"),
        ),
    ),
    Seller(
        "stalls",
        "Rope Street Theatre",
        "Bristol",
        (
            Offer("The Lighthouse Keeper's Almanac, matinee", "24.00", 3, "14:00"),
            Offer("The Lighthouse Keeper's Almanac, evening", "31.50", 3, "19:30"),
            Offer("Twelve Umbrellas, opening night", "46.00", 11, "19:30"),
            Offer("Twelve Umbrellas, stalls row D", "38.00", 18, "19:30"),
            Offer("A Short History of Tides", "22.75", 27, "20:00"),
        ),
    ),
    Seller(
        "gallery",
        "Tramworks",
        "Glasgow",
        (
            Offer("Neon Allotment, standing", "26.50", 2, "20:00"),
            Offer("Neon Allotment, balcony", "33.00", 2, "20:00"),
            Offer("Static Orchard + Glass Pigeons", "19.99", 8, "19:30"),
            Offer("Low Tide Disco: all-nighter", "15.00", 13, "22:00"),
            Offer("Marrowstone, tenth anniversary", "48.00", 30, "19:00"),
        ),
    ),
    Seller(
        "foyer",
        "Salão do Farol",
        "Lisbon",
        (
            Offer("Sal e Vento, noite de fado", "30.00", 5, "21:00"),
            Offer("Orquestra das Marés, plateia", "52.00", 12, "20:30"),
            Offer("Orquestra das Marés, balcão", "34.00", 12, "20:30"),
            Offer("The Amber Tram Sessions", "27.50", 19, "21:30"),
            Offer("Gigantes de Papel, family show", "12.00", 20, "15:00"),
        ),
    ),
    Seller(
        "orchestra",
        "Northlight Concert House",
        "Reykjavík",
        (
            Offer("Glacier Choir: Songs for Long Nights", "61.00", 7, "20:00"),
            Offer("Basalt Ensemble, row 3", "58.50", 14, "19:30"),
            Offer("Basalt Ensemble, row 11", "44.00", 14, "19:30"),
            Offer("Moss & Machinery, premiere", "72.00", 21, "19:00"),
            Offer("Children's concert: The Whale Who Whistled", "9.50", 22, "13:00"),
        ),
    ),
    Seller(
        "late-door",
        "Cellar Forty",
        "Porto",
        (
            Offer("The Velvet Pigeons, late set", "18.00", 1, "22:30"),
            Offer("Blue Ferry Trio, table for one", "36.00", 6, "21:00"),
            Offer("Nine Bridges Jazz Night", "21.00", 10, "21:30"),
            Offer("Accordion Against the Machine", "16.50", 17, "22:00"),
            Offer("Quiet Riot of Birds, album launch", "23.00", 25, "21:30"),
        ),
    ),
    Seller(
        "season-pass",
        "Riverside Bowl",
        "Accra",
        (
            Offer("Harmattan Brass, lawn", "25.00", 6, "18:30"),
            Offer("Harmattan Brass, front circle", "65.00", 6, "18:30"),
            Offer("Golden Hour Highlife All-Stars", "29.00", 15, "18:00"),
            Offer("Kite Season: a night of new voices", "14.00", 24, "19:00"),
            Offer("Sunday Sound System", "11.00", 29, "16:00"),
        ),
    ),
    Seller(
        "box-seven",
        "Saltmarket Arena",
        "Galway",
        (
            Offer("Roller Derby: Gales v. Breakers", "17.50", 5, "18:00"),
            Offer("Stand-up: Three Wise Herons", "20.00", 9, "20:00"),
            Offer("Titans of Trampoline, ringside", "41.00", 16, "17:30"),
            Offer("The Great Western Spelling Bee, final", "8.00", 26, "18:30"),
            Offer("Oyster Cup, evening session", "33.50", 33, "19:00"),
        ),
    ),
)

BUYERS: tuple[str, ...] = ("front-row", "second-bell", "balcony", "gallery", "foyer", "box-seven")
"""Some of them sell, too: ten users in all, as many as may sign up in a minute."""

DEALS: tuple[Deal, ...] = (
    Deal("front-row", "balcony", "Paper Lanterns, balcony row C", "paid"),
    Deal("front-row", "gallery", "Neon Allotment, standing", "held"),
    Deal("front-row", "orchestra", "Basalt Ensemble, row 11", "let go"),
    Deal("front-row", "late-door", "Blue Ferry Trio, table for one", "declined"),
    Deal("second-bell", "stalls", "The Lighthouse Keeper's Almanac, matinee", "paid"),
    Deal("second-bell", "season-pass", "Harmattan Brass, front circle", "bank check"),
    Deal("second-bell", "box-seven", "Stand-up: Three Wise Herons", "held"),
    Deal("balcony", "stalls", "Twelve Umbrellas, opening night", "paid"),
    Deal("balcony", "foyer", "The Amber Tram Sessions", "let go"),
    Deal("gallery", "orchestra", "Moss & Machinery, premiere", "declined"),
    Deal("gallery", "late-door", "The Velvet Pigeons, late set", "paid"),
    Deal("foyer", "season-pass", "Golden Hour Highlife All-Stars", "held"),
    Deal("box-seven", "foyer", "Orquestra das Marés, plateia", "paid"),
)
