"""HTTP ↔ tickets."""

from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, post, put
from litestar.params import FromPath, HeaderParameter, RequestBody

from contracts.api import Ticket as TicketView
from contracts.api import TicketBody
from contracts.problems import Problem, ProblemItem
from services.kit.http import SIGNED_IN, ApiRequest, problem_response, signed_in
from services.tickets import actions, browsing, picture_api, sales_api
from services.tickets.rules import EventInThePast
from services.tickets.views import view_of

Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern="^[!-~]{1,100}$",
        description="Any text of the caller's, 1 to 100 visible ASCII characters. An offer that is repeated "
        "with its key is the same offer: the answer is the ticket that the first one made",
    ),
]


def _names_the_date(_: Request[Any, Any, Any], error: EventInThePast) -> Response[bytes]:
    """As a body is refused that is wrong by itself, so that forms show it at the field."""
    problem = Problem.of(error.status, error.detail, code=error.code)
    item = ProblemItem(message=error.detail, field="startsAt")
    return problem_response(problem.model_copy(update={"errors": [item]}))


@get("/{ticket_id:str}", summary="A ticket")
async def show_ticket(ticket_id: FromPath[str]) -> TicketView:
    return view_of(await actions.show(ticket_id))


@post("/", guards=[signed_in], security=SIGNED_IN, summary="Offer a ticket")
async def offer_ticket(
    request: ApiRequest, data: RequestBody[TicketBody], idempotency_key: Key = None
) -> TicketView:
    return view_of(await actions.offer(request.user.id, data, idempotency_key))


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
        route_handlers=[
            *browsing.ROUTES,
            *picture_api.ROUTES,
            *sales_api.ROUTES,
            show_ticket,
            offer_ticket,
            edit_ticket,
            withdraw_ticket,
        ],
        exception_handlers={EventInThePast: _names_the_date},
        tags=["tickets"],
    )
]
