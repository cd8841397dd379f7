"""Rules of reported problems: until when a buyer reports one, who answers, and what an operator may decide.

An order has at most one report, and everything about it is part of the order. So a report, an answer and a
decision that are made at the same moment are decided by the order's guarded write.
"""

from datetime import datetime, timedelta
from typing import Literal

from contracts.events import ProblemKind, ProblemState
from contracts.guarantees import ANSWER_HOURS, PROBLEM_HOURS, PROBLEM_WITHOUT_DATE, PROBLEM_WITHOUT_DELIVERY
from kit.changes import Changes
from kit.errors import Conflict, Invalid
from services.orders.delivery import NotTheSeller, is_promised
from services.orders.reports import ProblemReport
from services.orders.rules import NotTheBuyer, OrderState

Decision = Literal["refund", "partial-refund", "reject"]

AFTER_START = timedelta(hours=PROBLEM_HOURS)

ANSWER_TIME = timedelta(hours=ANSWER_HOURS)


class NothingToReport(Conflict):
    message = "Only a problem with a ticket that you have paid for can be reported"


class NotDueYet(Conflict):
    message = "The ticket isn't due yet. If it isn't here in time, you get your money back automatically"


class TooLateToReport(Conflict):
    message = "The time to report a problem is over"


class ProblemReported(Conflict):
    message = "You have reported a problem with this order already"


class NothingToAnswer(Conflict):
    message = "Nothing is waiting for your answer"


class TooLateToAnswer(Conflict):
    message = "The time to answer is over"


class NothingToDecide(Conflict):
    message = "The buyer of this order hasn't reported a problem"


class TooEarlyToDecide(Conflict):
    message = "The seller may still answer"


class AnsweredMeanwhile(Conflict):
    message = "The seller has answered meanwhile. Read the answer, and decide again"


class ProblemDecided(Conflict):
    message = "This problem has been decided already"


class DisputedAtBank(Conflict):
    message = "The buyer disputes the payment at the bank, so only the bank can return the money"


class AmountNotAllowed(Invalid):
    message = "A partial refund has to be less than what is left of the price"


def report_until(order: OrderState) -> datetime | None:
    """Until when the buyer of a paid order may report a problem.

    None for an order from before orders kept the time of the payment, if it has no date.
    """
    starts_at = order.latest_starts_at or order.details.starts_at
    if starts_at is not None:
        # The money is due later than this, also for a ticket that was bought after the start.
        return max(starts_at, order.paid_at or starts_at) + AFTER_START
    if order.delivered_at is not None:
        return order.delivered_at + PROBLEM_WITHOUT_DATE
    return order.paid_at + PROBLEM_WITHOUT_DELIVERY if order.paid_at is not None else None


def may_report(order: OrderState, now: datetime) -> bool:
    """Whether the buyer may report a problem now. `report` may still refuse a kind that is too early."""
    until = report_until(order)
    is_paid = order.status == "complete" and order.delivery != "failed"
    return is_paid and order.report is None and (until is None or now <= until)


def report(order: OrderState, by: str, kind: ProblemKind, text: str, now: datetime) -> Changes | None:
    """Record the buyer's report. A repeated call changes nothing.

    A delivery that was about to be confirmed by itself isn't, because somebody has complained.

    Raises:
        NotTheBuyer, ProblemReported, NothingToReport, NotDueYet, TooLateToReport
    """
    if order.user_id != by:
        raise NotTheBuyer
    if order.report is not None:
        if (order.report.kind, order.report.text) == (kind, text):
            return None
        raise ProblemReported
    if order.status != "complete" or order.delivery == "failed":
        raise NothingToReport
    if not may_report(order, now):
        raise TooLateToReport
    if kind == "not-received" and order.delivery == "due" and is_promised(order):
        raise NotDueYet
    made = ProblemReport(kind=kind, text=text, reported_at=now, answer_by=now + ANSWER_TIME)
    stops = {"delivery_acts_at": None, "delivery_acts": False} if order.delivery == "delivered" else {}
    return {**_stored(made), **stops}


