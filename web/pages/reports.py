"""The page on which anybody who is signed in reports a listing to the operators."""

from collections.abc import Mapping
from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import ListingReportKind
from web.api_client import Refused
from web.forms import Fields, Form
from web.page_context import Page
from web.redirects import sign_in_address
from web.rendering.texts import N_, _

KINDS: Mapping[ListingReportKind, str] = {
    "fraud": N_("It seems to be forged, stolen or a scam"),
    "not-as-described": N_("Its facts are wrong, such as the date or the seat"),
    "price": N_("Its price is not allowed"),
    "illegal": N_("Its content is illegal or insulting"),
    "other": N_("Something else"),
}
FIELDS = Fields(
    ("kind", "text"),
    {"kind": N_("Choose what is wrong"), "text": N_("Say what is wrong, in at most 2,000 characters")},
)


@get("/tickets/{ticket_id:str}/report")
async def form(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    if page.viewer.known and page.user is None:
        return page.redirect(sign_in_address(f"/tickets/{ticket_id}/report"))
    return await _form(page, ticket_id, Form())


@post("/tickets/{ticket_id:str}/report", status_code=200)
async def report(
    page: NamedDependency[Page], ticket_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """Report the listing. The page then says what happens next."""
    values = FIELDS.values(data)
    try:
        await page.api.report_listing(ticket_id, values)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"/tickets/{ticket_id}/report"))
        if refused.status not in (400, 403, 409, 429):
            raise
        status = 422 if refused.status == 400 else refused.status
        if refused.problem.errors:
            return await _form(page, ticket_id, FIELDS.with_errors(values, refused.problem), status)
        return await _form(page, ticket_id, Form(values, general=(refused.problem.title,)), status)
    return await _form(page, ticket_id, Form(), is_done=True)


async def _form(
    page: Page, ticket_id: str, form: Form, status: int = 200, *, is_done: bool = False
) -> Response[Any]:
    context = {
        "ticket": await page.api.ticket(ticket_id),
        "form": form,
        "kinds": [("", _("Choose")), *((kind, _(text)) for kind, text in KINDS.items())],
        "is_done": is_done,
    }
    return page.render("reports/report.html", context, fragment="reports/_report.html", status=status)


router = Router("/", route_handlers=[form, report])
