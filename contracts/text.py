"""One rule for all texts that people write: titles, places, seats and notes.

Only requests are validated. Stored texts and events may be older than the rule.
"""

import re
import unicodedata
from collections.abc import Iterator

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_MARKS = 5
"""The most combining marks on one letter. Hebrew with vowels and cantillation needs that many."""

MAX_CODE_POINTS_PER_CHARACTER = 10
"""A longer text is too long without counting what is visible in it, which would take time."""

_SPACES = re.compile(r"[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000 ]+")
_LINE_BREAK = re.compile(r"\r\n|[\n\r\u0085\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")

_DIRECTION_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# Fillers and other characters that look like nothing, although Unicode doesn't call them control characters.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U0001d159")

# Arabic and Syriac signs around digits, which are visible in spite of their category Cf.
_VISIBLE_FORMAT = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")

# Unicode keeps these ranges for pictographs, so that a new emoji is valid before this Python knows it.
# https://www.unicode.org/reports/tr51/#EBNF_and_Regex (Extended_Pictographic)
_PICTOGRAPH = re.compile("[\U0001f000-\U0001faff\U0001fc00-\U0001fffd]")

# The flags of England, Scotland and Wales. Other sequences of tag characters would be invisible.
_FLAG = re.compile(
    "\U0001f3f4\U000e0067\U000e0062"
    "(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)"
    "\U000e007f"
)

# Scripts in which a joiner changes how letters look: Arabic, Syriac, N'Ko and their neighbors, the scripts of
# India, Tibet and Southeast Asia, and Mongolian.
_JOINING_SCRIPTS = re.compile("[\u0600-\u109f\u1780-\u18af\u1a20-\u1aaf\ua840-\uaaff\ufb50-\ufefc]")
_JOINERS = frozenset("\u200c\u200d\u180e")
_ZERO_WIDTH_JOINER = "\u200d"


def line(name: str, max_length: int) -> AfterValidator:
    """Validate a text of one line, and normalize its characters and its white space.

    Args:
        name: the name of the field in error messages.
        max_length: the most visible characters.
    """
    return AfterValidator(lambda text: _clean(text, name, max_length, has_lines=False))


def paragraphs(name: str, max_length: int) -> AfterValidator:
    """The same for a text that may have several lines, with at most one blank line between two of them."""
    return AfterValidator(lambda text: _clean(text, name, max_length, has_lines=True))


def schema(max_length: int) -> WithJsonSchema:
    """The JSON Schema of such a text, as far as JSON Schema can describe the rule."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": max_length, "pattern": r"\S"})


def plain(text: str) -> str:
    """A text of unknown origin for a place that can't isolate it: one line without invisible characters."""
    if text.isascii() and text.isprintable():
        return text
    one_line = _LINE_BREAK.sub(" ", text)
    return "".join(
        character
        for character in one_line
        if unicodedata.category(character) not in {"Cc", "Cs"} and not _DIRECTION_CONTROLS.match(character)
    )


def is_right_to_left(text: str) -> bool:
    """Whether the text has letters or digits of a script that is written from right to left."""
    return not text.isascii() and any(unicodedata.bidirectional(each) in {"R", "AL", "AN"} for each in text)


def _clean(text: str, name: str, max_length: int, *, has_lines: bool) -> str:
    if len(text) > max_length * MAX_CODE_POINTS_PER_CHARACTER:
        raise _too_long(name, max_length)
    text = _trimmed(text, has_lines=has_lines)
    if not any(map(_is_visible, text)):
        raise PydanticCustomError("text_required", f"{name} is required")
    if not (text.isascii() and text.isprintable()):
        _check_characters(text, name, has_lines=has_lines)
        _check_marks(text, name)
        text = unicodedata.normalize("NFC", text)
    if len(text) > max_length and sum(map(_counts, text)) > max_length:
        raise _too_long(name, max_length)
    return text


def _trimmed(text: str, *, has_lines: bool) -> str:
    lines = (_SPACES.sub(" ", each).strip(" ") for each in _LINE_BREAK.split(text))
    trimmed = "\n".join(lines).strip("\n")
    return _BLANK_LINES.sub("\n\n", trimmed) if has_lines else trimmed


