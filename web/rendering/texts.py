"""gettext for UI texts. All texts are in English, and there are no translations yet.

`pybabel extract -F pyproject.toml -k N_ web contracts/guarantees.py` collects the texts of Python, of the
templates, and of the guarantees, which emails state as well.
"""

from gettext import NullTranslations

TRANSLATIONS = NullTranslations()
"""The translations for the templates and for the functions below, chosen when the process starts."""


def N_(text: str) -> str:  # noqa: N802 # gettext's usual name
    """Mark the text of a constant for extraction. `_` translates the text when it is shown."""
    return text


def _(text: str, /, **values: object) -> str:
    """The translation of a text, with values in place of `%(name)s`."""
    translated = TRANSLATIONS.gettext(text)
    return translated % values if values else translated


def ngettext(singular: str, plural: str, count: int, /, **values: object) -> str:
    """The translation of a text that depends on a count, which replaces `%(num)s`."""
    return TRANSLATIONS.ngettext(singular, plural, count) % {"num": count, **values}
