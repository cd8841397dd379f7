"""The time zones that forms offer."""

from zoneinfo import available_timezones

import pytest
from babel import Locale
from babel.core import get_global

from contracts.tickets import time_zones
from kit.texts import using
from web.time_zones import names, offered

BY_ALIAS = {
    alias: zone.name for zones in offered().values() for zone in zones for alias in zone.aliases.split()
}
WITHOUT_A_PLACE = ("Etc/", "GMT", "Greenwich", "Factory", "localtime")


def test_every_zone_of_a_place_is_offered_under_one_of_its_names() -> None:
    known = available_timezones() - names() - BY_ALIAS.keys()
    assert {name for name in known if not name.startswith(WITHOUT_A_PLACE)} == set()


def test_the_api_accepts_every_zone_that_is_offered() -> None:
    assert names() <= time_zones()


@pytest.mark.parametrize(
    "name",
    ["Australia/Adelaide", "Asia/Kathmandu", "America/Argentina/Buenos_Aires", "Asia/Kuala_Lumpur", "UTC"],
)
def test_a_zone_is_offered_even_if_its_clocks_agree_with_those_of_another(name: str) -> None:
    assert name in names()


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("Asia/Katmandu", "Asia/Kathmandu"),
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
        ("Europe/Kiev", "Europe/Kyiv"),
        ("Africa/Asmera", "Africa/Asmara"),
        ("America/Coral_Harbour", "America/Atikokan"),
        ("US/Eastern", "America/New_York"),
        ("Etc/UTC", "UTC"),
    ],
)
def test_an_alias_that_a_browser_may_report_belongs_to_an_offered_zone(alias: str, name: str) -> None:
    assert BY_ALIAS[alias] == name


def test_every_name_of_cldr_belongs_to_an_offered_zone() -> None:
    aliases = get_global("zone_aliases")
    reported = {name for name in {*aliases, *aliases.values()} if not name.startswith(WITHOUT_A_PLACE)}
    assert reported <= names() | BY_ALIAS.keys()


def test_the_label_names_the_place_first_so_that_typing_it_finds_the_zone() -> None:
    america = {zone.name: zone.label for zone in offered()["America"]}
    assert america["America/Argentina/Buenos_Aires"] == "Buenos Aires (Argentina)"
    assert america["America/Sao_Paulo"] == "Sao Paulo"
    assert list(america.values()) == sorted(america.values())
    assert list(offered())[:3] == ["", "Africa", "America"]


def test_the_places_have_their_names_in_the_language_of_the_page() -> None:
    with using(Locale("de")):
        german = {zone.name: zone.label for zones in offered().values() for zone in zones}
        europe = [zone.label for zone in offered()["Europe"]]
    assert german["Europe/Rome"] == "Rom"
    assert german["Europe/Vienna"] == "Wien"
    assert german["America/Argentina/Buenos_Aires"] == "Buenos Aires (Argentina)"
    assert german["America/Indiana/Vevay"].count("Indiana") == 1
    assert europe.index("Wien") < europe.index("Zürich")
    assert german.keys() == names()
    assert {zone.name: zone.label for zone in offered()["Europe"]}["Europe/Rome"] == "Rome"