def _check_characters(text: str, name: str, *, has_lines: bool) -> None:
    """Reject characters that are invisible, or that change more than themselves.

    Raises:
        PydanticCustomError: with a message that says what is wrong.
    """
    if "\n" in text and not has_lines:
        raise PydanticCustomError("text_line_break", f"{name} must be a single line")
    rest = _FLAG.sub("", text).replace("\n", "")
    what: str | None
    for before, character, after in _with_neighbors(rest):
        if _DIRECTION_CONTROLS.match(character):
            what = "a character that changes the direction of text"
        elif character in _JOINERS:
            what = None if _joins(before, character, after) else "an invisible character"
        elif _is_variation_selector(character):
            what = None if _selects(before, character) else "an invisible character"
        else:
            what = _problem_of(character)
        if what is not None:
            code_point = f"U+{ord(character):04X}"
            raise PydanticCustomError("text_character", f"{name} contains {what} ({code_point}). Remove it")


def _problem_of(character: str) -> str | None:
    """What is wrong with a character, whatever is beside it."""
    match unicodedata.category(character):
        case "Cc":
            return "a control character"
        case "Cf" if character not in _VISIBLE_FORMAT:
            return "an invisible character"
        case "Cs" | "Co":
            return "a character that isn't text"
        case "Cn" if not _PICTOGRAPH.match(character):
            return "a character that isn't text"
    return "an invisible character" if character in _FILLERS else None


def _check_marks(text: str, name: str) -> None:
    """Reject marks without a letter, and more of them than a letter of any language has."""
    marks = MAX_MARKS  # before the first letter
    for character in text:
        if _is_mark(character):
            marks += 1
        elif character not in _JOINERS and not _is_variation_selector(character):
            marks = 0
        if marks > MAX_MARKS:
            raise PydanticCustomError("text_marks", f"{name} has too many accents on one letter")


def _joins(before: str, joiner: str, after: str) -> bool:
    """Whether a joiner is between emoji, or follows a letter of a script that needs joiners."""
    if joiner == _ZERO_WIDTH_JOINER and _is_symbol(after):
        return _is_symbol(before) or _is_variation_selector(before)
    return bool(_JOINING_SCRIPTS.match(before)) and after not in _JOINERS


def _selects(before: str, selector: str) -> bool:
    """Whether a variation selector follows a character that may have variants. Others could hide a text."""
    if before == "":
        return False
    category = unicodedata.category(before)
    is_ideographic = selector >= "\U000e0100"
    return category == "Lo" or (
        not is_ideographic and (category[0] in "SP" or category == "Nd" or _is_symbol(before))
    )


def _is_symbol(character: str) -> bool:
    return character != "" and (unicodedata.category(character) == "So" or bool(_PICTOGRAPH.match(character)))


def _is_visible(character: str) -> bool:
    """Whether the character alone is visible."""
    category = unicodedata.category(character)
    if category == "Cn":
        return bool(_PICTOGRAPH.match(character))
    is_shown = category[0] not in "CZM" or category == "Mc" or character in _VISIBLE_FORMAT
    return is_shown and character not in _FILLERS


def _counts(character: str) -> bool:
    """Whether the character counts towards the length. Accents and joiners don't, but spaces do."""
    return _is_visible(character) or character.isspace()


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in {"Mn", "Me"} and not _is_variation_selector(character)


def _is_variation_selector(character: str) -> bool:
    return (
        "\ufe00" <= character <= "\ufe0f"
        or "\U000e0100" <= character <= "\U000e01ef"
        or ("\u180b" <= character <= "\u180f" and character != "\u180e")
    )


def _with_neighbors(text: str) -> Iterator[tuple[str, str, str]]:
    """Each character with those before and after it, or "" at the ends."""
    return zip(["", *text[:-1]], text, [*text[1:], ""], strict=True)


def _too_long(name: str, max_length: int) -> PydanticCustomError:
    return PydanticCustomError("text_long", f"{name} must be at most {max_length} characters")
