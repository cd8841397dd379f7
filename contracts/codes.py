"""Recognizes codes that admit whoever has them: transfer and booking codes, and the numbers of barcodes.

Public texts must not contain any, because everybody can read them. The rule would rather miss a code than
refuse an ordinary text: dates, prices, seats, telephone numbers and names such as Download2026 aren't codes.
"""

import re
import unicodedata
from itertools import groupby

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

MIN_BARCODE_DIGITS = 10
MIN_CODE_LENGTH = 8
MIN_CODE_DIGITS = 6
"""Digits that make a code of letters followed by digits, such as ABC123456. A year has fewer."""
MAX_LETTERS_IN_A_ROW = 3
"""A code in which letters and digits alternate has no longer runs of letters. Words have."""

_ADDRESS = re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE)
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+Z?)?\b")
_TIME = re.compile(r"\b\d{1,2}h(?:\d{2})?(?![a-z0-9])", re.IGNORECASE)
_MONTH = re.compile(r"\d{1,2}(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\d{2,4}", re.IGNORECASE)
_SEAT = re.compile(
    r"(?:sect?(?:ion)?|row|seats?|block|gate|tier|level|reihe|platz|rang|tor)(?=\d|$)", re.IGNORECASE
)
_GROUPS_OF_DIGITS = re.compile(r"(?<![\d+])\d{4}(?:[ -]\d{4}){2,}(?!\d)")
_DIGITS = re.compile(rf"(?<![\d+])\d{{{MIN_BARCODE_DIGITS},}}(?!\d)")
_NAMED = re.compile(
    r"(?:transfer|booking|confirmation|reservation|order|ticket|access|entry|barcode|qr)"
    r"[ -]?(?:code|number|no|nr|id|ref(?:erence)?)\.?\s*(?:is\s+)?[:#=]?\s*"
    r"(?=[A-Z0-9-]*\d)([A-Z0-9][A-Z0-9-]{4,})",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Za-z0-9]+(?:-[A-Z0-9]+)*", re.ASCII)


def without_codes(name: str) -> AfterValidator:
    """Refuse a text that seems to contain a code.

    Args:
        name: the name of the field in error messages.
    """

    def check(text: str) -> str:
        if (code := find_code(text)) is not None:
            raise PydanticCustomError(
                "text_code",
                f"{name} seems to contain a code ({code}), and everybody can read it. "
                "Write codes into the private note, which only the buyer sees",
            )
        return text

    return AfterValidator(check)


def find_code(text: str) -> str | None:
    """The first part of the text that looks like a code; None if nothing does."""
    text = _ADDRESS.sub(" ", unicodedata.normalize("NFKC", text))  # full-width letters are letters
    for pattern in (_DIGITS, _GROUPS_OF_DIGITS):
        if found := pattern.search(text):
            return found[0]
    if found := _NAMED.search(text):
        return found[1]
    for ordinary in (_DATE, _TIME, _MONTH, _SEAT):
        text = ordinary.sub(" ", text)
    tokens = (token[0] for token in _TOKEN.finditer(text))
    return next((token for token in tokens if _is_code(token.replace("-", ""))), None)


def _is_code(token: str) -> bool:
    """Whether letters and digits alternate as in AB12CD34, or many digits follow letters."""
    digits = sum(map(str.isdigit, token))
    if len(token) < MIN_CODE_LENGTH or digits < 3 or digits == len(token):
        return False
    runs = [(is_digit, len(list(run))) for is_digit, run in groupby(token, str.isdigit)]
    longest_word = max(length for is_digit, length in runs if not is_digit)
    alternates = len(runs) > 2 and longest_word <= MAX_LETTERS_IN_A_ROW
    return alternates or (digits >= MIN_CODE_DIGITS and longest_word <= MAX_LETTERS_IN_A_ROW)
