"""Names of time zones in sentences."""

from contracts.languages import DEFAULT
from kit.texts import _, current


def zone_name(zone: str | None) -> str:
    """The name of a time zone in a sentence, such as "Berlin time"."""
    city = (zone or "UTC").rpartition("/")[2].replace("_", " ")
    return city if city == "UTC" else _("%(city)s time", city=city_of(zone or "UTC", city))


def city_of(zone: str, otherwise: str) -> str:
    """The name of a zone's city in the current language: Rome is Rom. English keeps the names of IANA."""
    locale = current()
    if locale.language == DEFAULT:
        return otherwise
    return str(locale.time_zones.get(zone, {}).get("city", otherwise))
