"""HTTP ↔ the tickets that can be bought."""

import re
from datetime import date, datetime
from typing import Annotated

from litestar import Response, get
from litestar.datastructures import ResponseHeader
from litestar.exceptions import ValidationException
from litestar.params import FromPath, QueryParameter

from contracts.api import Facets
from contracts.api import Ticket as TicketView
from contracts.tickets import Category
from contracts.wire import now
from services.kit.errors import Invalid
from services.kit.http import ApiRequest
from services.tickets import actions
from services.tickets.catalogue import Catalogue, OnSale
from services.tickets.paging import DEFAULT_PAGE, MAX_PAGE, ORDERS, Sort, link_to_next, page
from services.tickets.search import Bound, Query, When, entry_of, facets, find, similar, utc
from services.tickets.views import view_of

TOTAL = "X-Total-Count"

BOUND = "a day by the clocks where the event is, or a time"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Text = Annotated[str, QueryParameter(name="q", max_length=200)]
City = Annotated[str, QueryParameter(name="city", max_length=200)]
OfCategory = Annotated[Category | None, QueryParameter(name="category")]
_A_BOUND = {"anyOf": [{"format": "date"}, {"format": "date-time"}]}
From = Annotated[
    str | None,
    QueryParameter(name="from", description=f"Begins then or later: {BOUND}", schema_extra=_A_BOUND),
]
To = Annotated[
    str | None,
    QueryParameter(name="to", description=f"Begins then or earlier: {BOUND}", schema_extra=_A_BOUND),
]
Days = Annotated[When | None, QueryParameter(name="when")]
_NOT_NEGATIVE = {"minimum": 0}  # Litestar 2.25 doesn't tell a bound of 0 from none
MinPrice = Annotated[float | None, QueryParameter(name="minPrice", ge=0, le=1e9, schema_extra=_NOT_NEGATIVE)]
MaxPrice = Annotated[float | None, QueryParameter(name="maxPrice", ge=0, le=1e9, schema_extra=_NOT_NEGATIVE)]


@get(
    "/",
    summary="Tickets that can be bought",
    response_headers=[
        ResponseHeader(name=TOTAL, documentation_only=True, description="How many match in all"),
        ResponseHeader(name="Link", documentation_only=True, description="The next page, if there is one"),
    ],
)
async def list_tickets(
    request: ApiRequest,
    text: Text = "",
    city: City = "",
    category: OfCategory = None,
    starts_from: From = None,
    starts_to: To = None,
    when: Days = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    sort: Annotated[Sort, QueryParameter(name="sort")] = "newest",
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
) -> Response[list[TicketView]]:
    """A page; the `Link` header leads to the next one, if there is more."""
    dates = _bound("starts_from", starts_from), _bound("starts_to", starts_to)
    query = Query(text, city, category, *dates, when, min_price, max_price)
    on_sale = await _on_sale(request)
    found = find(on_sale.by(ORDERS[sort][0]), query, now())
    shown = page(found, sort, after, limit)
    link = link_to_next("/api/tickets", request.query_params.multi_items(), shown.after)
    return Response([entry.ticket for entry in shown.entries], headers={TOTAL: str(len(found)), **link})


@get("/facets", summary="What the tickets that can be bought can be narrowed down to")
async def show_facets(
    request: ApiRequest,
    text: Text = "",
    city: City = "",
    category: OfCategory = None,
    starts_from: From = None,
    starts_to: To = None,
    when: Days = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
) -> Facets:
    """Filters as of the list. The cities are those of all cities, so that another one can be chosen, and so
    are the categories."""
    dates = _bound("starts_from", starts_from), _bound("starts_to", starts_to)
    query = Query(text, city, category, *dates, when, min_price, max_price)
    return facets((await _on_sale(request)).by("id"), query, now())


@get("/{ticket_id:str}/similar", summary="A few others that can be bought, the soonest first")
async def show_similar(request: ApiRequest, ticket_id: FromPath[str]) -> list[TicketView]:
    """Of the same city or category, or with a word in common."""
    ticket = entry_of(view_of(await actions.show(ticket_id)))
    found = similar((await _on_sale(request)).by("id"), ticket, now())
    return [entry.ticket for entry in found]


ROUTES = (list_tickets, show_facets, show_similar)


def _bound(argument: str, given: str | None) -> Bound | None:
    """The day or the time that is given for an argument of a handler.

    Raises:
        ValidationException: it is none.
        Invalid: UTC can't tell it.
    """
    if given is None:
        return None
    try:
        return date.fromisoformat(given) if _DAY.fullmatch(given) else utc(datetime.fromisoformat(given))
    except ValueError:
        raise ValidationException(extra=[{"key": argument}]) from None
    except OverflowError:
        raise Invalid("Times must be within the years 1 to 9999") from None


async def _on_sale(request: ApiRequest) -> OnSale:
    catalogue: Catalogue = request.app.state.catalogue
    return await catalogue.on_sale()
