"""Pages by key: a page begins beyond the last one's end, whatever came and went meanwhile."""

import base64
import binascii
import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import Field, TypeAdapter

from services.kit.errors import Invalid
from services.tickets.search import UNDATED, Entry, utc

Sort = Literal["newest", "price", "-price", "date"]
Order = Literal["id", "price", "date"]
"""What the list is kept sorted by, from low to high."""

MAX_PAGE = 100
DEFAULT_PAGE = 20

Key = tuple[Any, ...]

ORDERS: Mapping[Sort, tuple[Order, bool]] = {
    "newest": ("id", True),
    "price": ("price", False),
    "-price": ("price", True),
    "date": ("date", False),
}
"""Of each sort: its order, and whether it is from high to low."""

KEYS: Mapping[Order, Callable[[Entry], Key]] = {
    "id": lambda entry: (entry.id,),
    "price": lambda entry: (entry.price_minor, entry.id),
    "date": lambda entry: (entry.starts, entry.id),
}
"""The id makes each unique. Those without a date are the last."""

_PRICE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(strict=True, ge=0, le=10**10)])
_ID = re.compile(r"[0-9a-f]{24}")


class BadCursor(Invalid):
    message = "After isn't a page of this list"


@dataclass(frozen=True)
class Page:
    """Some of the entries, and the key to the next ones, if there are more."""

    entries: Sequence[Entry]
    after: str | None


def page(entries: Sequence[Entry], sort: Sort, after: str | None, limit: int) -> Page:
    """A page of the entries, which are in the order that belongs to the sort.

    Raises:
        BadCursor: `after` doesn't come from this list.
    """
    order, downwards = ORDERS[sort]
    cursor = None if after is None else _key(order, after)
    if downwards:
        end = len(entries) if cursor is None else bisect_left(entries, cursor, key=KEYS[order])
        start = max(end - limit, 0)
        shown, more = entries[start:end][::-1], start > 0
    else:
        start = 0 if cursor is None else bisect_right(entries, cursor, key=KEYS[order])
        shown, more = entries[start : start + limit], start + limit < len(entries)
    return Page(shown, _cursor(order, shown[-1]) if more else None)


def link_to_next(path: str, query: Iterable[tuple[str, str]], after: str | None) -> dict[str, str]:
    """The header that leads to the next page of the same list (RFC 8288), if there is one."""
    if after is None:
        return {}
    parameters = [(name, value) for name, value in query if name != "after"]
    return {"Link": f'<{path}?{urlencode([*parameters, ("after", after)])}>; rel="next"'}


def _cursor(order: Order, entry: Entry) -> str:
    if order == "id":
        return entry.id
    date = None if entry.starts == UNDATED else datetime.fromtimestamp(entry.starts, UTC).isoformat()
    value = date if order == "date" else entry.price_minor
    return base64.urlsafe_b64encode(json.dumps([value, entry.id]).encode()).decode().rstrip("=")


def _key(order: Order, cursor: str) -> Key:
    try:
        if order == "id":
            return (_id(cursor),)
        value, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return (_PRICE.validate_python(value) if order == "price" else _starts(value), _id(key))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise BadCursor from None


def _starts(value: str | None) -> float:
    return UNDATED if value is None else utc(datetime.fromisoformat(value)).timestamp()


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise BadCursor
    return value
