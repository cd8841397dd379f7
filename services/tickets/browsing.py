"""HTTP ↔ the tickets that can be bought."""

from datetime import datetime
from typing import Annotated

from litestar import Response, get
from litestar.datastructures import ResponseHeader
from litestar.params import FromPath, QueryParameter

from contracts.api import Facets
from contracts.api import Ticket as TicketView
from contracts.tickets import Category
from contracts.wire import now
from services.kit.http import ApiRequest
from services.tickets import actions
from services.tickets.catalogue import Catalogue, OnSale
from services.tickets.paging import DEFAULT_PAGE, MAX_PAGE, ORDERS, Sort, link_to_next, page
from services.tickets.search import Query, When, entry_of, facets, find, similar
from services.tickets.views import view_of

TOTAL = "X-Total-Count"

Text = Annotated[str, QueryParameter(name="q", max_length=200)]
City = Annotated[str, QueryParameter(name="city", max_length=200)]
OfCategory = Annotated[Category | None, QueryParameter(name="category")]
From = Annotated[datetime | None, QueryParameter(name="from")]
To = Annotated[datetime | None, QueryParameter(name="to")]
Days = Annotated[When | None, QueryParameter(name="when")]
MinPrice = Annotated[float | None, QueryParameter(name="minPrice", ge=0, le=1e9)]
MaxPrice = Annotated[float | None, QueryParameter(name="maxPrice", ge=0, le=1e9)]


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
    query = Query(text, city, category, starts_from, starts_to, when, min_price, max_price)
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
    query = Query(text, city, category, starts_from, starts_to, when, min_price, max_price)
    return facets((await _on_sale(request)).by("id"), query, now())


@get("/{ticket_id:str}/similar", summary="A few others that can be bought, the soonest first")
async def show_similar(request: ApiRequest, ticket_id: FromPath[str]) -> list[TicketView]:
    """Of the same city or category, or with a word in common."""
    ticket = entry_of(view_of(await actions.show(ticket_id)))
    found = similar((await _on_sale(request)).by("id"), ticket, now())
    return [entry.ticket for entry in found]


ROUTES = (list_tickets, show_facets, show_similar)


async def _on_sale(request: ApiRequest) -> OnSale:
    catalogue: Catalogue = request.app.state.catalogue
    return await catalogue.on_sale()
