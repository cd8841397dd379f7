"""Words with small mistakes find what was meant, and correct words find what they did."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tickets.query import Query
from services.tickets.search_index import SearchIndex, TooSlow
from services.tickets.spelling import Vocabulary, edits
from tests.unit.search.builders import index_of, ticket, titled

letters = st.text("abc", max_size=6)


def corrected(index: SearchIndex, text: str) -> str:
    return index.corrected(Query(text)).text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Codlplay", "coldplay"),  # two neighbors swapped
        ("coldpay", "coldplay"),  # a letter is missing
        ("colddplay", "coldplay"),  # a letter too much
        ("xoldplay", "coldplay"),  # the first letter is wrong
        ("coldplaz", "coldplay"),  # the last letter is wrong
        ("colpay", "coldplay"),  # two edits of a word of six letters
        ("coldlp", "coldplay"),  # one edit to the beginning
        ("hamlte tempodrom", "hamlet tempodrom"),
        ("Hamlet tempdorom", "hamlet tempodrom"),
    ],
)
def test_a_misspelled_word_is_replaced_by_the_nearest_one(typed: str, meant: str) -> None:
    index = index_of([ticket(1, "Coldplay"), ticket(2, "Hamlet", venue="Tempodrom")])
    assert corrected(index, typed) == meant


@pytest.mark.parametrize("text", ["coldplay", "col", "Cold Play", "hamlet", "", "!!!"])
def test_words_that_are_found_stay_as_they_were_typed(text: str) -> None:
    index = titled("Coldplay", "Hamlet", "!!!")
    assert corrected(index, text) == text


@pytest.mark.parametrize(
    "text",
    [
        "coldplay hamlet",  # nothing has both, but both are words
        "xyz",  # too short
        "woldplaz",  # the first and the last letter are wrong
        "klaviersonaten",
        "2031",
    ],
)
def test_a_search_without_a_near_word_stays_as_it_was_typed(text: str) -> None:
    assert corrected(titled("Coldplay", "Hamlet", "2032"), text) == text


def test_of_equally_near_words_the_most_frequent_one_is_meant() -> None:
    assert corrected(titled("Marlon", "Marlin", "Marlin Two"), "marlen") == "marlin"


def test_the_words_of_removed_tickets_are_unknown() -> None:
    index = index_of([ticket(1, "Coldplay"), ticket(2, "Coldplay")])
    index.remove(f"{1:024x}")
    assert corrected(index, "codlplay") == "coldplay"
    index.remove(f"{2:024x}")
    assert corrected(index, "codlplay") == "codlplay"


def test_a_correction_that_takes_too_long_is_interrupted() -> None:
    index = titled("Coldplay")
    with index.time_limit(lambda: True), pytest.raises(TooSlow):
        corrected(index, "codlplay")


@given(letters, letters, st.integers(0, 3))
def test_the_edits_are_those_of_a_naive_count(typed: str, word: str, limit: int) -> None:
    expected = naive(typed, word)
    whole, beginning = edits(typed, word, limit)
    assert min(whole, limit + 1) == min(expected, limit + 1)
    beginnings = [
        naive(typed, word[:end]) for end in range(len(typed), min(len(word), len(typed) + limit + 1))
    ]
    assert min(beginning, limit + 1) == min([*beginnings, limit + 1])


def naive(typed: str, word: str) -> int:
    """The edits, each of which may change a part of the word only once, by trying everything."""
    if not typed or not word:
        return len(typed) + len(word)
    rest = partial(naive)
    found = [
        rest(typed[1:], word) + 1,
        rest(typed, word[1:]) + 1,
        rest(typed[1:], word[1:]) + (typed[0] != word[0]),
    ]
    if len(typed) > 1 and len(word) > 1 and typed[:2] == word[1::-1]:
        found.append(rest(typed[2:], word[2:]) + 1)
    return min(found)


def test_a_vocabulary_forgets_everything_that_is_removed() -> None:
    words = Vocabulary()
    for text in (" coldplay live ", " coldplay "):
        words.add(text)
    for text in (" coldplay live ", " coldplay "):
        words.remove(text)
    assert vars(words) == vars(Vocabulary())
