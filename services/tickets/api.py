"""HTTP API of tickets."""

from typing import Annotated, Any

from litestar import Request, Response, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter, RequestBody

from contracts import price_caps
from contracts.api import PrivateNoteBody, TicketBody, WithdrawalBody
from contracts.api import Ticket as TicketView
from contracts.identity import Identity
from contracts.money import minimum_charge
from contracts.problems import Problem, ProblemItem
from contracts.wire import now
from kit.errors import AccountClosed, NotFound
from kit.http.guards import confirmed as address_confirmed
from kit.http.guards import identified, operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import CREATED_ID, OPERATORS, SIGNED_IN, ApiOperation, PathId, refusals
from kit.http.problems import problem_response
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.security_log import OPERATOR, record
from services.tickets import actions, browse_api, picture_api, rules, sales_api
from services.tickets.catalogue import Catalogue
from services.tickets.files import api as files_api
from services.tickets.reports import api as reports_api
from services.tickets.responses import freshness
from services.tickets.rules import (
    EventInThePast,
    FaceValueMissing,
    FilesExceedQuantity,
    IdempotencyKeyReused,
    NoteFinal,
    NotTheSeller,
    PriceAboveCap,
    PriceTooLow,
    Pricing,
    SameSeat,
    SeatListed,
    TicketReserved,
    TicketSold,
    TicketWithdrawn,
)
from services.tickets.shows.rules import UnknownShow
from services.tickets.views import for_viewer
from settings import Settings

Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern="^[!-~]{1,100}$",
        description="Any text of 1 to 100 visible ASCII characters. Repeating a listing with the same key "
        "and content returns the ticket that the first request created",
    ),
]

Confirmed = Annotated[
    bool,
    QueryParameter(
        name="confirmed",
        description="Whether the seller has confirmed that other listings of this seat are of others",
    ),
]


def _event_in_the_past(_: Request[Any, Any, Any], error: EventInThePast) -> Response[bytes]:
    """Report the error for the field `startsAt`, so that forms show it there, like a validation error."""
    problem = Problem.of(error.status, error.detail, code=error.code)
    item = ProblemItem(message=error.detail, field="startsAt")
    return problem_response(problem.model_copy(update={"errors": [item]}))


@get("/{ticket_id:str}", summary="A ticket")
async def show_ticket(
    request: ApiRequest, ticket_id: PathId, catalogue: NamedDependency[Catalogue]
) -> Response[TicketView]:
    """Anyone may see it. Only its seller and its buyer see `orderId`, `orderCode` and `privateNote`."""
    position = catalogue.position
    ticket = await actions.show(ticket_id)
    headers = freshness(position, rules.changes_at(ticket, now()))
    view = for_viewer(ticket, _viewer(request))
    if view.private_note is not None:
        headers["Cache-Control"] = "no-store"
    return ModelResponse(view, headers=headers)


def _pricing(settings: Settings) -> Pricing:
    return Pricing(
        currency=settings.currency,
        minimum=minimum_charge(settings.currency),
        caps=price_caps.read(settings.price_caps),
        requires_face_value=settings.require_face_value,
    )


def _viewer(request: ApiRequest) -> str | None:
    """The caller. A caller whose token can't be checked now sees what is public."""
    return request.user.id if isinstance(request.user, Identity) else None


class OfferOperation(ApiOperation):
    links = {
        "show_ticket": {"ticket_id": CREATED_ID},
        "show_similar": {"ticket_id": CREATED_ID},
        "edit_ticket": {"ticket_id": CREATED_ID},
        "set_private_note": {"ticket_id": CREATED_ID},
        "set_picture": {"ticket_id": CREATED_ID},
        "remove_picture": {"ticket_id": CREATED_ID},
        "withdraw_ticket": {"ticket_id": CREATED_ID},
        "show_seller": {"user_id": "$response.body#/userId"},
    }


