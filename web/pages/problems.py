"""Reported problems: the pages on which a buyer reports one, and the seller answers."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import Order, SoldOrder
from web.api_client import Refused
from web.forms import Fields, Form
from web.page_context import Page
from web.redirects import sign_in_address
from web.rendering.problem_texts import KINDS, ShownProblem
from web.rendering.texts import N_, _

REPORT = Fields(
    ("kind", "text"),
    {"kind": N_("Choose what is wrong"), "text": N_("Say what happened, in at most 2,000 characters")},
)
ANSWER = Fields(("text",), {"text": N_("Write your answer, in at most 2,000 characters")})


@get("/orders/{order_id:str}/problem")
async def form(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """The form with which the buyer reports a problem."""
    return await _form(page, order_id, Form())


@post("/orders/{order_id:str}/problem")
async def report(
    page: NamedDependency[Page], order_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """Report a problem. The page of the order then shows the report."""
    values = REPORT.values(data)
    try:
        await page.api.report_problem(order_id, values)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"/orders/{order_id}/problem"))
        if refused.status not in (400, 409):
            raise
        status = 422 if refused.status == 400 else refused.status
        return await _form(page, order_id, REPORT.with_errors(values, refused.problem), status)
    return page.redirect(f"/orders/{order_id}")


async def _form(page: Page, order_id: str, form: Form, status: int = 200) -> Response[Any]:
    order = await page.api.order(order_id)
    kinds = [("", _("Choose")), *((kind, _(text)) for kind, text in KINDS.items())]
    context = {"order": order, "form": form, "problem": _shown(order), "problem_kinds": kinds}
    return page.render("problems/report.html", context, fragment="problems/_report.html", status=status)


@get("/orders/{order_id:str}/problem/answer")
async def answer_form(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """The report of a sale's buyer, and the form with which the seller answers."""
    return await _answer_form(page, order_id, Form())


@post("/orders/{order_id:str}/problem/answer")
async def answer(
    page: NamedDependency[Page], order_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """Answer the report. The page then shows both."""
    values = ANSWER.values(data)
    try:
        await page.api.answer_problem(order_id, values)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"/orders/{order_id}/problem/answer"))
        if refused.status not in (400, 409):
            raise
        status = 422 if refused.status == 400 else refused.status
        return await _answer_form(page, order_id, ANSWER.with_errors(values, refused.problem), status)
    return page.redirect(f"/orders/{order_id}/problem/answer")


async def _answer_form(page: Page, order_id: str, form: Form, status: int = 200) -> Response[Any]:
    sale = next(iter(await page.api.sales_of([order_id])), None)
    context = {"sale": sale, "order_id": order_id, "form": form, "problem": _shown(sale)}
    status = status if sale is not None and sale.problem is not None else 404
    return page.render("problems/answer.html", context, fragment="problems/_answer.html", status=status)


def _shown(order: Order | SoldOrder | None) -> ShownProblem | None:
    return ShownProblem(order.problem) if order is not None and order.problem is not None else None


router = Router("/", route_handlers=[form, report, answer_form, answer])
