import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tickets.folding import words


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
def test_words_are_normalized_without_case_and_accents(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_the_words_of_several_texts_are_one_sorted_list_without_duplicates() -> None:
    assert words("Row 4", None, "Old Mill", "old row") == ["4", "mill", "old", "row"]


def test_composed_and_decomposed_letters_are_equal() -> None:
    assert words("Caf\u00e9") == words("Cafe\u0301")


@given(st.text())
def test_words_are_sorted_unique_and_unchanged_by_another_normalization(text: str) -> None:
    found = words(text)
    assert found == sorted(set(found))
    assert [word for word in found if words(word) != [word]] == []
