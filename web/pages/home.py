"""The home page: events of this weekend, soon, new and popular, in a city that the browser remembers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from contracts.api import Facets, Highlights, ShowOffer
from web.rendering.isolation import isolated
from web.rendering.texts import _


@dataclass(frozen=True)
class Shelf:
    """A list of events with a title."""

    id: str
    title: str
    offers: Sequence[ShowOffer]
    all: str | None = None
    """The address of all of them, if it shows the same in the same order."""


@dataclass(frozen=True)
class Tile:
    """A category with its number of listings."""

    category: str
    count: int
    address: str


@dataclass(frozen=True)
class Home:
    """What the home page shows above the list of tickets."""

    city: str
    """The slug of the chosen city; empty for all of them."""
    cities: Mapping[str, str]
    """The names by slug. Empty while the tickets service doesn't say them."""
    shelves: Sequence[Shelf]
    categories: Sequence[Tile]


def home_of(city: str, highlights: Highlights | None, facets: Facets | None) -> Home:
    """The home page of a city. Whatever is unavailable is left out."""
    cities = {"": _("Everywhere")}
    if facets is not None:
        cities |= {facet.value: isolated(facet.label) for facet in facets.cities}
    if city:
        cities.setdefault(city, isolated(city.replace("-", " ").title()))
    tiles = facets.categories if facets is not None else ()
    return Home(
        city=city,
        cities=cities if facets is not None else {},
        shelves=_shelves(city, highlights) if highlights is not None else (),
        categories=[
            Tile(facet.value, facet.count, _address(category=facet.value, city=city)) for facet in tiles
        ],
    )


def _shelves(city: str, highlights: Highlights) -> list[Shelf]:
    shelves = [
        Shelf("weekend", _("This weekend"), highlights.weekend, _address(when="weekend", city=city)),
        Shelf("popular", _("Popular"), highlights.popular),
        Shelf("upcoming", _("Upcoming"), highlights.upcoming),
        Shelf("recent", _("Recently listed"), highlights.recent, _address(city=city, sort="newest")),
    ]
    return [shelf for shelf in shelves if shelf.offers]


def _address(**filters: str) -> str:
    return f"/?{urlencode({name: value for name, value in filters.items() if value})}"
