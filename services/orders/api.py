"""HTTP API of orders."""

from datetime import timedelta
from typing import Annotated

from litestar import Response, Router, delete, get, post
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter, RequestBody

from contracts.api import Order as OrderView
from contracts.api import OrderBody, OrderTicket
from contracts.money import from_minor_units
from contracts.wire import now
from kit.http.guards import signed_in
from kit.http.limits import Limited
from kit.http.openapi import CREATED_ID, SIGNED_IN, ApiOperation, PathId
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.networks import NetworkHasher
from kit.owners import Owner
from kit.paging import link_to_next
from services.orders import actions
from services.orders.documents import Order, ShownOrder
from services.orders.hoarding import Limits
from services.orders.rules import extended_deadline, may_extend
from settings import Settings

InjectedSettings = NamedDependency[Settings]

MAX_PAGE = 1000
"""Maximum and default number of orders per page."""


@get(
    "/",
    summary="The caller's orders, newest first",
    response_headers=[
        ResponseHeader(name="Link", documentation_only=True, description="The next page, if there is one")
    ],
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
    return ModelResponse([_view(order, window) for order in orders], headers=headers)


@get("/{order_id:str}", summary="One of the caller's orders")
async def show_order(request: ApiRequest, order_id: PathId, settings: InjectedSettings) -> OrderView:
    return _view(await actions.show(order_id, request.user.id), _window(settings))


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
    responses={200: ResponseSpec(OrderView, description="The caller already holds the ticket")},
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
    of_client = networks.of(request.client_address)
    reservation = await actions.reserve(data.ticket_id, request.user.id, terms, tickets, of_client)
    return ModelResponse(
        _view(reservation.order, terms.window), status_code=201 if reservation.is_new else 200
    )


@post(
    "/{order_id:str}/extend",
    status_code=200,
    guards=[Limited("extend", "rate_change")],
    summary="Extend the time to pay for an order",
)
async def extend_order(request: ApiRequest, order_id: PathId, settings: InjectedSettings) -> OrderView:
    window = _window(settings)
    return _view(await actions.extend(order_id, request.user.id, window), window)


@delete("/{order_id:str}", guards=[Limited("cancel", "rate_change")], summary="Cancel an unpaid order")
async def cancel_order(request: ApiRequest, order_id: PathId) -> None:
    await actions.cancel(order_id, request.user.id)


API = [
    Router(
        "/api/orders",
        route_handlers=[list_orders, show_order, reserve_ticket, extend_order, cancel_order],
        guards=[signed_in],
        security=SIGNED_IN,
        tags=["orders"],
    )
]


def _terms(settings: Settings) -> actions.Terms:
    return actions.Terms(
        window=_window(settings),
        max_live=settings.max_live_reservations,
        max_live_per_network=settings.max_live_per_network,
        limits=Limits(
            cool_down=timedelta(seconds=settings.reserve_cool_down_seconds),
            max_total=timedelta(seconds=settings.max_ticket_hold_seconds),
        ),
    )


def _window(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.expiration_window_seconds)


def _view(order: Order | ShownOrder, window: timedelta) -> OrderView:
    moment = now()
    longer = extended_deadline(order.reserved_at, window, moment)
    return OrderView(
        id=order.key,
        status=order.status,
        user_id=order.user_id,
        expires_at=order.expires_at,
        version=order.version,
        cancel_reason=order.cancel_reason,
        hold_refused=order.hold_refused,
        relisted=order.relisted,
        can_extend=may_extend(order, longer, window, moment),
        code=order.code,
        ticket=OrderTicket(
            id=order.ticket_id,
            title=order.ticket_title,
            price=from_minor_units(order.price_minor),
            version=order.ticket_version,
            **dict(order.details),
        ),
    )
