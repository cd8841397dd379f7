"""Passwords: their normalization, and the rules that need no list of common passwords.

The rules follow NIST SP 800-63B: a minimum length, no rules about the kinds of characters, and nothing is
truncated. `services/auth/weak_passwords.py` adds the passwords that are easy to guess.
"""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

MIN_LENGTH, MAX_LENGTH = 8, 256
"""In characters of the normalized password."""
MAX_TYPED_LENGTH = 1024
"""A longer password is rejected before its normalization, which would take too long."""

_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Characters that Unicode counts as letters or symbols although nothing is drawn: fillers and the blank
Braille pattern."""


def normalized(password: str) -> str:
    """The password in Unicode's form NFKC, so that it is the same on every keyboard and operating system."""
    return unicodedata.normalize("NFKC", password)


def _new_password(typed: str) -> str:
    password = normalized(typed) if len(typed) <= MAX_TYPED_LENGTH else typed
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise PydanticCustomError(
            "password_length", f"Password must be between {MIN_LENGTH} and {MAX_LENGTH} characters"
        )
    if any(unicodedata.category(character) == "Cc" for character in password):
        raise PydanticCustomError(
            "password_control",
            "Password must not contain tabs, line breaks or other control characters, which can't be typed "
            "in every sign-in form",
        )
    if not any(_is_visible(character) for character in password):
        raise PydanticCustomError(
            "password_blank",
            "Password must not consist of spaces and invisible characters only, because anybody can guess it",
        )
    return password


def _is_visible(character: str) -> bool:
    """Whether the character is a letter, digit, punctuation mark or symbol that is drawn."""
    return unicodedata.category(character)[0] in "LNPS" and character not in _INVISIBLE_LETTERS


NewPassword = Annotated[
    str,
    AfterValidator(_new_password),
    WithJsonSchema(
        {"type": "string", "minLength": MIN_LENGTH, "maxLength": MAX_LENGTH, "format": "password"}
    ),
]
"""A password that a user chooses, normalized."""

TypedPassword = Annotated[str, StringConstraints(max_length=MAX_TYPED_LENGTH)]
"""A password that proves who the caller is, as they typed it. It may be older than the rules above."""
