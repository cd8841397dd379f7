"""Rejects new passwords that are easy to guess, as NIST SP 800-63B requires, and explains why.

A password is easy to guess if it is common, or the user's email address, or the site's name, or a simple
variation of these. zxcvbn provides the common passwords, words and names.
"""

from itertools import pairwise

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from services.auth.rules import WeakPassword

SITE_NAME = "stagedoor"
MIN_WORD = 4
"""Shorter words are common in good passwords, too."""
MIN_NAME = 3
"""Minimum length of a part of the email address that a password must not consist of."""

_COMMON = frozenset[str]().union(*FREQUENCY_LISTS.values())
_SUBSTITUTES = str.maketrans("@013457$!", "aoieastsi")

COMMON = (
    "Password is too common: attackers try such passwords first. Choose one that is hard to guess, such as "
    "several words that don't belong together"
)
LIKE_EMAIL = "Password must not be like your email address, which attackers try first"
LIKE_SITE = "Password must not be the name of this site, which attackers try first"


def reject_weak(password: str, email: str, *, field: str) -> None:
    """Accept a normalized password of the user with this address, or explain why not.

    Raises:
        WeakPassword: `field` is the name of the input field for the error message.
    """
    reason = weakness(password, email)
    if reason is not None:
        raise WeakPassword(reason, field=field)


def weakness(password: str, email: str) -> str | None:
    """Why the password is easy to guess; None if it isn't."""
    spellings = _spellings(password)
    local, _, domain = email.partition("@")
    untagged = local.partition("+")[0]
    for name in (email, local, untagged, f"{untagged}@{domain}"):
        if any(len(own) >= MIN_NAME and own in spellings for own in (_letters(name), _core(name))):
            return LIKE_EMAIL
    unit = _repeated_unit(password.casefold())
    if SITE_NAME in spellings | _spellings(unit):
        return LIKE_SITE
    return COMMON if _is_predictable(unit, password) or _is_common(password) or _is_common(unit) else None


def _letters(text: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(filter(str.isalnum, text.casefold()))


def _core(text: str) -> str:
    """The text without the digits and punctuation marks around it."""
    letters = [index for index, character in enumerate(text) if character.isalpha()]
    return _letters(text[letters[0] : letters[-1] + 1]) if letters else ""


def _spellings(password: str) -> set[str]:
    """Words that the password may stand for: "P@ssw0rd!1" stands for "password"."""
    plain = password.casefold().translate(_SUBSTITUTES)
    core = password[: len(password.rstrip("0123456789!$"))].casefold().translate(_SUBSTITUTES)
    return {password.casefold(), _letters(password), _core(password), _core(plain), _core(core)}


def _is_common(password: str) -> bool:
    """Whether a common password makes up at least half of this one."""
    return any(
        len(word) >= MIN_WORD and 2 * len(word) >= len(password) and word in _COMMON
        for word in _spellings(password)
    )


def _repeated_unit(text: str) -> str:
    """The part whose repetition is the text, such as "abc" of "abcabcabc", or else the text itself."""
    return text[: (text + text).find(text, 1)]


def _is_predictable(unit: str, password: str) -> bool:
    """Whether the password repeats a few characters, or is a sequence like "abcdefgh" or "87654321"."""
    steps = {ord(after) - ord(before) for before, after in pairwise(password)}
    return min(len(unit), len(set(unit)) + 1) < MIN_WORD or steps in ({1}, {-1})
