"""The sports events, exhibitions and other events of the demo."""

from sandbox.demo.programme import (
    COPPER_HALL,
    FAROL,
    HARMATTAN,
    LAKESIDE,
    LANTERN_WHARF,
    MIZUBE,
    NORDSTERN,
    OBSIDIANA,
    RIVERBEND,
    WATTLE_OVAL,
    Event,
    Offer,
)

SPORT = (
    Event(
        "Harbour Gulls v. Northside Rovers",
        WATTLE_OVAL,
        "Sat 14:30",
        (
            Offer("hana", 56, 60, "Members' stand, row 12", 2, "Season seats of my parents. Home end."),
            Offer("priya", 27, 30, "Bay 7", 1, None, "paid", "noah"),
        ),
        "stripes meadow",
        "sport",
    ),
    Event(
        "Lakeside Blades v. Prairie Kings",
        LAKESIDE,
        "today 19:00",
        (
            Offer("oscar", 88, 95, "Section 114, row 6", 2),
            Offer("oscar", 47, 47, "Section 301", 1, None, "paid", "hana"),
        ),
        "stripes sea",
        "sport",
    ),
    Event(
        "City Mile, indoor athletics",
        LAKESIDE,
        "Sun+1 13:00",
        (Offer("oscar", 30, 34, "Finish straight", 2),),
        "stripes clay",
        "sport",
    ),
    Event(
        "Accra Comets v. Volta Lions",
        HARMATTAN,
        "Sun 16:00",
        (
            Offer("idris", 18, 20, "West terrace", 3),
            Offer("idris", 18, 20, "East terrace", 1, None, "paid", "zoe"),
        ),
        "sunburst meadow",
        "sport",
    ),
    Event(
        "Roller Derby: Gales v. Breakers",
        COPPER_HALL,
        "Thu+1 19:00",
        (Offer("felix", 17.5, 17.5),),
        None,
        "sport",
    ),
    Event(
        "Evening Basho, day three",
        MIZUBE,
        "Tue+3 10:00",
        (Offer("hana", 74, 80, "Box for two", 2, "Shoes off in the box. Lunch can be ordered there."),),
        "sunburst citrus",
        "sport",
    ),
    Event(
        "Handball: Nordstern v. Küstenlöwen",
        NORDSTERN,
        "Fri+1 19:30",
        (Offer("jonas", 22, 24, "Block C, Reihe 9", 2),),
        "stripes ember",
        "sport",
    ),
)

ART = (
    Event(
        "Tessera: a century of tile",
        FAROL,
        "Sat 10:00",
        (
            Offer("lucia", 24, 26, "Entry 10:00 to 10:30", 2, "Timed entry; stay as long as you like."),
            Offer("idris", 13, 13, "Entry 16:00", 1, None, "paid", "maren"),
        ),
        "tiles citrus",
        "art",
    ),
    Event(
        "Cut Paper: the late rooms",
        NORDSTERN,
        "Fri 18:00",
        (Offer("jonas", 12, 14, "Evening entry"),),
        "tiles rose",
        "art",
    ),
    Event(
        "Light Over Water, night opening",
        LANTERN_WHARF,
        "Fri+1 18:30",
        (Offer("hana", 35, 38, None, 2, "The boat to the pier leaves from the south gate."),),
        "discs plum",
        "art",
    ),
    Event(
        "Ceramics Biennial, preview",
        OBSIDIANA,
        "Thu+2 17:00",
        (Offer("lucia", 30, None, "Preview pass"),),
        "tiles clay",
        "art",
    ),
    Event(
        "Forty Maps of One Street",
        COPPER_HALL,
        "Sun+2 11:00",
        (Offer("felix", 11, 12),),
        "ridges meadow",
        "art",
    ),
)

OTHER = (
    Event(
        "Rooftops by Night, guided walk",
        LAKESIDE,
        "Fri 21:00",
        (Offer("oscar", 34, 36, None, 2, "Three hours, two bridges. Wear good shoes."),),
        "skyline dusk",
        "other",
    ),
    Event(
        "Supper Under Glass, eight courses",
        RIVERBEND,
        "Wed+2 19:00",
        (Offer("oscar", 160, 180, "Table for two", 2, "Vegetarian on request, tell them by Monday."),),
        "discs clay",
        "other",
    ),
    Event(
        "Maker Fair: Clocks & Circuits",
        COPPER_HALL,
        "Sat+2 10:00",
        (Offer("felix", 15, 18, "Day ticket", 2), Offer("felix", 8, 9, "Afternoon", 1, None, "paid", "zoe")),
        None,
        "other",
    ),
)
