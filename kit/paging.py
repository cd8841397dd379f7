"""Keyset pagination: a page starts after the last entry of the previous page, whatever has changed since."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from beanie import Document
from bson import ObjectId
from pymongo import DESCENDING

from kit.errors import Invalid


class BadCursor(Invalid):
    message = "After must be a cursor of this list"


def link_to_next(path: str, query: Iterable[tuple[str, str]], after: str | None) -> dict[str, str]:
    """The `Link` header with the next page of the list (RFC 8288), if any."""
    if after is None:
        return {}
    parameters = [(name, value) for name, value in query if name != "after"]
    return {"Link": f'<{path}?{urlencode([*parameters, ("after", after)])}>; rel="next"'}


async def newest_first(
    kind: type[Document], which: Mapping[str, Any], fields: Mapping[str, Any], after: str | None, limit: int
) -> tuple[Sequence[dict[str, Any]], str | None]:
    """A page of stored documents, newest first, and the cursor of the next page, if any.

    Args:
        which: the filter. It must not contain `_id`.
        after: the cursor of the page. None for the first page.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    older = {}
    if after is not None:
        if not ObjectId.is_valid(after):
            raise BadCursor
        older = {"_id": {"$lt": ObjectId(after)}}
    # One more than asked for shows whether there is another page.
    found = await (
        kind.get_pymongo_collection()
        .find({**which, **older}, fields, sort=[("_id", DESCENDING)], limit=limit + 1)
        .to_list()
    )
    shown = found[:limit]
    return shown, str(shown[-1]["_id"]) if len(found) > limit else None
