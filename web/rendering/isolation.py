"""Keeps the direction of people's texts from changing how the texts around them are read.

An Arabic title, for example, would otherwise move the price behind it to its other side.
https://www.w3.org/International/articles/inline-bidi-markup/
"""

from markupsafe import Markup

from contracts.text import is_right_to_left, plain

_FIRST_STRONG_ISOLATE, _POP_DIRECTIONAL_ISOLATE = "\u2068", "\u2069"


def bdi(text: str) -> Markup:
    """A person's text as an element of its own direction."""
    return Markup("<bdi>{}</bdi>").format(text)


def isolated(text: str) -> str:
    """The same where there can't be an element: in a page's title, an attribute or an option.

    Controls are removed from texts that were stored before the contract refused them.
    """
    shown = plain(text)
    if not is_right_to_left(shown):
        return shown
    return f"{_FIRST_STRONG_ISOLATE}{shown}{_POP_DIRECTIONAL_ISOLATE}"
