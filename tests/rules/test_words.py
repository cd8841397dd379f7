import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tickets.search import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Café Ümlaut", ["cafe", "umlaut"]),
        ("STRASSE Straße", ["strasse"]),
        ("\ufb01ne", ["fine"]),
        ("İstanbul", ["istanbul"]),
        ("\uff32\uff4f\uff57 m\u00b2", ["m2", "row"]),
        ("Wembley, 12.06.: Row-4!", ["06", "12", "4", "row", "wembley"]),
        ("Ελλάδα", ["ελλαδα"]),
        ("", []),
        (" \t… —", []),
    ],
)
def test_words_are_without_case_and_accents(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_the_words_of_several_texts_are_one_list_without_repeats() -> None:
    assert words("Row 4", None, "Old Mill", "old row") == ["4", "mill", "old", "row"]


def test_a_composed_letter_is_the_same_as_letter_and_accent() -> None:
    assert words("Caf\u00e9") == words("Cafe\u0301")


@given(st.text())
def test_case_makes_no_difference_and_every_word_finds_itself(text: str) -> None:
    found = words(text)
    assert found == sorted(set(found))
    assert [word for word in found if words(word) != [word]] == []
