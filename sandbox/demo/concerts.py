"""The concerts and festivals of the demo."""

from sandbox.demo.programme import (
    COPPER_HALL,
    FAROL,
    HARMATTAN,
    JACARANDA,
    LANTERN_WHARF,
    MAGNOLIA,
    MIZUBE,
    NORDSTERN,
    NORTHLIGHT,
    OBSIDIANA,
    PAPER_MILL,
    RIVERBEND,
    TRAMWORKS,
    WATTLE_OVAL,
    Event,
    Offer,
)

MUSIC = (
    Event(
        "Neon Allotment: Night Shift Tour",
        NORDSTERN,
        "Fri 20:00",
        (
            Offer(
                "maren", 46, 52, "Standing", 2, "Two of us have to work that night. Tickets come by e-mail."
            ),
            Offer("maren", 58, 64, "Balcony, row 2", 1, None, "paid", "noah"),
            Offer("jonas", 49.5, 52, "Standing"),
        ),
        "stage neon",
    ),
    Event(
        "Neon Allotment: Night Shift Tour",
        NORDSTERN,
        "Sat 20:00",
        (
            Offer("jonas", 47, 52, "Standing, second night"),
            Offer("maren", 112, 128, "Balcony, row 5", 2, "The second night."),
        ),
        "stage lagoon",
    ),
    Event(
        "Paper Lanterns",
        COPPER_HALL,
        "Sat 19:30",
        (
            Offer("felix", 42.5, 45, "Balcony, row B", 2),
            Offer("felix", 39, 45, "Balcony, row C", 1, None, "paid", "noah"),
            Offer("felix", 31, 35, "Standing", 1, None, "paid", "zoe"),
        ),
        "ridges ember",
    ),
    Event(
        "Glacier Choir: Songs for Long Nights",
        NORTHLIGHT,
        "Thu+1 20:00",
        (
            Offer(
                "maren",
                61,
                61,
                "Row 4, seats 11 and 12",
                2,
                "Right in the middle, and the hall sounds wonderful.",
            ),
            Offer("maren", 28, 30.5, "Gallery", 1, None, "paid", "hana"),
            Offer("maren", 30.5, 30.5, "Row 15, seat 1", 1, None, "reserved", "zoe"),
        ),
        "waves aurora",
    ),
    Event(
        "Harmattan Brass",
        HARMATTAN,
        "Sat+1 18:30",
        (
            Offer("idris", 25, 30, "Lawn", 4, "A whole blanket's worth. Gates open at five."),
            Offer("idris", 65, 70, "Front circle", 2, None, "bank check", "noah"),
            Offer("idris", 27, 30, "Lawn, east side", 1, None, "paid", "oscar"),
        ),
        "stage citrus",
    ),
    Event(
        "Delta Lamplighters",
        MAGNOLIA,
        "today 21:00",
        (
            Offer(
                "oscar", 24, 28, "Table by the stage", 2, "Something came up today. First come, first served."
            ),
            Offer("oscar", 22, 28, "Bar", 1, None, "paid", "zoe"),
        ),
        "record ember",
    ),
    Event(
        "Static Orchard + Glass Pigeons",
        TRAMWORKS,
        "Sat 20:00",
        (
            Offer("priya", 34.9, 39.9, "Standing"),
            Offer("hana", 33, 39.9, "Standing", 2, None, "paid", "felix"),
        ),
        "bars lagoon",
    ),
    Event(
        "Sal e Vento, noite de fado",
        FAROL,
        "Wed+1 21:30",
        (
            Offer("lucia", 30, 32, "Mesa 7", 2, "Dinner isn't included; the kitchen closes at ten."),
            Offer("lucia", 18, 20, "Galeria", 1, None, "paid", "noah"),
        ),
        "waves clay",
    ),
    Event(
        "Koji Amanuma Quartet",
        MIZUBE,
        "Sun 19:00",
        (
            Offer("hana", 52, 55, "Row F, seats 8 and 9", 2),
            Offer("hana", 26, 27.5, "Row P", 1, None, "paid", "maren"),
        ),
        "record sea",
    ),
    Event(
        "Los Faros del Norte",
        OBSIDIANA,
        "Fri+1 21:00",
        (
            Offer("lucia", 38, 38, "General", 2),
            Offer("lucia", 36, 38, "Preferente", 1, None, "paid", "idris"),
        ),
        "stage berry",
    ),
    Event(
        "Basalt Ensemble: Twelve Etudes",
        NORTHLIGHT,
        "Sun+2 17:00",
        (
            Offer("maren", 58.5, 58.5, "Row 3, seat 14"),
            Offer("maren", 44, 49, "Row 11, seat 2", 1, None, "cancelled", "noah"),
            Offer("maren", 44, 49, "Row 11, seat 3", 1, None, "paid", "felix"),
        ),
        "ridges ice",
    ),
    Event(
        "Velvet Tram",
        PAPER_MILL,
        "Thu 20:30",
        (Offer("oscar", 29, 35, "General admission", 1, "Bought twice by mistake."),),
        "bars berry",
    ),
    Event(
        "Golden Hour Highlife All-Stars",
        HARMATTAN,
        "Sun+1 18:00",
        (
            Offer("idris", 29, 29, "Terrace", 2),
            Offer("idris", 22, 24, "Lawn", 2, None, "paid", "maren"),
            Offer("idris", 29, 29, "Terrace, row 3", 1, None, "reserved", "zoe"),
        ),
        "waves citrus",
    ),
    Event(
        "Marrowstone, tenth anniversary show",
        TRAMWORKS,
        "Fri+6 19:30",
        (Offer("hana", 48, 60, "Standing", 2, "Selling below what we paid: we're moving that weekend."),),
        "stage aurora",
    ),
    Event(
        "Kettle & Crow, the farewell night",
        COPPER_HALL,
        "Sat+8 20:00",
        (Offer("felix", 54, 54, "Stalls, row J"),),
    ),
    Event(
        "Orquestra das Marés: a mesa do mar",
        FAROL,
        "Thu+2 20:30",
        (
            Offer("idris", 34, 40, "Balcão, fila 2"),
            Offer("idris", 52, 55, "Plateia", 1, None, "paid", "hana"),
        ),
        "waves sea",
    ),
    Event(
        "Lotte Brandauer, solo piano",
        NORDSTERN,
        "Tue+2 20:00",
        (Offer("jonas", 37, None, "Reihe 5, Platz 16", 1, "Printed ticket, I can post it within Germany."),),
    ),
    Event("Low Tide Disco, all night", LANTERN_WHARF, "Sat+2 23:00", (Offer("hana", 19.5, 22),)),
    Event(
        "Coro Jacaranda: canciones de la noche",
        JACARANDA,
        "Sun+3 18:00",
        (Offer("lucia", 21, 24, "Luneta", 2),),
    ),
    Event(
        "Quiet Riot of Birds, album launch", PAPER_MILL, "Wed+2 20:00", (Offer("noah", 23, 25, "Balcony"),)
    ),
    Event("Second Line Sunday", MAGNOLIA, "Sun+2 15:00", (Offer("oscar", 15, None, None, 2),), "record rose"),
)

