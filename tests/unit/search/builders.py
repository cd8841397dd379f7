"""Tickets in a search index."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from contracts.api import Ticket
from services.tickets.query import Query
from services.tickets.search_index import Hit, SearchIndex
from services.tickets.search_sql import Sort

NEW_YEAR = datetime(2031, 1, 1, tzinfo=UTC)
SELLER = "e" * 24


def ticket(number: int, title: str = "Hamlet", price: object = 10, **fields: Any) -> Ticket:
    values = {"userId": SELLER, "version": 0, "status": "available", **fields}
    return Ticket.model_validate({"id": f"{number:024x}", "title": title, "price": price, **values})


def index_of(tickets: Iterable[Ticket]) -> SearchIndex:
    index = SearchIndex()
    for each in tickets:
        index.put(each, each.to_json().encode())
    return index


def titled(*titles: str) -> SearchIndex:
    return index_of(ticket(number, title) for number, title in enumerate(titles))


def hits(
    index: SearchIndex, query: Query, sort: Sort = "newest", now: datetime = NEW_YEAR, limit: int = 1000
) -> list[Hit]:
    index.drop_begun(now)
    found, total = index.find(query, sort, None, limit, now)
    assert len(found) == min(total, limit)
    return found


def titles(index: SearchIndex, query: Query, sort: Sort = "newest", now: datetime = NEW_YEAR) -> list[str]:
    return [Ticket.model_validate_json(hit.body).title for hit in hits(index, query, sort, now)]


def found(index: SearchIndex, text: str) -> set[str]:
    return set(titles(index, Query(text)))
