"""HTTP API of orders."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter, RequestBody

from contracts.api import CancellationBody, ExtensionBody, OrderBody, SoldOrder
from contracts.api import Order as OrderView
from kit.errors import AccountClosed, NotFound, Unconfirmed
from kit.http.guards import operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import (
    CREATED_ID,
    ITEM_IDS,
    OPERATORS,
    SIGNED_IN,
    ApiOperation,
    PageOperation,
    PathId,
    QueryId,
    refusals,
)
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.networks import NetworkHasher
from kit.owners import Owner
from kit.paging import BadCursor, link_to_next
from kit.security_log import OPERATOR, record
from services.orders import actions
from services.orders.delivery import (
    NotDelivered,
    NothingToHandOver,
    NotTheSeller,
    TooLateToDeliver,
    UploadInstead,
)
from services.orders.documents import ShownOrder
from services.orders.hoarding import HeldTooLong, Limits, ReservedTooOften, TooManyFromNetwork
from services.orders.problems_api import PROBLEMS_API
from services.orders.rules import (
    DeadlineNotAllowed,
    NoMoreTime,
    NotTheBuyer,
    OrderComplete,
    OwnTicket,
    TicketAwaitsFiles,
    TicketNotForSale,
    TicketReserved,
    TooManyReservations,
)
from services.orders.views import sale_of, view_of
from settings import Settings

InjectedSettings = NamedDependency[Settings]

MAX_PAGE = 1000
"""Maximum and default number of orders per page."""

MAX_SALES = 100
"""Maximum number of sales in one request."""


@get(
    "/",
    operation_class=PageOperation,
    summary="The caller's orders, newest first",
    responses=refusals(BadCursor),
)
async def list_orders(
    request: ApiRequest,
    settings: InjectedSettings,
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_PAGE)] = MAX_PAGE,
) -> Response[list[OrderView]]:
    """One page of the caller's orders. The `Link` header has the address of the next page, if any."""
    window = _window(settings)
    orders, following = await ShownOrder.of_buyer(request.user.id, after, limit)
    headers = link_to_next("/api/orders", request.query_params.multi_items(), following)
    return ModelResponse([view_of(order, window) for order in orders], headers=headers)


@get("/{order_id:str}", summary="One of the caller's orders", responses=refusals(NotTheBuyer))
async def show_order(request: ApiRequest, order_id: PathId, settings: InjectedSettings) -> OrderView:
    return view_of(await actions.show(order_id, request.user.id), _window(settings))


class ReserveOperation(ApiOperation):
    links = {
        "show_order": {"order_id": CREATED_ID},
        "extend_order": {"order_id": CREATED_ID},
        "cancel_order": {"order_id": CREATED_ID},
    }


@post(
    "/",
    guards=[Limited("reserve", "rate_reserve")],
    operation_class=ReserveOperation,
    summary="Reserve a ticket",
    responses={
        200: ResponseSpec(
            OrderView, description="The caller already holds the ticket", generate_examples=False
        ),
        **refusals(
            *(
                NotFound,
                OwnTicket,
                TicketReserved,
                TicketNotForSale,
                TicketAwaitsFiles,
                TooLateToDeliver,
                TooManyReservations,
            ),
            *(TooManyFromNetwork, ReservedTooOften, HeldTooLong, Unconfirmed, AccountClosed),
        ),
    },
)
async def reserve_ticket(
    request: ApiRequest,
    data: RequestBody[OrderBody],
    settings: InjectedSettings,
    tickets: NamedDependency[Owner],
    networks: NamedDependency[NetworkHasher],
) -> Response[OrderView]:
    """A buyer who already holds the ticket gets the existing order, with status 200 instead of 201."""
    terms = _terms(settings)
    if request.user.unconfirmed:
        terms = replace(terms, max_live=1)
    of_client = networks.of(request.client_address)
    try:
        reservation = await actions.reserve(data.ticket_id, request.user.id, terms, tickets, of_client)
    except TooManyReservations:
        if request.user.unconfirmed:
            raise Unconfirmed("Confirm your email address to hold more than one ticket") from None
        raise
    return ModelResponse(
        view_of(reservation.order, terms.window), status_code=201 if reservation.is_new else 200
    )


