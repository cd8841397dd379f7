"""Reported problems: the pages on which a buyer reports one, and the seller answers, both with photos."""

from collections.abc import Callable, Mapping
from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect

from contracts.api import MAX_PHOTOS
from web.admission.request_body import MAX_FILE_FORM_BYTES
from web.api_client import Refused, ServiceDown
from web.forms import Fields, Form
from web.page_context import Page
from web.pages.pictures import content_of
from web.redirects import sign_in_address
from web.rendering.problem_texts import KINDS, ShownProblem
from web.rendering.texts import N_, _
from web.request import WebRequest

REPORT = Fields(
    ("kind", "text"),
    {"kind": N_("Choose what is wrong"), "text": N_("Say what happened, in at most 2,000 characters")},
)
ANSWER = Fields(("text",), {"text": N_("Write your answer, in at most 2,000 characters")})
TOO_LARGE = N_("The photo is too large. Choose one of at most 10 MB")


def redirect_to_form(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer a form that is too large with a redirect to the page, because its fields weren't read."""
    return Redirect(f"{request.url.path}?photo=too-large", status_code=303)


@get("/orders/{order_id:str}/problem")
async def form(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """The form with which the buyer reports a problem."""
    return await _form(page, order_id, _empty(page))


@post(
    "/orders/{order_id:str}/problem",
    request_max_body_size=MAX_FILE_FORM_BYTES,
    exception_handlers={413: redirect_to_form},
)
async def report(page: NamedDependency[Page], order_id: FromPath[str], request: WebRequest) -> Response[Any]:
    """Report a problem, or only add or remove a photo. The page of the order then shows the report."""
    if page.viewer.known and page.user is None:  # then admission control has dropped the form
        return page.redirect(sign_in_address(f"/orders/{order_id}/problem"))
    sent = _Sent(await request.form())
    values = REPORT.values(sent.texts)
    try:
        if (found := await sent.change_photos(page, order_id)) is not None:
            return await _form(page, order_id, Form(values, found), 422 if found else 200)
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
    context = {
        "order": order,
        "form": form,
        "problem": ShownProblem.of(order),
        "problem_kinds": kinds,
        "photos": order.photos,
        "max_photos": MAX_PHOTOS,
    }
    return page.render("problems/report.html", context, fragment="problems/_report.html", status=status)


@get("/orders/{order_id:str}/problem/answer")
async def answer_form(page: NamedDependency[Page], order_id: FromPath[str]) -> Response[Any]:
    """The report of a sale's buyer, and the form with which the seller answers."""
    return await _answer_form(page, order_id, _empty(page))


@post(
    "/orders/{order_id:str}/problem/answer",
    request_max_body_size=MAX_FILE_FORM_BYTES,
    exception_handlers={413: redirect_to_form},
)
async def answer(page: NamedDependency[Page], order_id: FromPath[str], request: WebRequest) -> Response[Any]:
    """Answer the report, or only add or remove a photo. The page then shows both."""
    if page.viewer.known and page.user is None:  # then admission control has dropped the form
        return page.redirect(sign_in_address(f"/orders/{order_id}/problem/answer"))
    sent = _Sent(await request.form())
    values = ANSWER.values(sent.texts)
    try:
        if (found := await sent.change_photos(page, order_id)) is not None:
            return await _answer_form(page, order_id, Form(values, found), 422 if found else 200)
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
    photos = [photo for photo in sale.photos if photo.by == "seller"] if sale is not None else []
    context = {
        "sale": sale,
        "order_id": order_id,
        "form": form,
        "problem": ShownProblem.of(sale),
        "photos": photos,
        "max_photos": MAX_PHOTOS,
    }
    status = status if sale is not None and sale.problem is not None else 404
    return page.render("problems/answer.html", context, fragment="problems/_answer.html", status=status)


def _empty(page: Page) -> Form:
    is_too_large = page.request.query_params.get("photo") == "too-large"
    return Form(errors={"photo": _(TOO_LARGE)} if is_too_large else {})


class _Sent:
    """A sent form, whose button says what to do: send everything, or add or remove a photo first."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.texts = {name: value for name, value in data.items() if isinstance(value, str)}
        self._photo = data.get("photo")

    async def change_photos(self, page: Page, order_id: str) -> dict[str, str] | None:
        """Remove or add a photo. Return the errors of the form if it is shown again, and else None.

        So what the user has typed is kept, whatever becomes of a photo.
        """
        if removed := self.texts.get("remove"):
            await page.api.remove_photo(order_id, removed)
            return {}
        is_only_photo = self.texts.get("step") == "photo"
        content = await content_of(self._photo)
        if not content:
            return {"photo": _("Choose a photo first")} if is_only_photo else None
        error = await _refusal(lambda: page.api.add_photo(order_id, content))
        if error is not None:
            return {"photo": error}
        return {} if is_only_photo else None


async def _refusal(add: Callable[[], Any]) -> str | None:
    """Add a photo. Return why it can't be added, if so."""
    try:
        await add()
    except ServiceDown as down:
        if down.title is None:  # it didn't answer; otherwise it is busy
            raise
        return down.title
    except Refused as refused:
        if refused.status not in {400, 409, 413, 415, 429}:
            raise
        return _(TOO_LARGE) if refused.status == 413 else refused.problem.title
    return None


router = Router("/", route_handlers=[form, report, answer_form, answer])
