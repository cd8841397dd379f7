"""A language that nobody speaks: English with accents, and two fifths longer, as translations may be.

It shows whether a page has room for longer texts, and which texts aren't translated.
"""

import re
from gettext import NullTranslations

_ACCENTS = str.maketrans("aceinouyACEINOUY", "åçéïñöûýÅÇÉÎÑÖÛÝ")
_KEPT = re.compile(r"(%\(\w+\)s|%%|<[^>]*>)")
"""What a translation keeps as it is: placeholders and tags."""


def pseudo(text: str) -> str:
    """The text in the pseudo-locale: "Sign in" is "[Sîgñ îñ···]"."""
    parts = _KEPT.split(text)
    accented = [part if number % 2 else part.translate(_ACCENTS) for number, part in enumerate(parts)]
    letters = sum(map(len, parts[::2]))
    return f"[{''.join(accented)}{' ···' * (letters // 10)}{'·' * (letters * 2 // 5 % 4)}]"


class PseudoLocale(NullTranslations):
    def gettext(self, message: str) -> str:
        return pseudo(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return pseudo(msgid1 if n == 1 else msgid2)
