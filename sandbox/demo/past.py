"""The events of the demo that are over: their buyers see them among their past tickets."""

from sandbox.demo.programme import COPPER_HALL, NORDSTERN, ROPE_STREET, Event, Offer

PAST = (
    Event(
        "Velvet Tram: The Last Depot",
        NORDSTERN,
        "Fri 20:00",
        (Offer("maren", 38, 42, "Standing", 2, None, "past", "noah"),),
        "stage clay",
        weeks_ago=3,
    ),
    Event(
        "Harbor Lights, a comedy of errands",
        ROPE_STREET,
        "Sat 19:30",
        (Offer("felix", 24, 29, "Stalls, row F", 1, None, "past", "noah"),),
        "curtain lagoon",
        "theatre",
        weeks_ago=7,
    ),
    Event(
        "Paper Kites Club Night",
        COPPER_HALL,
        "Thu 21:00",
        (Offer("hana", 15, 15, None, 1, None, "past", "zoe"),),
        weeks_ago=13,
    ),
)
