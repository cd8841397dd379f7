"""HTTP ↔ tickets."""

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from litestar import Request, Response, Router, delete, get, post, put
from litestar.params import FromPath, QueryParameter, RequestBody

from contracts.api import Ticket as TicketView
from contracts.api import TicketBody
from contracts.problems import Problem, ProblemItem
from services.kit.http import SIGNED_IN, ApiRequest, problem_response, signed_in
from services.tickets import actions
from services.tickets.rules import EventInThePast
from services.tickets.search import DEFAULT_PAGE, MAX_PAGE, Query, Sort, of_seller, search
from services.tickets.views import view_of


def _names_the_date(_: Request[Any, Any, Any], error: EventInThePast) -> Response[bytes]:
    """As a body is refused that is wrong by itself, so that forms show it at the field."""
    problem = Problem.of(error.status, error.detail, code=error.code)
    item = ProblemItem(message=error.detail, field="startsAt")
    return problem_response(problem.model_copy(update={"errors": [item]}))


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
    return Response([view_of(ticket) for ticket in page.tickets], headers=headers)


@get("/mine", guards=[signed_in], security=SIGNED_IN, summary="All that I ever offered, newest first")
async def my_tickets(request: ApiRequest) -> list[TicketView]:
    return [view_of(ticket) for ticket in await of_seller(request.user.id)]


@get("/{ticket_id:str}", summary="A ticket")
async def show_ticket(ticket_id: FromPath[str]) -> TicketView:
    return view_of(await actions.show(ticket_id))


@post("/", guards=[signed_in], security=SIGNED_IN, summary="Offer a ticket")
async def offer_ticket(request: ApiRequest, data: RequestBody[TicketBody]) -> TicketView:
    return view_of(await actions.offer(request.user.id, data))


@put("/{ticket_id:str}", guards=[signed_in], security=SIGNED_IN, summary="Edit a ticket of mine")
async def edit_ticket(
    request: ApiRequest, ticket_id: FromPath[str], data: RequestBody[TicketBody]
) -> TicketView:
    return view_of(await actions.edit(ticket_id, request.user.id, data))


@delete("/{ticket_id:str}", guards=[signed_in], security=SIGNED_IN, summary="Take a ticket of mine off sale")
async def withdraw_ticket(request: ApiRequest, ticket_id: FromPath[str]) -> None:
    await actions.withdraw(ticket_id, request.user.id)


API = [
    Router(
        "/api/tickets",
        route_handlers=[list_tickets, my_tickets, show_ticket, offer_ticket, edit_ticket, withdraw_ticket],
        exception_handlers={EventInThePast: _names_the_date},
        tags=["tickets"],
    )
]
