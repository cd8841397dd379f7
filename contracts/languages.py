"""The languages of pages and emails."""

from typing import Literal, get_args

from typing_extensions import TypeAliasType

Language = TypeAliasType("Language", Literal["en", "de"])
"""A language as an ISO 639 code. The first one is that of the texts in the code."""

LANGUAGES: tuple[Language, ...] = get_args(Language.__value__)
DEFAULT: Language = LANGUAGES[0]
