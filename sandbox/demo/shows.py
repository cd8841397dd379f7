"""The theatre, comedy and family shows of the demo."""

from sandbox.demo.programme import (
    COPPER_HALL,
    FAEHRSTEG,
    JACARANDA,
    MAGNOLIA,
    MARES,
    MIZUBE,
    NORTHLIGHT,
    PAPER_MILL,
    ROPE_STREET,
    TRAMWORKS,
    Event,
    Offer,
)

THEATRE = (
    Event(
        "The Lighthouse Keeper's Almanac",
        ROPE_STREET,
        "today 19:30",
        (
            Offer(
                "felix",
                31.5,
                36,
                "Stalls, row D",
                2,
                "I'm ill, so the seats are yours. They're on the aisle.",
            ),
            Offer("felix", 24, 28, "Circle, row A", 1, None, "paid", "zoe"),
        ),
        "curtain rose",
        "theatre",
    ),
    Event(
        "Zwölf Regenschirme",
        FAEHRSTEG,
        "Thu+1 19:30",
        (
            Offer("maren", 38, 42, "Parkett, Reihe 6", 2, "In German, with English surtitles."),
            Offer("maren", 22, 24, "Rang, Reihe 1", 1, None, "paid", "noah"),
            Offer("maren", 40, 42, "Parkett, Reihe 7", 2, None, "withdrawn"),
        ),
        "arches citrus",
        "theatre",
    ),
    Event(
        "La casa de los relojes",
        JACARANDA,
        "Sat 20:00",
        (
            Offer("lucia", 28, 30, "Platea, fila 8", 2),
            Offer("lucia", 28, 30, "Platea, fila 9", 1, None, "reserved", "jonas"),
        ),
        "curtain berry",
        "theatre",
    ),
    Event(
        "Moss & Machinery, premiere",
        NORTHLIGHT,
        "Fri+2 19:00",
        (
            Offer("maren", 72, 72, "Row 2, seat 9"),
            Offer("maren", 66, 72, "Row 8", 2, None, "refunded", "noah"),
        ),
        "arches aurora",
        "theatre",
    ),
    Event(
        "A Short History of Tides",
        ROPE_STREET,
        "Wed+2 20:00",
        (
            Offer("felix", 22.75, 25, "Circle, row C"),
            Offer("felix", 26, 28, "Stalls, row K", 1, None, "paid", "priya"),
        ),
        None,
        "theatre",
    ),
    Event(
        "The Cartographer's Daughter",
        PAPER_MILL,
        "Sat+1 14:00",
        (Offer("oscar", 45, 50, "Orchestra, row G", 2, "Matinee. Easy to reach by streetcar."),),
        "arches sea",
        "theatre",
    ),
    Event(
        "Gente de Papel", MARES, "Fri+1 21:00", (Offer("lucia", 19, 22, "Plateia, fila 4"),), None, "theatre"
    ),
    Event(
        "Night Train to Aoyama",
        MIZUBE,
        "Tue+1 18:30",
        (
            Offer("hana", 57, 60, "Row C, seat 21"),
            Offer("hana", 57, 60, "Row C, seat 22", 1, None, "withdrawn"),
        ),
        "curtain ice",
        "theatre",
    ),
    Event(
        "Small Hours, a play for two",
        TRAMWORKS,
        "Thu+5 19:30",
        (Offer("priya", 41, None, "Unreserved", 2),),
        None,
        "theatre",
    ),
)

COMEDY = (
    Event(
        "Three Wise Herons, live",
        COPPER_HALL,
        "Fri 20:30",
        (
            Offer("felix", 20, 24, "Stalls, row H", 2),
            Offer("priya", 21, 24, "Stalls, row M", 1, None, "reserved", "noah"),
        ),
        "curtain ember",
        "comedy",
    ),
    Event(
        "Open Mic at the Magnolia",
        MAGNOLIA,
        "today 20:00",
        (Offer("oscar", 9, 10, "Bar stools", 2),),
        "sunburst rose",
        "comedy",
    ),
    Event(
        "Marguerite Odell: Mostly Fine",
        PAPER_MILL,
        "Sat+1 19:30",
        (
            Offer("oscar", 39, 42, "Orchestra, row C", 2, "Phones are locked away during the show."),
            Offer("oscar", 36, 42, "Balcony", 1, None, "relisted", "noah"),
        ),
        "sunburst plum",
        "comedy",
    ),
    Event(
        "Improv Cup, semi-final",
        FAEHRSTEG,
        "Tue 20:00",
        (Offer("jonas", 16, 16),),
        "discs berry",
        "comedy",
    ),
    Event(
        "Dos payasos serios", JACARANDA, "Thu+2 20:30", (Offer("lucia", 17, 20, "Balcón", 3),), None, "comedy"
    ),
    Event(
        "The Late Late Debate Club",
        TRAMWORKS,
        "Wed+1 20:00",
        (Offer("priya", 26, 26, "Row 5"),),
        None,
        "comedy",
    ),
)

FAMILY = (
    Event(
        "The Whale Who Whistled",
        NORTHLIGHT,
        "Sun 13:00",
        (
            Offer(
                "maren", 38, 38, "Row 9, four together", 4, "A children's concert, from age 4. Fifty minutes."
            ),
            Offer("maren", 19, 19, "Row 12, two together", 2, None, "paid", "priya"),
        ),
        "waves sky",
        "family",
    ),
    Event(
        "Gigantes de Cartão",
        MARES,
        "Sat+2 15:00",
        (Offer("idris", 24, 30, "Plateia", 3),),
        "meadow citrus",
        "family",
    ),
    Event(
        "Planetarium Live: Eight Worlds",
        PAPER_MILL,
        "Sat 11:00",
        (Offer("oscar", 32, 36, None, 2, "Children under two are free and need no ticket."),),
        "skyline neon",
        "family",
    ),
    Event(
        "Rainbow Brigade Sing-Along",
        TRAMWORKS,
        "Sun+1 10:30",
        (Offer("priya", 44, 48, "Floor cushions", 4),),
        "sunburst sky",
        "family",
    ),
    Event(
        "Marionetas de la Luna",
        JACARANDA,
        "Sun+2 12:00",
        (Offer("lucia", 14, None, None, 2),),
        None,
        "family",
    ),
    Event(
        "Up, Up! A balloon story",
        ROPE_STREET,
        "Sat+3 14:00",
        (Offer("felix", 36, 40, "Stalls, row B", 3),),
        "meadow rose",
        "family",
    ),
)
