"""HTTP API of the tickets that are on sale."""

import re
from datetime import date, datetime
from typing import Annotated, Literal

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.openapi.spec import OpenAPIFormat, OpenAPIHeader, OpenAPIType, Schema
from litestar.params import QueryParameter

from contracts.api import Facets
from contracts.api import Ticket as TicketView
from contracts.tickets import CategoryName
from contracts.wire import now
from kit.errors import Invalid
from kit.http.limits import Limited, LocalNetwork
from kit.http.openapi import PageOperation, PathId, refusals
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.paging import BadCursor, link_to_next
from services.tickets import actions
from services.tickets.catalogue import Catalogue
from services.tickets.paging import DEFAULT_PAGE, MAX_PAGE, cursor_of, key_of
from services.tickets.query import Bound, Query, When, utc
from services.tickets.responses import freshness, list_of_tickets
from services.tickets.search_index import Hit, SearchIndex
from services.tickets.search_sql import Sort
from services.tickets.views import view_of

TOTAL = "X-Total-Count"

BOUND = "a day in the time zone of the event, or a time"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Text = Annotated[str, QueryParameter(name="q", max_length=200)]
City = Annotated[str, QueryParameter(name="city", max_length=200)]
OfCategory = Annotated[CategoryName | None, QueryParameter(name="category")]
_A_BOUND = {
    "any_of": [
        Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE),
        Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.DATE_TIME),
    ],
}
From = Annotated[
    str | None,
    QueryParameter(
        name="from", description=f"The earliest start of the event: {BOUND}", schema_extra=_A_BOUND
    ),
]
To = Annotated[
    str | None,
    QueryParameter(name="to", description=f"The latest start of the event: {BOUND}", schema_extra=_A_BOUND),
]
Days = Annotated[When | None, QueryParameter(name="when")]
_NOT_NEGATIVE = {"minimum": 0}  # Litestar 2.25 ignores a bound of 0
MinPrice = Annotated[float | None, QueryParameter(name="minPrice", ge=0, le=1e9, schema_extra=_NOT_NEGATIVE)]
MaxPrice = Annotated[float | None, QueryParameter(name="maxPrice", ge=0, le=1e9, schema_extra=_NOT_NEGATIVE)]

OfDelivery = Annotated[
    Literal["instant"] | None,
    QueryParameter(name="delivery", description="Only tickets whose files the buyer gets on payment"),
]


InjectedCatalogue = NamedDependency[Catalogue]

SEARCHES = Limited("search", "rate_search", by=LocalNetwork())
"""Repeated searches are answered by the list cache in front of this API, and don't count."""


class SearchOperation(PageOperation):
    headers = {
        **PageOperation.headers,
        TOTAL: OpenAPIHeader(
            schema=Schema(type=OpenAPIType.INTEGER, minimum=0), description="Number of matches on all pages"
        ),
    }


@get(
    "/",
    exclude_from_auth=True,
    guards=[SEARCHES],
    operation_class=SearchOperation,
    summary="Tickets that can be bought",
    responses=refusals(BadCursor),
)
async def list_tickets(
    request: ApiRequest,
    catalogue: InjectedCatalogue,
    text: Text = "",
    city: City = "",
    category: OfCategory = None,
    starts_from: From = None,
    starts_to: To = None,
    when: Days = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    delivery: OfDelivery = None,
    sort: Annotated[Sort, QueryParameter(name="sort")] = "newest",
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
) -> Response[list[TicketView]]:
    """One page of the matching tickets. The `Link` header has the address of the next page, if any. Prices
    are compared per ticket. If no ticket has the words of `q`, similar words are searched."""
    dates = bound("starts_from", starts_from), bound("starts_to", starts_to)
    query = Query(text, city, category, *dates, when, min_price, max_price, delivery is not None)
    key = None if after is None else key_of(after, sort)
    moment = now()

    def search(index: SearchIndex) -> tuple[list[Hit], int, float]:
        found = index.find(index.corrected(query), sort, key, limit + 1, moment)
        return *found, index.changes_at(query, moment)

    position = catalogue.position
    hits, total, changes_at = await catalogue.search(search, moment)
    shown = hits[:limit]
    following = cursor_of(shown[-1], sort) if len(hits) > limit else None
    link = link_to_next("/api/tickets", request.query_params.multi_items(), following)
    return list_of_tickets(
        (hit.body for hit in shown), {TOTAL: str(total), **link, **freshness(position, changes_at)}
    )


@get(
    "/facets",
    exclude_from_auth=True,
    guards=[SEARCHES],
    summary="The filter values of the tickets that can be bought",
)
async def show_facets(
    catalogue: InjectedCatalogue,
    text: Text = "",
    city: City = "",
    category: OfCategory = None,
    starts_from: From = None,
    starts_to: To = None,
    when: Days = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    delivery: OfDelivery = None,
) -> Response[Facets]:
    """Takes the same filters as the list of tickets. A chosen city doesn't hide the other cities, nor a
    chosen category the other categories, so that users can choose another. `corrected` says which words were
    searched if no ticket has those of `q`."""
    dates = bound("starts_from", starts_from), bound("starts_to", starts_to)
    query = Query(text, city, category, *dates, when, min_price, max_price, delivery is not None)
    moment = now()

    def search(index: SearchIndex) -> tuple[Facets, float]:
        wanted = index.corrected(query)
        counted = index.facets(wanted, moment)
        if wanted is not query:
            counted = counted.model_copy(update={"corrected": wanted.text})
        return counted, index.changes_at(query, moment)

    position = catalogue.position
    found, changes_at = await catalogue.search(search, moment)
    return ModelResponse(found, headers=freshness(position, changes_at))


@get(
    "/{ticket_id:str}/similar",
    exclude_from_auth=True,
    guards=[SEARCHES],
    summary="A few similar tickets that can be bought, the soonest first",
)
async def show_similar(ticket_id: PathId, catalogue: InjectedCatalogue) -> Response[list[TicketView]]:
    """Tickets that have the city, the category or a word in common with this ticket."""
    position = catalogue.position
    ticket = view_of(await actions.show(ticket_id), viewer=None)
    moment = now()

    def search(index: SearchIndex) -> tuple[list[Hit], float]:
        return index.similar(ticket), index.changes_at(Query(), moment)

    found, changes_at = await catalogue.search(search, moment)
    return list_of_tickets((hit.body for hit in found), freshness(position, changes_at))


ROUTES = (list_tickets, show_facets, show_similar)


def bound(argument: str, given: str | None) -> Bound | None:
    """Parse an argument of a handler that is a day or a time.

    Raises:
        ValidationException: the argument is neither a day nor a time.
        Invalid: the time can't be represented in UTC.
    """
    if given is None:
        return None
    try:
        return date.fromisoformat(given) if _DAY.fullmatch(given) else utc(datetime.fromisoformat(given))
    except ValueError:
        raise ValidationException(extra=[{"key": argument}]) from None
    except OverflowError:
        raise Invalid("Times must be within the years 1 to 9999") from None
