"""The words of the tickets on sale, and which of them a misspelled word most likely is."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator

MIN_TYPED_LETTERS = 4
"""Shorter words have too many neighbors."""
MIN_KNOWN_LETTERS = 3
MANY_LETTERS = 6
"""Words with at least so many letters may have two edits, as in Elasticsearch's fuzziness AUTO. Shorter ones
may have one."""
EDGE = 2
"""A candidate has the same first letters or the same last letters as the misspelled word."""
CANDIDATES_PER_CHECK = 200


class Vocabulary:
    """The words on sale, each with the number of tickets that contain it."""

    def __init__(self) -> None:
        self._uses: Counter[str] = Counter()
        self._by_edge: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, tokens: str) -> None:
        """Count the words of a ticket, given as `folding.tokens` returns them."""
        for word in _words(tokens):
            if not self._uses[word]:
                for edge in _edges(word):
                    self._by_edge[edge].add(word)
            self._uses[word] += 1

    def remove(self, tokens: str) -> None:
        """Undo `add`."""
        for word in _words(tokens):
            self._uses[word] -= 1
            if not self._uses[word]:
                del self._uses[word]
                for edge in _edges(word):
                    self._by_edge[edge].discard(word)
                    if not self._by_edge[edge]:
                        del self._by_edge[edge]

    def nearest(self, typed: str, check: Callable[[], None] = lambda: None) -> str | None:
        """The word with the fewest edits, or the fewest to its beginning, as the user may still be typing.
        Of several, the one that most tickets contain. None if no word is near.

        Args:
            check: called from time to time, and may raise an error to stop.
        """
        if len(typed) < MIN_TYPED_LETTERS:
            return None
        limit = 2 if len(typed) >= MANY_LETTERS else 1
        best: tuple[int, bool, int, str] | None = None
        known = [self._by_edge[edge] for edge in _edges(typed) if edge in self._by_edge]
        for number, word in enumerate(sorted(set[str]().union(*known))):
            if number % CANDIDATES_PER_CHECK == 0:
                check()
            if len(word) < len(typed) - limit:
                continue
            whole, beginning = edits(typed, word, limit)
            for distance, is_beginning, most in ((whole, False, limit), (beginning, True, 1)):
                rank = (distance, is_beginning, -self._uses[word], word)
                if distance <= most and (best is None or rank < best):
                    best = rank
        return best[3] if best else None


def edits(typed: str, word: str, limit: int) -> tuple[int, int]:
    """How many letters to insert, drop, replace or swap to get a word, and to get its nearest beginning.

    Each is above the limit if it takes more edits than that.
    """
    letters = word[: len(typed) + limit + 1]
    before: list[int] = []
    row = list(range(len(letters) + 1))
    for number, letter in enumerate(typed, 1):
        earlier, before, row = before, row, [number]
        for place, other in enumerate(letters, 1):
            cost = min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (letter != other))
            is_swap = number > 1 and place > 1 and letter == letters[place - 2] and other == typed[number - 2]
            row.append(min(cost, earlier[place - 2] + 1) if is_swap else cost)
        if min(row) > limit and min(before) > limit:
            return limit + 1, limit + 1
    # A beginning of fewer letters than were typed would be a shorter word.
    beginnings = row[len(typed) : -1]
    return row[-1], min(beginnings, default=limit + 1)


def _words(tokens: str) -> Iterator[str]:
    """The words among tokens. Joined words and signs contain other characters."""
    return (token for token in set(tokens.split()) if len(token) >= MIN_KNOWN_LETTERS and token.isalpha())


def _edges(word: str) -> Iterable[str]:
    return (f"{word[:EDGE]}<", f">{word[-EDGE:]}")
