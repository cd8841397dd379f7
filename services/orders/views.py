"""Orders in HTTP responses."""

from datetime import timedelta

from contracts.api import Order as OrderView
from contracts.api import OrderTicket, ReportedOrder, ReportedProblem, ReportPhoto, SoldOrder
from contracts.money import from_minor_units
from contracts.wire import now
from services.orders import problems
from services.orders.documents import Order, ShownOrder
from services.orders.evidence.entries import PhotoEntry
from services.orders.evidence.rules import shown_to
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
        delivery=order.delivery,
        deliver_by=order.deliver_by,
        delivered_at=order.delivered_at,
        confirmed_at=order.confirmed_at,
        confirmed_by_buyer=order.confirmed_by_buyer,
        overdue_at=order.overdue_at,
        problem=_problem(order),
        problem_until=problems.report_until(order) if order.status == "complete" else None,
        can_report=problems.may_report(order, moment),
        refund_due=order.refund_due_minor,
        photos=[photo_view(each) for each in shown_to(order, "buyer")],
        former_starts_at=order.former_starts_at,
        ticket=_ticket(order),
    )


def sale_of(order: Order | ShownOrder) -> SoldOrder:
    """The order as its seller sees it."""
    return SoldOrder(
        id=order.key,
        ticket_id=order.ticket_id,
        ticket=_ticket(order),
        code=order.code,
        status=order.status,
        delivery=order.delivery,
        deliver_by=order.deliver_by,
        delivered_at=order.delivered_at,
        confirmed_at=order.confirmed_at,
        overdue_at=order.overdue_at,
        problem=_problem(order),
        can_answer=problems.may_answer(order, now()),
        photos=[photo_view(each) for each in shown_to(order, "seller")],
    )


def reported(order: Order) -> ReportedOrder:
    """An order with a report, as operators see it."""
    problem = _problem(order)
    assert order.report is not None, "only such orders are shown"
    assert problem is not None, "only such orders are shown"
    return ReportedOrder(
        id=order.key,
        ticket_id=order.ticket_id,
        title=order.ticket_title,
        status=order.status,
        user_id=order.user_id,
        seller_id=order.seller_id,
        price=from_minor_units(order.price_minor),
        refunded_amount=order.refunded_minor,
        dispute=order.dispute,
        delivery=order.delivery,
        delivered_at=order.delivered_at,
        starts_at=order.details.starts_at,
        time_zone=order.details.time_zone,
        seat=order.details.seat,
        code=order.code,
        unanswered=problems.is_unanswered(order.report, now()),
        problem=problem,
        photos=[photo_view(each) for each in order.photos],
    )


def _ticket(order: Order | ShownOrder) -> OrderTicket:
    return OrderTicket(
        id=order.ticket_id,
        title=order.ticket_title,
        price=from_minor_units(order.price_minor),
        version=order.ticket_version,
        **dict(order.details),
    )


def photo_view(photo: PhotoEntry) -> ReportPhoto:
    """A photo of a problem, as both sides see it."""
    return ReportPhoto(id=photo.id, by=photo.by, size=photo.size, uploaded_at=photo.uploaded_at)


def _problem(order: Order | ShownOrder) -> ReportedProblem | None:
    report = order.report
    if report is None:
        return None
    return ReportedProblem(
        kind=report.kind,
        text=report.text,
        reported_at=report.reported_at,
        state=report.state,
        answer_by=report.answer_by,
        answer=report.answer,
        answered_at=report.answered_at,
        refunded=report.refund_minor,
        reason=report.reason,
        decided_at=report.decided_at,
    )
