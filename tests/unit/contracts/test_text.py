"""Which texts of people are valid, and how they are stored. Odd characters are written as escapes."""

from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

from contracts.api import TicketBody
from contracts.text import is_right_to_left, line, paragraphs, plain

TITLE: TypeAdapter[str] = TypeAdapter(Annotated[str, line("Title", 200)])
NOTES: TypeAdapter[str] = TypeAdapter(Annotated[str, paragraphs("Notes", 1000)])

INVISIBLE = "an invisible character"
DIRECTION = "a character that changes the direction of text"
NOT_TEXT = "a character that isn't text"
CONTROL = "a control character"


def refusal(kind: TypeAdapter[str], text: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        kind.validate_python(text)
    return refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "text",
    [
        "Row 4, seat 12",
        "Ärzte für Çelik, 50 % off!",
        "東京ドーム 一塁側",
        "Μουσική · Музыка · संगीत · இசை · ดนตรี · 음악",
        "नेत्र क\u094d\u200dष",  # Hindi with a joiner
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian with a non-joiner
        "\u0647\u200d",  # an Arabic abbreviation that ends with a joiner
        "שָׁלוֹם בְּרֵאשִׁ֖ית",  # Hebrew with vowels and cantillation
        "ཨོཾ་མ་ཎི་པདྨེ་ཧཱུྃ",  # Tibetan
        "Tiếng Việt",
        "\U0001f3b8 \u2764\ufe0f\u200d\U0001f525 \U0001f469\U0001f3fd\u200d\U0001f680 1\ufe0f\u20e3",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea",  # a family and a flag
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f v \U0001f1eb\U0001f1f7",
        "\U0001fae9",  # an emoji that is newer than Python's Unicode data
        "\u845b\U000e0100",  # a variant of a Chinese character
        "<script>alert(1)</script>",
        "!!!",
    ],
)
def test_visible_texts_of_all_languages_are_valid_and_unchanged(text: str) -> None:
    assert TITLE.validate_python(text) == text
    assert NOTES.validate_python(text) == text


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("  Row 4 \n", "Row 4"),
        ("Row   4,\tseat\u00a0\u300012", "Row 4, seat 12"),
        ("Cafe\u0301", "Caf\u00e9"),
        ("\u212bngstro\u0308m", "\u00c5ngstr\u00f6m"),
    ],
)
def test_a_line_is_trimmed_and_normalized(text: str, stored: str) -> None:
    assert TITLE.validate_python(text) == stored


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (" First \r\n\tSecond\r\n", "First\nSecond"),
        ("One\n\n\n\n\nTwo", "One\n\nTwo"),
        ("One\u2028Two\u0085Three", "One\nTwo\nThree"),
    ],
)
def test_notes_keep_their_lines(text: str, stored: str) -> None:
    assert NOTES.validate_python(text) == stored


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", " \t\r\n", "\u2003", "\u200b", "\u200b \ufeff", "\u202e\u202c", "\u2066\u2069", "\x00"),
        *("\u3164", "\u2800", "\u115f\u1160", "\u00ad", "\u0301", "\ufe0f", "\u200d", "\U000e0041", "\ue000"),
    ],
)
@pytest.mark.parametrize("kind", [TITLE, NOTES])
def test_a_text_without_a_visible_character_is_blank(kind: TypeAdapter[str], text: str) -> None:
    assert refusal(kind, text) in {"Title is required", "Notes is required"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        *((f"a{control}b", CONTROL) for control in "\x00\x07\x0b\x0c\x1b\x7f\x90"),
        *(
            (f"a{control}b", DIRECTION)
            for control in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        ),
        *((f"a{mark}b", DIRECTION) for mark in "\u200e\u200f\u061c"),
        *((f"a{zero_width}b", INVISIBLE) for zero_width in "\u200b\u2060\ufeff\u00ad\u2062\u180e\u034f"),
        *((f"a{filler}b", INVISIBLE) for filler in "\u115f\u1160\u3164\uffa0\u2800"),
        *((f"a{joiner}b", INVISIBLE) for joiner in "\u200c\u200d"),
        ("\U0001f3b8\u200d", INVISIBLE),
        ("\u0645\u06cc\u200c\u200c\u062e\u0648\u0627\u0647\u0645", INVISIBLE),
        ("a\ufe0fb", INVISIBLE),
        ("\U0001f3b8\ufe0f\ufe0f", INVISIBLE),
        ("\U0001f3b8\U000e0100", INVISIBLE),
        ("a\U000e0041\U000e0042", INVISIBLE),
        ("\U0001f3f4\U000e0061\U000e0062\U000e007f", INVISIBLE),
        ("a\ue000", NOT_TEXT),
        ("a\U00100000", NOT_TEXT),
        ("a\ufffe", NOT_TEXT),
        ("a\U0001ffff", NOT_TEXT),
        ("a\u0378", NOT_TEXT),
    ],
)
@pytest.mark.parametrize("kind", [TITLE, NOTES])
def test_invisible_and_disruptive_characters_are_refused_by_name(
    kind: TypeAdapter[str], text: str, problem: str
) -> None:
    assert f" contains {problem} (U+" in refusal(kind, text)


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb", "a\u2028b", "a\u2029b", "a\u0085b"])
def test_a_line_has_no_line_breaks(text: str) -> None:
    assert refusal(TITLE, text) == "Title must be a single line"


@pytest.mark.parametrize("field", ["title", "venue", "city", "seat", "notes", "privateNote"])
def test_every_text_of_a_ticket_follows_the_rule(field: str) -> None:
    body = {"title": "Row 4", "price": 5}
    with pytest.raises(ValidationError, match=DIRECTION):
        TicketBody.model_validate({**body, field: "a\u202eb"})
    if field in {"notes", "privateNote"}:
        assert TicketBody.model_validate({**body, field: "a\nb"})
    else:
        with pytest.raises(ValidationError, match="must be a single line"):
            TicketBody.model_validate({**body, field: "a\nb"})


def test_half_a_surrogate_is_refused() -> None:
    refusal(TITLE, "a\ud800")


@pytest.mark.parametrize(
    "text", ["Z" + "\u0351" * 6, "ก" + "\u0e47" * 6, "ก" + "\u0e47\u200d" * 6, "\u0301a", "o" + "\u20dd" * 6]
)
def test_stacks_of_accents_are_refused(text: str) -> None:
    assert refusal(TITLE, text) == "Title has too many accents on one letter"


@pytest.mark.parametrize("letter", ["x", "\u00e9", "e\u0301", "\U0001f3b8", "\u0e01\u0e34\u0e48"])
def test_the_length_counts_visible_characters(letter: str) -> None:
    assert TITLE.validate_python(letter * 200 + "  ")
    assert refusal(TITLE, letter * 201) == "Title must be at most 200 characters"


def test_a_huge_text_is_refused_without_looking_at_its_characters() -> None:
    assert refusal(TITLE, "\u0301\u0323" * 1_000_000) == "Title must be at most 200 characters"


def test_a_stored_text_can_be_shown_in_one_line_without_controls() -> None:
    assert plain("Row 4") == "Row 4"
    assert plain("a\u202eb\u2066c\nd\x00e") == "abc de"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Row 4", False),
        ("K\u00f6ln", False),
        ("\u05e9\u05dc\u05d5\u05dd", True),
        ("\u0633\u0644\u0627\u0645", True),
    ],
)
def test_right_to_left_text_is_recognized(text: str, expected: bool) -> None:
    assert is_right_to_left(text) == expected
