"""Folding: what a text and a search have in common, whatever their case, accents and punctuation.

Both are split into the same tokens, so that a search finds "Köln" by `koln` and `koeln`, "AC/DC" by `acdc`,
"Linkin Park" by `linkinpark`, and a Chinese, Japanese, Korean or Thai text by any part of it. SQLite only
looks tokens up (services/tickets/search_index.py).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

MAX_JOINED = 3
"""Up to this many consecutive words of a text are also found if they are typed as one."""

FIELD_BREAK = "|"
"""A token between two fields, and between two signs that don't follow each other."""

JOINED = "="
"""The first character of a token that stands for several words."""

# Letters that Unicode doesn't decompose into a base letter and an accent.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"}
)

# The spelling without umlauts that Germans and Scandinavians use. The others drop the accent: "Müller" is
# found as "Muller" and as "Mueller".
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})

_SCRIPTS_WITHOUT_SPACES = (
    "\u0e00-\u0eff"  # Thai and Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese and Khmer
    "\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff"  # the letters into which NFKD splits Korean syllables
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u303c\u3040-\u31ff"  # Japanese, and Chinese radicals
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"  # Chinese
)
_SINGLE = re.compile(f"[{_SCRIPTS_WITHOUT_SPACES}]")

# Between or around words, these signs are punctuation. Others, such as "!!!" and "🎸", can be a name.
_SEPARATORS = frozenset(".,;:&+/|'\"·•~_\\`")
_SEPARATOR_CATEGORIES = frozenset({"Pd", "Ps", "Pe", "Pi", "Pf"})


@dataclass(frozen=True, slots=True)
class Phrase:
    """Tokens that have to follow each other."""

    tokens: tuple[str, ...]
    is_prefix: bool = False
    """Whether the last token may be the beginning of a longer one, because the user may still be typing."""


Term = tuple[Phrase, ...]
"""Alternatives, of which a text has to contain one."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Characters of one kind that follow each other in a text."""

    kind: str
    """"word", "single" (each character is a token) or "sign"."""
    text: str


def words(*texts: str | None) -> list[str]:
    """The distinct words in the texts, without case and accents: "Café Ümlaut" → ["cafe", "umlaut"]."""
    return sorted({word for text in texts if text for word in _words(_fold(text))})


def slug(text: str) -> str:
    """A text for use in URLs: "São Paulo" → "sao-paulo"."""
    return "-".join(_words(_fold(text)))


def tokens(*fields: str | None) -> str:
    """All tokens under which the fields are found, separated and surrounded by spaces."""
    found: list[str] = []
    others: dict[str, None] = {}
    signs: list[str] = []
    for field in fields:
        if not field:
            continue
        chunks = _chunks(_fold(field))
        for chunk in chunks:
            for run in chunk:
                if run.kind == "sign":
                    signs += [*run.text, FIELD_BREAK]
                else:
                    found += run.text if run.kind == "single" else [run.text]
        found.append(FIELD_BREAK)
        others |= dict.fromkeys(_other_spellings(chunks))
        if (spelled_out := _spelled_out(field)) is not None:
            chunks = _chunks(spelled_out)
            others |= dict.fromkeys(run.text for chunk in chunks for run in chunk if run.kind == "word")
            others |= dict.fromkeys(_other_spellings(chunks))
    return f" {' '.join([*found, *others, FIELD_BREAK, *signs])} "


@lru_cache(maxsize=4096)
def terms(text: str) -> tuple[Term, ...]:
    """What a text has to contain to match a search. Nothing if the search has no visible character."""
    plain = _chunks(_fold(text))
    spelled_out = _chunks(_spelled_out(text) or _fold(text))
    wanted = dict.fromkeys((*_word_terms(plain, spelled_out), *_single_terms(plain)))
    has_words = bool(wanted)
    wanted |= dict.fromkeys(_sign_terms(plain, has_words=has_words))
    return tuple(wanted)


def typed_words(text: str) -> list[str]:
    """The words of a search in their order, folded, without scripts that have no spaces."""
    return _words_of(_chunks(_fold(text)))


def phrase_of(word: str) -> Phrase:
    """A whole word, as `words` returns it."""
    (runs,) = _chunks(word)
    return Phrase(
        tuple(token for run in runs for token in (run.text if run.kind == "single" else [run.text]))
    )


