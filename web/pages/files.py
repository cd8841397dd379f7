"""The files of a ticket: the seller uploads and removes them, and the buyer downloads them."""

from typing import Any

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect

from web.admission.request_body import MAX_FILE_FORM_BYTES
from web.api_client import Refused, ServiceDown
from web.forms import Form
from web.page_context import Page
from web.pages.listing_files import refusals
from web.pages.pictures import content_of
from web.redirects import sign_in_address
from web.rendering.texts import N_, _
from web.request import WebRequest

TOO_LARGE = N_("The file is too large. Choose one of at most 10 MB")


def redirect_to_files(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer a form that is too large with a redirect to the page, because its fields weren't read."""
    return Redirect(f"/tickets/{request.path_params['ticket_id']}/files?file=too-large", status_code=303)


@get("/tickets/{ticket_id:str}/files")
async def show(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    if page.viewer.known and page.user is None:
        return page.redirect(sign_in_address(f"/tickets/{ticket_id}/files"))
    is_too_large = page.request.query_params.get("file") == "too-large"
    return await _shown(page, ticket_id, _(TOO_LARGE) if is_too_large else None, 200)


@post(
    "/tickets/{ticket_id:str}/files",
    request_max_body_size=MAX_FILE_FORM_BYTES,
    exception_handlers={413: redirect_to_files},
)
async def add(page: NamedDependency[Page], ticket_id: FromPath[str], request: WebRequest) -> Response[Any]:
    if page.viewer.known and page.user is None:  # then admission control has dropped the form
        return page.redirect(sign_in_address(f"/tickets/{ticket_id}/files"))
    content = await content_of((await request.form()).get("file"))
    if not content:
        return await _shown(page, ticket_id, _("Choose a file first"), 422)
    try:
        await page.api.add_file(ticket_id, content)
    except ServiceDown as down:
        if down.title is None:  # it didn't answer; otherwise it is busy, or misses a key
            raise
        return await _shown(page, ticket_id, down.title, 422)
    except Refused as refused:
        if refused.status not in {400, 409, 413, 415, 429}:
            raise
        message = _(TOO_LARGE) if refused.status == 413 else refused.problem.title
        return await _shown(page, ticket_id, message, 422)
    return page.redirect(f"/tickets/{ticket_id}/files")


@post("/tickets/{ticket_id:str}/files/{file_id:str}/remove")
async def remove(
    page: NamedDependency[Page], ticket_id: FromPath[str], file_id: FromPath[str]
) -> Response[Any]:
    try:
        await page.api.remove_file(ticket_id, file_id)
    except Refused as refused:
        if refused.status != 409:
            raise
        return await _shown(page, ticket_id, refused.problem.title, 409)
    return page.redirect(f"/tickets/{ticket_id}/files")


async def _shown(page: Page, ticket_id: str, error: str | None, status: int) -> Response[Any]:
    query = page.request.query_params
    told = refusals(query.getall("refused", [])) if page.request.method == "GET" else ()
    context = {
        "ticket": await page.api.ticket(ticket_id),
        "files": await page.api.files_of(ticket_id),
        "form": Form(errors={"file": error} if error else {}, general=told),
        "is_listed": "listed" in query,
        "lost_picture": "picture" in query,
    }
    return page.render("tickets/files.html", context, fragment="tickets/_files.html", status=status)


router = Router("/", route_handlers=[show, add, remove])
