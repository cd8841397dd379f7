"""gettext for the texts of pages and emails, in the language of the current locale.

Texts in the code are in English. `kit/catalogues` has a file with their translations for each other language.
A process reads it when it starts, so that no compiled file is needed. `just translations` updates the files.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from contracts.languages import DEFAULT, LANGUAGES

CATALOGUES = Path(__file__).parent / "catalogues"

ENGLISH = Locale("en", "US")
"""The locale of whoever says nothing about language and country."""

_current = ContextVar("locale", default=ENGLISH)


def current() -> Locale:
    """The locale in which texts, amounts and dates are shown: that of the current request or email."""
    return _current.get()


@contextmanager
def using(locale: Locale) -> Iterator[None]:
    """Until the block ends, this is the current locale."""
    token = _current.set(locale)
    try:
        yield
    finally:
        _current.reset(token)


def language() -> str:
    """The code of the current language, for the `lang` attribute."""
    return str(current().language)


@cache
def translations(code: str) -> NullTranslations:
    """The translations into a language. English texts stay as they are."""
    if code == DEFAULT or code not in LANGUAGES:
        return NullTranslations()
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)


def load() -> None:
    """Read all catalogues. A request would otherwise wait for it, about a tenth of a second."""
    for code in LANGUAGES:
        translations(code)


def N_(text: str) -> str:  # noqa: N802 # gettext's usual name
    """Mark the text of a constant for extraction. `_` translates the text when it is shown."""
    return text


def gettext(text: str) -> str:
    """The translation of a text, or the text itself if there is none."""
    return translations(language()).gettext(text) if text else text


def plural(singular: str, plural_form: str, count: int) -> str:
    """The translation of a text that depends on a count, with the plural forms of the language."""
    return translations(language()).ngettext(singular, plural_form, count)


def _(text: str, /, **values: object) -> str:
    """The translation of a text, with values in place of `%(name)s`."""
    translated = gettext(text)
    return translated % values if values else translated


def ngettext(singular: str, plural_form: str, count: int, /, **values: object) -> str:
    """The translation of a text that depends on a count, which replaces `%(num)s`."""
    return plural(singular, plural_form, count) % {"num": count, **values}
