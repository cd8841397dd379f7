"""The cursors of the list of tickets, which may be sorted in several ways."""

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from kit.paging import BadCursor
from services.tickets.query import UNDATED, utc
from services.tickets.search_index import Hit
from services.tickets.search_sql import ORDERS, Sort

MAX_PAGE = 100
DEFAULT_PAGE = 20

Key = tuple[Any, ...]

_PRICE: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(strict=True, ge=0, le=10**10)])
_ID = re.compile(r"[0-9a-f]{24}")


def cursor_of(hit: Hit, sort: Sort) -> str:
    """The cursor of the page after this ticket."""
    column = ORDERS[sort][0][0]
    if column == "id":
        return hit.id
    date = None if hit.starts == UNDATED else datetime.fromtimestamp(hit.starts, UTC).isoformat()
    value = date if column == "starts" else hit.price
    return base64.urlsafe_b64encode(json.dumps([value, hit.id]).encode()).decode().rstrip("=")


def key_of(cursor: str, sort: Sort) -> Key:
    """The key after which the page begins.

    Raises:
        BadCursor: it isn't a cursor of this list.
    """
    column = ORDERS[sort][0][0]
    try:
        if column == "id":
            return (_id(cursor),)
        value, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return (_PRICE.validate_python(value) if column == "price" else _starts(value), _id(key))
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error):
        raise BadCursor from None


def _starts(value: str | None) -> float:
    return UNDATED if value is None else utc(datetime.fromisoformat(value)).timestamp()


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise BadCursor
    return value