FESTIVALS = (
    Event(
        "Salt & Lantern Festival, Saturday",
        LANTERN_WHARF,
        "Sat+1 14:00",
        (
            Offer(
                "hana", 78, 82, "Day ticket", 2, "Wristbands are picked up at the gate with the order number."
            ),
            Offer("hana", 41, 41, "Evening ticket", 1, None, "paid", "jonas"),
        ),
        "fireworks dusk",
        "festival",
    ),
    Event(
        "Riverbend Folk Weekend",
        RIVERBEND,
        "Sat+2 11:00",
        (
            Offer("oscar", 110, 120, "Weekend pass with camping", 2),
            Offer("oscar", 60, 65, "Sunday only", 1, None, "declined", "noah"),
        ),
        "meadow ember",
        "festival",
    ),
    Event(
        "Luces del Valle",
        OBSIDIANA,
        "Sat+7 17:00",
        (
            Offer("lucia", 64, 70, "Dos días", 1, "Name on the ticket can be changed until the day before."),
            Offer("lucia", 35, 35, "Sábado", 1, None, "paid", "zoe"),
        ),
        "fireworks berry",
        "festival",
    ),
    Event(
        "Hinterhof: 12 Bands, 4 Courtyards",
        NORDSTERN,
        "Sun 13:00",
        (
            Offer("jonas", 27, 27, "Day ticket", 2),
            Offer("maren", 25, 27, "Day ticket", 1, None, "paid", "felix"),
        ),
        "meadow sky",
        "festival",
    ),
    Event("Kite Season: new voices", HARMATTAN, "Fri+2 16:00", (Offer("idris", 14, 15),), None, "festival"),
    Event(
        "Picnic on the Oval",
        WATTLE_OVAL,
        "Sun+3 12:00",
        (Offer("priya", 33, 36, "Picnic lawn", 4),),
        "meadow lagoon",
        "festival",
    ),
)
