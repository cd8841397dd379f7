"""Orders in HTTP responses."""

from datetime import timedelta

from contracts.api import Order as OrderView
from contracts.api import OrderTicket
from contracts.money import from_minor_units
from contracts.wire import now
from services.orders.documents import Order, ShownOrder
from services.orders.rules import extended_deadline, may_extend


def view_of(order: Order | ShownOrder, window: timedelta) -> OrderView:
    """The order as its buyer sees it."""
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
        cancelled_by_operator=order.cancelled_by_operator,
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
