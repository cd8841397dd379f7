"""Find tickets: filters, sorts and pages by key."""

import base64
import binascii
import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from beanie import SortDirection
from bson import ObjectId
from bson.errors import InvalidId
from pydantic import BaseModel, Field, TypeAdapter

from services.kit.errors import Invalid
from services.tickets.documents import Ticket

Sort = Literal["newest", "price", "-price", "date"]

MAX_PAGE = 100
DEFAULT_PAGE = 20

PRICE = TypeAdapter(Annotated[int, Field(strict=True, ge=0, le=10**10)])

_FIELDS: Mapping[Sort, tuple[str, SortDirection]] = {
    "newest": ("_id", SortDirection.DESCENDING),
    "price": ("price_minor", SortDirection.ASCENDING),
    "-price": ("price_minor", SortDirection.DESCENDING),
    "date": ("starts_at", SortDirection.ASCENDING),
}


class BadCursor(Invalid):
    message = "After isn't a page of this list"


class Query(BaseModel):
    """What somebody looks for among the tickets that can be bought."""

    text: str = ""
    starts_from: datetime | None = None
    starts_to: datetime | None = None
    min_price: float | None = None
    max_price: float | None = None
    sort: Sort = "newest"
    after: str | None = None
    limit: int = DEFAULT_PAGE


class Page(BaseModel):
    """Some of the tickets, and the key to the next ones, if there are more."""

    tickets: Sequence[Ticket]
    after: str | None


def words(*texts: str | None) -> list[str]:
    """The distinct words in the texts, without case and accents: "Café Ümlaut" → ["cafe", "umlaut"]."""
    joined = unicodedata.normalize("NFKD", " ".join(text for text in texts if text)).casefold()
    bare = "".join(letter for letter in joined if not unicodedata.combining(letter))
    return sorted(set(re.findall(r"\w+", bare)))


async def search(query: Query) -> Page:
    """A page of the tickets that can be bought.

    Raises:
        BadCursor: `after` doesn't come from this list.
    """
    field, direction = _FIELDS[query.sort]
    order = [(field, direction)] if field == "_id" else [(field, direction), ("_id", direction)]
    found = Ticket.find(_filter(query), sort=order, limit=query.limit + 1)
    tickets = await found.to_list()
    more = len(tickets) > query.limit
    tickets = tickets[: query.limit]
    return Page(tickets=tickets, after=_cursor(tickets[-1], query.sort) if more else None)


async def of_seller(seller: str) -> list[Ticket]:
    """All that somebody ever offered, newest first."""
    return await Ticket.find({"user_id": seller}, sort="-_id", limit=1000).to_list()


def _filter(query: Query) -> dict[str, Any]:
    conditions: list[dict[str, Any]] = [{"status": "available"}]
    # Words match by prefix, so that a search finds while it is typed.
    conditions += [{"words": {"$regex": f"^{re.escape(word)}"}} for word in words(query.text)]
    for field, operator, bound in (
        ("starts_at", "$gte", _bound(query.starts_from)),
        ("starts_at", "$lte", _bound(query.starts_to)),
        ("price_minor", "$gte", _minor(query.min_price)),
        ("price_minor", "$lte", _minor(query.max_price)),
    ):
        if bound is not None:
            conditions.append({field: {operator: bound}})
    if query.sort == "date":
        conditions.append({"starts_at": {"$ne": None}})
    if query.after is not None:
        conditions.append(_beyond(query.sort, query.after))
    return conditions[0] if len(conditions) == 1 else {"$and": conditions}


def _minor(price: float | None) -> int | None:
    """A bound needs no exactness beyond the minor unit."""
    if price is None:
        return None
    if not math.isfinite(price):
        raise Invalid("Prices must be numbers")
    return round(price * 100)


def _utc(moment: datetime) -> datetime:
    """In UTC, which is meant where no time zone is named.

    Raises:
        OverflowError: UTC can't tell it.
    """
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _bound(moment: datetime | None) -> datetime | None:
    try:
        return None if moment is None else _utc(moment)
    except OverflowError:
        raise Invalid("Times must be within the years 1 to 9999") from None


def _cursor(ticket: Ticket, sort: Sort) -> str:
    """Where a page ends: the sort field's value and the id, which makes it unique."""
    if sort == "newest":
        return ticket.key
    value = ticket.starts_at.isoformat() if sort == "date" and ticket.starts_at else ticket.price_minor
    return base64.urlsafe_b64encode(json.dumps([value, ticket.key]).encode()).decode().rstrip("=")


def _beyond(sort: Sort, cursor: str) -> dict[str, Any]:
    field, direction = _FIELDS[sort]
    operator = "$gt" if direction is SortDirection.ASCENDING else "$lt"
    try:
        if sort == "newest":
            return {"_id": {operator: ObjectId(cursor)}}
        value, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        value = _utc(datetime.fromisoformat(value)) if sort == "date" else PRICE.validate_python(value)
        return {"$or": [{field: {operator: value}}, {field: value, "_id": {operator: ObjectId(str(key))}}]}
    except (InvalidId, ValueError, TypeError, OverflowError, binascii.Error):
        raise BadCursor from None
