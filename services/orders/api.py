"""HTTP ↔ orders."""

from datetime import timedelta

from litestar import Router, delete, get, post
from litestar.params import FromPath, RequestBody

from contracts.api import Order as OrderView
from contracts.api import OrderBody, OrderTicket
from contracts.money import from_minor_units
from contracts.wire import now
from services.kit.http import SIGNED_IN, ApiRequest, signed_in
from services.kit.limits import limit
from services.orders import actions
from services.orders.documents import Order
from services.orders.rules import extended_deadline, may_extend
from settings import Settings


@get("/", summary="My orders, newest first")
async def list_orders(request: ApiRequest) -> list[OrderView]:
    return [_view(order, _window(request)) for order in await actions.list_mine(request.user.id)]


@get("/{order_id:str}", summary="An order of mine")
async def show_order(request: ApiRequest, order_id: FromPath[str]) -> OrderView:
    return _view(await actions.show(order_id, request.user.id), _window(request))


@post("/", summary="Reserve a ticket")
async def reserve_ticket(request: ApiRequest, data: RequestBody[OrderBody]) -> OrderView:
    settings: Settings = request.app.state.settings
    await limit("reserve", request.user.id, settings.rate_reserve)
    terms = actions.Terms(window=_window(request), max_live=settings.max_live_reservations)
    return _view(await actions.reserve(data.ticket_id, request.user.id, terms), terms.window)


@post("/{order_id:str}/extend", status_code=200, summary="More time to pay for an order of mine")
async def extend_order(request: ApiRequest, order_id: FromPath[str]) -> OrderView:
    return _view(await actions.extend(order_id, request.user.id, _window(request)), _window(request))


@delete("/{order_id:str}", summary="Let go of a reservation of mine")
async def cancel_order(request: ApiRequest, order_id: FromPath[str]) -> None:
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


def _window(request: ApiRequest) -> timedelta:
    settings: Settings = request.app.state.settings
    return timedelta(seconds=settings.expiration_window_seconds)


def _view(order: Order, window: timedelta) -> OrderView:
    moment = now()
    longer = extended_deadline(order.reserved_at, window, moment)
    return OrderView(
        id=order.key,
        status=order.status,
        user_id=order.user_id,
        expires_at=order.expires_at,
        version=order.version,
        cancel_reason=order.cancel_reason,
        relisted=order.relisted,
        can_extend=may_extend(order, longer, window, moment),
        ticket=OrderTicket(
            id=order.ticket_id,
            title=order.ticket_title,
            price=from_minor_units(order.price_minor),
            version=order.ticket_version,
            **dict(order.details),
        ),
    )
