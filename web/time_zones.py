"""The time zones that forms offer: every place of the IANA time zone database, grouped by region, and UTC."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from unicodedata import combining, normalize

from babel.core import get_global

from contracts.languages import LANGUAGES
from kit.texts import language
from kit.zones import city_of
from web.rendering.texts import N_

UTC = "UTC"
REGIONS = {
    "Africa": N_("Africa"),
    "America": N_("America"),
    "Antarctica": N_("Antarctica"),
    "Arctic": N_("Arctic"),
    "Asia": N_("Asia"),
    "Atlantic": N_("Atlantic Ocean"),
    "Australia": N_("Australia"),
    "Europe": N_("Europe"),
    "Indian": N_("Indian Ocean"),
    "Pacific": N_("Pacific Ocean"),
}


@dataclass(frozen=True)
class Zone:
    name: str
    """The IANA name."""
    label: str
    """The name without its region: "Berlin", "Buenos Aires (Argentina)"."""
    aliases: str
    """Other names, which a browser may report for the same zone, separated by spaces."""


def offered() -> Mapping[str, Sequence[Zone]]:
    """The zones in alphabetical order of their labels in the current language, by the label of their region.
    The region of UTC is "".
    """
    return _offered(language())


@lru_cache(maxsize=2 * len(LANGUAGES))
def _offered(_language: str) -> Mapping[str, Sequence[Zone]]:
    """The table zone.tab has one name for each place, even where clocks have agreed with those of another
    place since 1970. https://data.iana.org/time-zones/theory.html#naming
    """
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    names = {line.split("\t")[2] for line in table.splitlines() if not line.startswith("#")}
    aliases = _aliases(names | {UTC})
    zones = sorted((Zone(name, _label(name), aliases[name]) for name in names), key=_order)
    regions = {
        label: [zone for zone in zones if zone.name.startswith(f"{region}/")]
        for region, label in REGIONS.items()
    }
    return {"": [Zone(UTC, UTC, aliases[UTC])], **regions}


@cache
def names() -> frozenset[str]:
    """The IANA names of all zones that are offered."""
    return frozenset(zone.name for zones in offered().values() for zone in zones)


def _label(name: str) -> str:
    """The label of a zone: "Buenos Aires (Argentina)" for America/Argentina/Buenos_Aires."""
    _region, *area, place = name.replace("_", " ").split("/")
    city = city_of(name, place)
    return f"{city} ({area[0]})" if area and area[0] not in city else city


def _order(zone: Zone) -> str:
    """What the label is sorted by. Letters with accents are sorted as those without."""
    return "".join(letter for letter in normalize("NFD", zone.label) if not combining(letter))


def _aliases(offered_names: set[str]) -> Mapping[str, str]:
    """The aliases of each name, from CLDR. Most browsers report its names, such as Asia/Katmandu."""
    cldr_names: Mapping[str, str] = get_global("zone_aliases")
    known = {*cldr_names, *cldr_names.values()}
    others: dict[str, list[str]] = {}
    for name in sorted(known - offered_names):
        others.setdefault(cldr_names.get(name, name), []).append(name)
    return {name: " ".join(others.get(cldr_names.get(name, name), ())) for name in offered_names}
