"""HTTP API of reported problems: buyers report, sellers answer, and operators decide."""

from datetime import timedelta

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import RequestBody

from contracts.api import Order as OrderView
from contracts.api import ProblemAnswerBody, ProblemBody, ProblemDecisionBody, ReportedOrder, SoldOrder
from contracts.money import to_minor_units
from kit.errors import NotFound
from kit.http.guards import operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import OPERATORS, SIGNED_IN, PathId, refusals
from kit.http.request import ApiRequest
from kit.security_log import OPERATOR, record
from services.orders import actions
from services.orders.delivery import NotTheSeller
from services.orders.documents import Order
from services.orders.problems import (
    AmountNotAllowed,
    AnsweredMeanwhile,
    DisputedAtBank,
    NotDueYet,
    NothingToAnswer,
    NothingToDecide,
    NothingToReport,
    ProblemDecided,
    ProblemReported,
    TooEarlyToDecide,
    TooLateToAnswer,
    TooLateToReport,
)
from services.orders.rules import NotTheBuyer
from services.orders.views import reported, sale_of, view_of
from settings import Settings

MAX_REPORTS = 200
"""The most open reports that are listed. Deciding on one makes room for the next."""


@post(
    "/{order_id:str}/problem",
    status_code=200,
    guards=[Limited("report-problem", "rate_change")],
    summary="Report a problem with a ticket",
    responses=refusals(NotTheBuyer, NothingToReport, NotDueYet, TooLateToReport, ProblemReported),
)
async def report_problem(
    request: ApiRequest, order_id: PathId, data: RequestBody[ProblemBody], settings: NamedDependency[Settings]
) -> OrderView:
    """Once for each order. The seller isn't paid until an operator has decided."""
    order = await actions.report_problem(order_id, request.user.id, data.kind, data.text)
    return view_of(order, timedelta(seconds=settings.expiration_window_seconds))


@post(
    "/{order_id:str}/problem/answer",
    status_code=200,
    guards=[Limited("answer-problem", "rate_change")],
    summary="Answer the report of a problem",
    responses=refusals(NotTheSeller, NothingToAnswer, TooLateToAnswer),
)
async def answer_problem(
    request: ApiRequest, order_id: PathId, data: RequestBody[ProblemAnswerBody]
) -> SoldOrder:
    """Once for each report, by the seller."""
    order = await actions.answer_problem(order_id, request.user.id, data.text)
    return sale_of(order)


@get(
    "/problems",
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Reported problems that wait for a decision",
)
async def list_problems() -> list[ReportedOrder]:
    """Those that were reported first come first."""
    return [reported(order) for order in await Order.reported(MAX_REPORTS)]


@post(
    "/problems/decisions",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Decide on a reported problem",
    responses=refusals(
        *(NotFound, NothingToDecide, ProblemDecided, AnsweredMeanwhile, TooEarlyToDecide, DisputedAtBank),
        AmountNotAllowed,
    ),
)
async def decide_problem(data: RequestBody[ProblemDecisionBody]) -> ReportedOrder:
    """A refund is carried out by payments. Repeating the same decision changes nothing."""
    amount = None if data.amount is None else to_minor_units(data.amount)
    order = await actions.decide_problem(
        data.order_id, data.decision, amount=amount, reason=data.reason, seen=data.seen
    )
    record(
        *("problem-decision", "success"),
        actor=OPERATOR,
        order=order.key,
        decision=data.decision,
        reason=data.reason,
    )
    return reported(order)


PROBLEMS_API = [
    Router(
        "/api/orders",
        route_handlers=[report_problem, answer_problem],
        guards=[signed_in],
        security=SIGNED_IN,
        tags=["orders"],
    ),
    Router("/api/orders", route_handlers=[list_problems, decide_problem], tags=["orders"]),
]