@post(
    "/",
    guards=[signed_in, address_confirmed, identified, Limited("list", "rate_list")],
    operation_class=OfferOperation,
    security=SIGNED_IN,
    summary="Offer a ticket",
    responses=refusals(
        *(EventInThePast, PriceTooLow, PriceAboveCap, FaceValueMissing, UnknownShow),
        *(IdempotencyKeyReused, AccountClosed, SameSeat, SeatListed),
    ),
)
async def offer_ticket(
    request: ApiRequest,
    data: RequestBody[TicketBody],
    settings: NamedDependency[Settings],
    idempotency_key: Key = None,
    confirmed: Confirmed = False,
) -> Response[TicketView]:
    pricing = _pricing(settings)
    ticket = await actions.offer(request.user.id, data, idempotency_key, pricing, confirmed=confirmed)
    return ModelResponse(for_viewer(ticket, request.user.id))


@put(
    "/{ticket_id:str}",
    guards=[signed_in, Limited("edit", "rate_change")],
    security=SIGNED_IN,
    summary="Edit a ticket",
    responses=refusals(
        *(EventInThePast, PriceTooLow, PriceAboveCap, FaceValueMissing, UnknownShow),
        *(NotTheSeller, TicketReserved, TicketSold, TicketWithdrawn),
        *(FilesExceedQuantity, SameSeat, SeatListed),
    ),
)
async def edit_ticket(
    request: ApiRequest,
    ticket_id: PathId,
    data: RequestBody[TicketBody],
    settings: NamedDependency[Settings],
    confirmed: Confirmed = False,
) -> Response[TicketView]:
    ticket = await actions.edit(ticket_id, request.user.id, data, _pricing(settings), confirmed=confirmed)
    return ModelResponse(for_viewer(ticket, request.user.id))


@put(
    "/{ticket_id:str}/private-note",
    guards=[signed_in, Limited("edit", "rate_change")],
    security=SIGNED_IN,
    summary="Set the private note",
    responses=refusals(NotTheSeller, NoteFinal, AccountClosed),
)
async def set_private_note(
    request: ApiRequest, ticket_id: PathId, data: RequestBody[PrivateNoteBody]
) -> Response[TicketView]:
    """Also for a reserved or sold ticket, so that the seller can pass on a code, until it is delivered."""
    ticket = await actions.set_private_note(ticket_id, request.user.id, data.private_note)
    return ModelResponse(for_viewer(ticket, request.user.id))


@delete(
    "/{ticket_id:str}",
    guards=[signed_in, Limited("withdraw", "rate_change")],
    security=SIGNED_IN,
    summary="Withdraw a ticket",
    responses=refusals(NotTheSeller, TicketReserved, TicketSold),
)
async def withdraw_ticket(request: ApiRequest, ticket_id: PathId) -> None:
    await actions.withdraw(ticket_id, request.user.id)


@post(
    "/withdrawals",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Withdraw any ticket",
    responses=refusals(NotFound, TicketReserved, TicketSold),
)
async def withdraw_any_ticket(data: RequestBody[WithdrawalBody]) -> Response[TicketView]:
    """Repeating it changes nothing. The order of a reserved ticket has to be cancelled first."""
    ticket = await actions.withdraw_by_operator(data.ticket_id)
    record("ticket-withdrawal", "success", actor=OPERATOR, ticket=ticket.key, reason=data.reason)
    return ModelResponse(for_viewer(ticket, None))


API = [
    Router(
        "/api/tickets",
        route_handlers=[
            *browse_api.ROUTES,
            *picture_api.ROUTES,
            *sales_api.ROUTES,
            *files_api.ROUTES,
            *reports_api.ROUTES,
            show_ticket,
            offer_ticket,
            edit_ticket,
            set_private_note,
            withdraw_ticket,
            withdraw_any_ticket,
        ],
        exception_handlers={EventInThePast: _event_in_the_past},
        tags=["tickets"],
    )
]
