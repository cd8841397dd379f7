"""Refuses display names that claim to be the marketplace or its staff.

Others see the name beside what a user sells. Names are compared as people see them: letters of other
alphabets, digits and symbols that look like Latin letters count as those.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from services.auth.rules import ConfusingName, ReservedName

SITE_NAME = "stagedoor"

STAFF = (
    *("admin", "administrator", "sysadmin", "webmaster", "moderator", "support", "helpdesk"),
    *("customerservice", "customercare", "supportteam", "adminteam"),
)
"""Words that no name contains."""

TITLES = ("operator", "staff", "team", "official", "system", "root", "security", "service", "help", "mod")
"""Words that may be part of a name, but aren't one."""

MIN_LABEL = 4
"""Shorter parts of the site's address, such as `com` or `co`, aren't names."""

_SHAPES = {
    # Cyrillic
    **dict(zip("абвгезікмнорстухѕјһԁԛԝӏпьղ", "abbre3ikmhopctyxsjhdqwlnbn", strict=True)),
    # Greek
    **dict(zip("αβγεζηικμνορστυχωϲϳ", "abyeznikmvopotuxwcj", strict=True)),
    # Armenian
    **dict(zip("աոսօցհզյ", "wnuoghqj", strict=True)),
    # Latin letters without another form
    **dict(zip("ıɑɡɩʟɪſøłđħŧƿæœðþ", "iagilisoldhtpaodp", strict=True)),
    # Digits and symbols
    **dict(zip("0134578@$!|€£", "oieastbasilel", strict=True)),
}
"""The Latin letter that a character in lower case looks like."""

_LATIN = re.compile(
    r"(?:(?:NEGATIVE |CROSSED )?(?:CIRCLED |SQUARED )?LATIN\b.*|REGIONAL INDICATOR SYMBOL )"
    r"\bLETTER (?:SMALL CAPITAL )?([A-Z])\b"
)
"""Unicode's names of letters in circles and squares, with strokes and hooks, and the like."""

_ALPHABETS = frozenset({"LATIN", "CYRILLIC", "GREEK", "COPTIC", "ARMENIAN", "CHEROKEE", "LISU", "DESERET"})
"""Alphabets with letters that look alike. No language mixes two of them within a word."""

_SEPARATORS = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def reject_reserved(name: str | None, site: str) -> None:
    """Accept a name of a user of the marketplace at the address `site`, or explain why not.

    Raises:
        ConfusingName, ReservedName
    """
    if name is None:
        return
    text = unicodedata.normalize("NFKC", name)
    if any(len(_alphabets(word)) > 1 for word in text.split()):
        raise ConfusingName(field="name")
    if any(_is_reserved(words, site) for words in _readings(text)):
        raise ReservedName(field="name")


def _is_reserved(words: list[str], site: str) -> bool:
    everything = "".join(words)
    return (
        any(_shape(own) in everything for own in (SITE_NAME, *_own_labels(site)))
        or not _STAFF.isdisjoint(_runs(words))
        or everything in _TITLES
    )


def _alphabets(word: str) -> set[str]:
    names = (unicodedata.name(letter, "").partition(" ")[0] for letter in word if letter.isalpha())
    return {name for name in names if name in _ALPHABETS}


def _readings(text: str) -> Iterator[list[str]]:
    """The words of a name as people may read them: `!` and `1` are an I, or no letters."""
    spaced = _CAMEL.sub(" ", text)
    letters = "".join(_latin(letter) for letter in _without_marks(spaced))
    as_letters = _SEPARATORS.split("".join(_SHAPES.get(each, each) for each in letters.casefold()))
    yield [_shape(word) for word in as_letters]
    yield [_shape(word.rstrip("0123456789") or word) for word in _SEPARATORS.split(letters)]


def _shape(text: str) -> str:
    """The Latin letters that a text looks like, with one letter for those that look alike."""
    letters = "".join(_SHAPES.get(letter, letter) for letter in text.casefold())
    return letters.replace("rn", "m").translate(_ALIKE)


_ALIKE = str.maketrans({"i": "l", "v": "u", "q": "g"})


def _latin(letter: str) -> str:
    """The Latin letter in a circle, a square, or with strokes; other characters as they are."""
    found = None if letter.isascii() else _LATIN.match(unicodedata.name(letter, ""))
    return found[1].lower() if found else letter


def _without_marks(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(each for each in decomposed if unicodedata.category(each)[0] not in "MC")


def _runs(words: list[str]) -> Iterator[str]:
    """Each word, and neighboring words without the spaces between them, unless they are too long."""
    for first in range(len(words)):
        run = ""
        for word in words[first:]:
            run += word
            if len(run) > MAX_RUN:
                break
            yield run


def _with_plurals(words: Iterable[str]) -> frozenset[str]:
    return frozenset(_shape(word + ending) for word in words for ending in ("", "s"))


_STAFF, _TITLES = _with_plurals(STAFF), _with_plurals(TITLES)
MAX_RUN = max(map(len, _STAFF))


def _own_labels(site: str) -> list[str]:
    """The name in the site's address: `example` of https://tickets.example.co.uk."""
    labels = (urlsplit(site).hostname or "").split(".")[:-1]
    return [label for label in labels if len(label) >= MIN_LABEL and not label.isdigit()][-1:]
