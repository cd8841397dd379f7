"""Responses with tickets, and the headers that tell the web tier how long it may keep them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from litestar import MediaType, Response

from contracts.api import POSITION, VALID_UNTIL
from contracts.api import Ticket as TicketView


def list_of_tickets(tickets: Iterable[bytes], headers: Mapping[str, str]) -> Response[list[TicketView]]:
    """A list of tickets, each of which is JSON already."""
    body: Any = b"[" + b",".join(tickets) + b"]"
    return Response(body, media_type=MediaType.JSON, headers=headers)


def freshness(position: int, changes_at: datetime | float | None = None) -> dict[str, str]:
    """The headers of a response.

    Args:
        position: of the catalogue, read before the data of the response. 0 if it isn't known.
        changes_at: when the response changes because time passes, as a time or in seconds since 1970.
    """
    headers = {POSITION: str(position)} if position else {}
    if isinstance(changes_at, float):
        changes_at = _time(changes_at)
    if changes_at is not None:
        headers[VALID_UNTIL] = changes_at.isoformat()
    return headers


def _time(seconds: float) -> datetime | None:
    """None if it is infinite or too far ahead."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError):
        return None
