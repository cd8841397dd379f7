"""Translates the messages of services, which are in English. Programs read them too, so services don't.

Most messages are in the catalogue as they are (kit/extraction.py). Those with a name or a number in them are
recognized by their form.
"""

import re
from collections.abc import Sequence

from contracts.problems import Problem
from kit.texts import N_, _, language

FORMS: Sequence[str] = (
    N_("%(name)s is required"),
    N_("%(name)s must be text"),
    N_("%(name)s isn't valid"),
    N_("%(name)s must be valid"),
    N_("%(name)s must be at most %(count)s characters"),
    N_("%(name)s must be a single line"),
    N_("%(name)s contains %(what)s (%(code)s). Remove it"),
    N_("%(name)s has too many accents on one letter"),
    N_("%(name)s must be a number"),
    N_("%(name)s must be greater than 0"),
    N_("%(name)s must have at most 2 decimals"),
    N_("%(name)s must be at most %(amount)s"),
    N_("%(name)s must be at least %(amount)s"),
    N_("%(name)s must be between %(least)s and %(most)s characters"),
    N_("%(name)s must be a date and time, as in 2026-12-31T20:00:00Z"),
    N_("%(name)s must be a whole number from 1 to %(most)s"),
    N_(
        "%(name)s seems to contain a code (%(code)s), and everybody can read it. Write codes into the "
        "private note, which only the buyer sees"
    ),
    N_("You already hold %(count)s tickets. Pay for one or release one first"),
    N_("The picture must have at most %(count)s million pixels"),
    N_("The picture must be at least %(count)s pixels wide and high"),
    N_("The event must begin before the year %(year)s"),
    N_("A listing has at most %(count)s files"),
    N_("You can send at most %(count)s photos"),
    N_("You have %(count)s alerts and favorites already. Remove one first"),
)
PARTS: Sequence[str] = (
    *(N_("Title"), N_("Venue"), N_("City"), N_("Performer"), N_("Seat"), N_("Notes"), N_("Private note")),
    *(N_("Name"), N_("Text"), N_("Reason"), N_("Price"), N_("Face value"), N_("Quantity"), N_("Password")),
    *(N_("Email"), N_("Token"), N_("Country"), N_("Category"), N_("Time zone"), N_("StartsAt")),
    *(N_("CurrentPassword"), N_("NewPassword"), N_("FaceValue"), N_("TimeZone"), N_("PrivateNote")),
    N_("a character that changes the direction of text"),
    N_("an invisible character"),
    N_("a control character"),
    N_("a character that isn't text"),
)
"""What replaces `name` and `what`: fields of the API, and kinds of characters."""


def _pattern(form: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(form)), re.DOTALL)


_PATTERNS = [(form, _pattern(form)) for form in FORMS]


def message(text: str) -> str:
    """A service's message in the current language. A message that isn't known stays as it is."""
    translated = _(text)
    if translated != text or language() == "en":
        return translated
    for form, pattern in _PATTERNS:
        if match := pattern.fullmatch(text):
            return _(form, **{name: _(part) for name, part in match.groupdict().items()})
    return text


def problem(english: Problem) -> Problem:
    """A service's problem with its messages in the current language."""
    errors = [each.model_copy(update={"message": message(each.message)}) for each in english.errors]
    return english.model_copy(update={"title": message(english.title), "errors": errors})