@post(
    "/{order_id:str}/extend",
    status_code=200,
    guards=[Limited("extend", "rate_change")],
    summary="Extend the time to pay for an order",
    responses=refusals(NotTheBuyer, NoMoreTime),
)
async def extend_order(request: ApiRequest, order_id: PathId, settings: InjectedSettings) -> OrderView:
    window = _window(settings)
    return view_of(await actions.extend(order_id, request.user.id, window), window)


@delete(
    "/{order_id:str}",
    guards=[Limited("cancel", "rate_change")],
    summary="Cancel an unpaid order",
    responses=refusals(NotTheBuyer, OrderComplete),
)
async def cancel_order(request: ApiRequest, order_id: PathId) -> None:
    await actions.cancel(order_id, request.user.id)


@get("/sales", summary="How far the delivery of the caller's sales is")
async def list_sales(
    request: ApiRequest,
    order_ids: Annotated[
        list[QueryId],
        QueryParameter(name="orderId", min_items=1, max_items=MAX_SALES, schema_extra=ITEM_IDS),
    ],
) -> list[SoldOrder]:
    """Those of the given orders whose seller the caller is, in no particular order."""
    return [sale_of(order) for order in await actions.show_sales(request.user.id, order_ids)]


@post(
    "/{order_id:str}/handover",
    status_code=204,
    guards=[Limited("hand-over", "rate_change")],
    summary="Say that the ticket was handed over to the buyer",
    responses=refusals(NotTheSeller, NothingToHandOver, UploadInstead),
)
async def hand_over_ticket(request: ApiRequest, order_id: PathId) -> None:
    """Only for a ticket that its seller hands over. Repeating it changes nothing."""
    await actions.hand_over(order_id, request.user.id)


@post(
    "/{order_id:str}/confirmation",
    status_code=200,
    guards=[Limited("confirm-delivery", "rate_change")],
    summary="Confirm to have received the ticket",
    responses=refusals(NotTheBuyer, NotDelivered),
)
async def confirm_delivery(request: ApiRequest, order_id: PathId, settings: InjectedSettings) -> OrderView:
    """Repeating it changes nothing."""
    return view_of(await actions.confirm_delivery(order_id, request.user.id), _window(settings))


@post(
    "/cancellations",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Cancel any unpaid order",
    responses=refusals(NotFound, OrderComplete),
)
async def cancel_any_order(data: RequestBody[CancellationBody], settings: InjectedSettings) -> OrderView:
    """Repeating it changes nothing. A paid order has to be refunded instead."""
    order = await actions.cancel_by_operator(data.order_id)
    record("order-cancellation", "success", actor=OPERATOR, order=order.key, reason=data.reason)
    return view_of(order, _window(settings))


@post(
    "/extensions",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Extend the time to pay for any order",
    responses=refusals(NotFound, NoMoreTime, DeadlineNotAllowed),
)
async def extend_any_order(data: RequestBody[ExtensionBody], settings: InjectedSettings) -> OrderView:
    """Set a later deadline. If the present one is as late or later, nothing changes."""
    order = await actions.extend_by_operator(data.order_id, data.expires_at)
    until = order.expires_at.isoformat()
    record("order-extension", "success", actor=OPERATOR, order=order.key, until=until, reason=data.reason)
    return view_of(order, _window(settings))


API = [
    Router(
        "/api/orders",
        route_handlers=[
            *(list_orders, list_sales, show_order, reserve_ticket, extend_order, cancel_order),
            *(hand_over_ticket, confirm_delivery),
        ],
        guards=[signed_in],
        security=SIGNED_IN,
        tags=["orders"],
    ),
    Router("/api/orders", route_handlers=[cancel_any_order, extend_any_order], tags=["orders"]),
    *PROBLEMS_API,
]


def _terms(settings: Settings) -> actions.Terms:
    return actions.Terms(
        window=_window(settings),
        max_live=settings.max_live_reservations,
        max_live_per_network=settings.max_live_per_network,
        delivery_hours=settings.delivery_hours,
        limits=Limits(
            cool_down=timedelta(seconds=settings.reserve_cool_down_seconds),
            max_total=timedelta(seconds=settings.max_ticket_hold_seconds),
        ),
    )


def _window(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.expiration_window_seconds)
