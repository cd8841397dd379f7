"""HTTP ↔ tickets."""

from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, QueryParameter, RequestBody

from contracts.api import Ticket as TicketView
from contracts.api import TicketBody
from contracts.money import from_minor_units
from services.kit.http import SIGNED_IN, ApiRequest, signed_in
from services.tickets import actions
from services.tickets.documents import Ticket
from services.tickets.search import DEFAULT_PAGE, MAX_PAGE, Query, Sort, of_seller, search


@get("/", summary="Tickets that can be bought")
async def list_tickets(
    request: ApiRequest,
    text: Annotated[str, QueryParameter(name="q", max_length=200)] = "",
    starts_from: Annotated[datetime | None, QueryParameter(name="from")] = None,
    starts_to: Annotated[datetime | None, QueryParameter(name="to")] = None,
    min_price: Annotated[float | None, QueryParameter(name="minPrice", ge=0, le=1e9)] = None,
    max_price: Annotated[float | None, QueryParameter(name="maxPrice", ge=0, le=1e9)] = None,
    sort: Annotated[Sort, QueryParameter(name="sort")] = "newest",
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
) -> Response[list[TicketView]]:
    """A page; the `Link` header leads to the next one, if there is more."""
    query = Query(
        text=text,
        starts_from=starts_from,
        starts_to=starts_to,
        min_price=min_price,
        max_price=max_price,
        sort=sort,
        after=after,
        limit=limit,
    )
    page = await search(query)
    headers = {}
    if page.after is not None:
        parameters = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
        following = urlencode([*parameters, ("after", page.after)])
        headers["Link"] = f'</api/tickets?{following}>; rel="next"'
    return Response([_view(ticket) for ticket in page.tickets], headers=headers)


@get("/mine", guards=[signed_in], security=SIGNED_IN, summary="All that I ever offered, newest first")
async def my_tickets(request: ApiRequest) -> list[TicketView]:
    return [_view(ticket) for ticket in await of_seller(request.user.id)]


@get("/{ticket_id:str}", summary="A ticket")
async def show_ticket(ticket_id: FromPath[str]) -> TicketView:
    return _view(await actions.show(ticket_id))


@post("/", guards=[signed_in], security=SIGNED_IN, summary="Offer a ticket")
async def offer_ticket(request: ApiRequest, data: RequestBody[TicketBody]) -> TicketView:
    return _view(await actions.offer(request.user.id, data))


@put("/{ticket_id:str}", guards=[signed_in], security=SIGNED_IN, summary="Edit a ticket of mine")
async def edit_ticket(
    request: ApiRequest, ticket_id: FromPath[str], data: RequestBody[TicketBody]
) -> TicketView:
    return _view(await actions.edit(ticket_id, request.user.id, data))


@delete("/{ticket_id:str}", guards=[signed_in], security=SIGNED_IN, summary="Take a ticket of mine off sale")
async def withdraw_ticket(request: ApiRequest, ticket_id: FromPath[str]) -> None:
    await actions.withdraw(ticket_id, request.user.id)


API = [
    Router(
        "/api/tickets",
        route_handlers=[list_tickets, my_tickets, show_ticket, offer_ticket, edit_ticket, withdraw_ticket],
        tags=["tickets"],
    )
]


def _view(ticket: Ticket) -> TicketView:
    return TicketView(
        id=ticket.key,
        title=ticket.title,
        price=from_minor_units(ticket.price_minor),
        user_id=ticket.user_id,
        version=ticket.version,
        status=ticket.status,
        order_id=ticket.order_id,
        starts_at=ticket.starts_at,
        venue=ticket.venue,
        city=ticket.city,
    )
