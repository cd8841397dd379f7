"""Each catalogue is complete and written as its language is."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel import Locale
from babel.messages import Catalog
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po

from contracts.languages import LANGUAGES
from kit import texts
from kit.texts import CATALOGUES, using
from tests.support.pseudo_locale import PseudoLocale, pseudo
from web.rendering import service_texts

ROOT = Path(__file__).parents[2]
SOURCES = ("web", "services", "kit", "contracts")
OTHERS = LANGUAGES[1:]
GERMAN = Locale("de", "DE")

_PLACEHOLDER = re.compile(r"%\(\w+\)s|%%")
_TAG = re.compile(r"<[^>]*>")


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """All texts that are marked in the code."""
    path = tmp_path_factory.mktemp("texts") / "messages.pot"
    options = ["-F", str(ROOT / "pyproject.toml"), "-k", "N_", "-o", str(path)]
    sources = [str(ROOT / source) for source in SOURCES]
    CommandLineInterface().run(["pybabel", "-q", "extract", *options, *sources])  # type: ignore[no-untyped-call]
    with path.open("rb") as file:
        return read_po(file)


def catalogue(code: str) -> Catalog:
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code)


def pairs(code: str) -> Iterator[tuple[str, str]]:
    """Each text with its translation. Both forms of a plural are texts."""
    for message in catalogue(code):
        if not message.id:  # the header
            continue
        if isinstance(message.id, str):
            yield message.id, str(message.string)
        else:
            yield from zip(message.id, message.string or (), strict=True)


@pytest.mark.parametrize("code", OTHERS)
def test_every_marked_text_is_translated_and_no_other(code: str, extracted: Catalog) -> None:
    marked = {message.id for message in extracted if message.id}
    translated = {message.id for message in catalogue(code) if message.id}
    assert translated == marked
    assert [text for text, translation in pairs(code) if text and not translation.strip()] == []
    assert [message.id for message in catalogue(code) if message.fuzzy and message.id] == []


def test_no_singular_has_two_plurals(extracted: Catalog) -> None:
    """gettext finds a plural by its singular only, so the second would get the translation of the first."""
    singulars = Counter(message.id[0] for message in extracted if isinstance(message.id, tuple | list))
    assert [text for text, count in singulars.items() if count > 1] == []


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_has_the_placeholders_and_tags_of_the_text(code: str) -> None:
    for text, translation in pairs(code):
        for pattern in (_PLACEHOLDER, _TAG):
            assert Counter(pattern.findall(translation)) == Counter(pattern.findall(text)), text


def test_german_texts_have_german_quotes_dashes_and_spaces_and_address_the_reader_formally() -> None:
    for text, translation in pairs("de"):
        shown = _TAG.sub("", _PLACEHOLDER.sub("", translation))
        assert not re.search(r"[\"“”]\w|\w[\"”]|'s\b| - |\.\.\.|\d (KB|MB|Stunden|Tage)\b", shown), text
        assert shown.count("„") == shown.count("“"), text
        assert not re.search(r"\b([Dd]u|[Dd]ein\w*|[Dd]ir|[Dd]ich)\b", shown), text


def test_a_plural_follows_the_rule_of_the_language() -> None:
    with using(GERMAN):
        texts_of = [texts.ngettext("%(num)s sale", "%(num)s sales", count) for count in (0, 1, 2)]
    assert texts_of == ["0 Verkäufe", "1 Verkauf", "2 Verkäufe"]


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("Ticket is already reserved", "Das Ticket ist schon reserviert"),
        ("Title is required", "Titel fehlt"),
        ("Title must be at most 200 characters", "Titel: Höchstens 200 Zeichen sind erlaubt"),
        ("Price must be at least $0.50", "Preis: Mindestens $0.50 sind nötig"),
        ("A text of a newer version", "A text of a newer version"),
    ],
)
def test_a_message_of_a_service_is_translated_even_with_names_and_numbers(english: str, german: str) -> None:
    assert service_texts.message(english) == english
    with using(GERMAN):
        assert service_texts.message(english) == german


def test_the_pseudo_locale_lengthens_texts_and_keeps_placeholders_and_tags() -> None:
    text = 'Open <a href="%(address)s">the event page</a> of %(title)s'
    longer = pseudo(text)
    assert re.findall(r"%\(\w+\)s|<[^>]*>", longer) == re.findall(r"%\(\w+\)s|<[^>]*>", text)
    assert "[Öpéñ " in longer
    assert len(longer) > len(text) + 8
    assert PseudoLocale().ngettext("sale", "sales", 2).startswith("[sålés")