def may_answer(order: OrderState, now: datetime) -> bool:
    """Whether the seller may answer now."""
    return order.report is not None and order.report.state == "open" and now <= order.report.answer_by


def answer(order: OrderState, by: str, text: str, now: datetime) -> Changes | None:
    """Record the seller's only answer. A repeated call changes nothing.

    Raises:
        NotTheSeller, NothingToAnswer, TooLateToAnswer
    """
    if order.seller_id != by:
        raise NotTheSeller
    if order.report is None:
        raise NothingToAnswer
    if order.report.answer == text:
        return None
    if order.report.state != "open":
        raise NothingToAnswer
    if now > order.report.answer_by:
        raise TooLateToAnswer
    return _stored(order.report, state="answered", answer=text, answered_at=now)


def is_unanswered(report: ProblemReport, now: datetime) -> bool:
    """Whether the seller hasn't answered in time, so that an operator decides without an answer."""
    return report.state == "open" and now > report.answer_by


_DECIDED: dict[Decision, ProblemState] = {
    "refund": "refunded",
    "partial-refund": "partly-refunded",
    "reject": "rejected",
}


def decide(
    order: OrderState,
    decision: Decision,
    amount: int | None,
    reason: str,
    seen: ProblemState | None,
    now: datetime,
) -> Changes | None:
    """Decide for an operator. A repeated call with the same decision and reason changes nothing.

    Payments carries out a refund. It learns the amount from the order's event.

    Args:
        amount: what a partial refund returns, in minor units.
        seen: the state that the operator has read, if known.

    Raises:
        NothingToDecide, ProblemDecided, AnsweredMeanwhile, TooEarlyToDecide, DisputedAtBank, AmountNotAllowed
    """
    found = order.report
    if found is None:
        raise NothingToDecide
    left = order.price_minor - order.refunded_minor
    if not found.is_open:
        if (found.state, found.reason) == (_DECIDED[decision], reason):
            return None
        raise ProblemDecided(f"This problem has been decided already: {found.state}")
    if seen == "open" and found.state == "answered":
        raise AnsweredMeanwhile
    if found.state == "open" and now <= found.answer_by:
        raise TooEarlyToDecide(f"The seller may answer until {found.answer_by:%Y-%m-%d %H:%M} UTC")
    if decision != "reject" and order.dispute in ("open", "lost"):
        raise DisputedAtBank
    if (decision == "partial-refund") != (amount is not None):
        raise AmountNotAllowed("A partial refund needs an amount, and nothing else has one", field="amount")
    if amount is not None and not 0 < amount < left:
        raise AmountNotAllowed(field="amount")
    refund = {"refund": left, "partial-refund": amount or 0, "reject": 0}[decision]
    changes = _stored(found, state=_DECIDED[decision], refund_minor=refund, reason=reason, decided_at=now)
    due = {"refund_due_minor": order.refunded_minor + refund} if refund else {}
    return {**changes, **due, **_confirmed_later(order, decision, now)}


def _confirmed_later(order: OrderState, decision: Decision, now: datetime) -> Changes:
    """Let the next sweep confirm the delivery of an order that stays paid."""
    if order.delivery != "delivered" or decision == "refund":
        return {}
    return {"delivery_acts_at": now, "delivery_acts": True}


def follow_status(order: OrderState, changes: Changes, now: datetime) -> Changes:
    """What a refund that nobody decided on here means for the report: it is settled in the buyer's favor.

    That is a refund by an operator's command, after a failed delivery, or by the bank.
    """
    found = order.report
    is_refunded = changes.get("status") == "refunded" and order.status != "refunded"
    if found is None or not found.is_open or not is_refunded:
        return {}
    left = order.price_minor - order.refunded_minor
    return _stored(found, state="refunded", refund_minor=left, decided_at=now)


def _stored(found: ProblemReport, **changes: object) -> Changes:
    changed = found.model_copy(update=changes)
    return {"report": changed, "report_open": changed.is_open, "reported_at": changed.reported_at}