def _word_terms(plain: Sequence[Sequence[_Run]], spelled_out: Sequence[Sequence[_Run]]) -> Iterator[Term]:
    """One term for each word: the beginning of a word, or all of several words.

    "Cold Play" also finds "Coldplay", so each word may also be joined with its neighbor.
    """
    spellings = [_words_of(plain), _words_of(spelled_out)]
    if len(spellings[0]) != len(spellings[1]):  # never seen, but spelling out is only an addition
        spellings[1] = spellings[0]
    for number in range(len(spellings[0])):
        alternatives: dict[Phrase, None] = {}
        for found in spellings:
            word = found[number]
            alternatives[Phrase((word,), is_prefix=True)] = None
            alternatives[Phrase((JOINED + word,))] = None
            if number > 0:
                alternatives[Phrase((found[number - 1] + word,), is_prefix=True)] = None
            if number + 1 < len(found):
                alternatives[Phrase((word + found[number + 1],), is_prefix=True)] = None
        yield tuple(alternatives)


def _single_terms(chunks: Sequence[Sequence[_Run]]) -> Iterator[Term]:
    for chunk in chunks:
        for run in chunk:
            if run.kind == "single":
                yield (Phrase(tuple(run.text)),)


def _sign_terms(chunks: Sequence[Sequence[_Run]], *, has_words: bool) -> Iterator[Term]:
    """Signs that are names of their own. Punctuation isn't, unless nothing else is searched."""
    for chunk in chunks:
        is_alone = len(chunk) == 1
        for run in chunk:
            if run.kind != "sign":
                continue
            if is_alone and not (has_words and all(map(_separates, run.text))):
                yield (Phrase(tuple(_unquoted(run.text))),)
            elif not is_alone:
                for symbol in run.text:
                    if unicodedata.category(symbol) == "So":
                        yield (Phrase((symbol,)),)


def _unquoted(signs: str) -> str:
    """Signs without the brackets and quotes around them, unless there is nothing else."""
    inner = [number for number, sign in enumerate(signs) if not _encloses(sign)]
    return signs[inner[0] : inner[-1] + 1] if inner else signs


def _encloses(sign: str) -> bool:
    return sign in "\"'" or unicodedata.category(sign) in {"Ps", "Pe", "Pi", "Pf"}


def _separates(sign: str) -> bool:
    return sign in _SEPARATORS or unicodedata.category(sign) in _SEPARATOR_CATEGORIES


def _other_spellings(chunks: Sequence[Sequence[_Run]]) -> Iterator[str]:
    """Words joined within a chunk ("AC/DC" → acdc), and tokens for neighboring words ("Linkin Park")."""
    words_of_chunks: list[str] = []
    for chunk in chunks:
        in_chunk = _words_of([chunk])
        for start in range(len(in_chunk) - 1):
            yield "".join(in_chunk[start:])
        words_of_chunks += in_chunk
    for start in range(len(words_of_chunks)):
        for length in range(2, min(MAX_JOINED, len(words_of_chunks) - start) + 1):
            yield JOINED + "".join(words_of_chunks[start : start + length])


def _words_of(chunks: Iterable[Iterable[_Run]]) -> list[str]:
    return [run.text for chunk in chunks for run in chunk if run.kind == "word"]


def _words(folded: str) -> Iterator[str]:
    """The words, in which also scripts without spaces are whole."""
    for chunk in folded.split():
        word = ""
        for letter in chunk:
            if _is_letter(letter):
                word += letter
            elif word:
                yield word
                word = ""
        if word:
            yield word


def _chunks(folded: str) -> list[list[_Run]]:
    """The runs in each part of the text that is surrounded by spaces."""
    chunks = []
    for part in folded.split():
        runs: list[_Run] = []
        kinds = [_kind(character) for character in part]
        start = 0
        for end, (kind, following) in enumerate(pairwise([*kinds, ""]), 1):
            if kind != following:
                runs.append(_Run(kind, part[start:end]))
                start = end
        chunks.append(runs)
    return chunks


@lru_cache(maxsize=8192)
def _kind(character: str) -> str:
    if _SINGLE.match(character):
        return "single"
    return "word" if _is_letter(character) else "sign"


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM" or unicodedata.category(character) == "Co"


def _spelled_out(text: str) -> str | None:
    """The folded text with its umlauts as two letters; None if it has none."""
    composed = unicodedata.normalize("NFC", text).casefold()
    translated = composed.translate(_SPELLED_OUT)
    return None if translated == composed else _fold(translated)


def _fold(text: str) -> str:
    """The text without case, accents and characters that aren't visible."""
    if text.isascii():
        return "".join(character if character.isprintable() else " " for character in text.lower())
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join(_visible(character) for character in folded).translate(_PLAIN)


@lru_cache(maxsize=8192)
def _visible(character: str) -> str:
    """The character; nothing for an accent, a variation selector and a joiner; a space for a control."""
    category = unicodedata.category(character)
    if unicodedata.combining(character) or category in {"Cf", "Me"} or _is_variation_selector(character):
        return ""
    return " " if category[0] in "ZC" and category != "Co" else character


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
