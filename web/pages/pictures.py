"""Adding, replacing and removing the picture of a ticket."""

from typing import Any

from litestar import Request, Response, Router, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect

from contracts.api import Ticket
from web.admission.request_body import MAX_BODY_BYTES
from web.api_client import Refused, ServiceDown
from web.forms import Form
from web.page_context import Page
from web.pages.sell_form import render_form, typed_values
from web.redirects import sign_in_address
from web.rendering.templating import why_unchangeable
from web.rendering.texts import N_, _
from web.request import WebRequest

MAX_PICTURE_FORM_BYTES = MAX_BODY_BYTES
TOO_LARGE = N_("The picture is too large. Choose one of at most 5 MB")
PICTURE_ERRORS = {
    "too-large": TOO_LARGE,
    "unfit": N_("The picture can't be used. Choose a JPEG, PNG or WebP file"),
    "not-saved": N_("The picture couldn't be saved. Choose it again"),
}
"""Error messages, by the value of the parameter `picture` in the address of the form that shows them."""


def redirect_to_form(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer a form that is too large with a redirect to the page, because its fields weren't read."""
    return Redirect(f"/tickets/{request.path_params['ticket_id']}/edit?picture=too-large", status_code=303)


async def content_of(upload: object) -> bytes:
    return await upload.read() if isinstance(upload, UploadFile) else b""


async def attach_picture(page: Page, ticket: Ticket, picture: bytes) -> str | None:
    """Add a picture to a new ticket. Return a key of `PICTURE_ERRORS` if the picture was refused, else None.

    The caller doesn't show the listing form again, because sending it again would list the ticket twice.
    """
    try:
        await page.api.save_picture(ticket.id, picture)
    except ServiceDown:
        return "not-saved"
    except Refused as refused:
        return {413: "too-large", 400: "unfit", 415: "unfit"}.get(refused.status, "not-saved")
    return None


@post(
    "/tickets/{ticket_id:str}/picture",
    request_max_body_size=MAX_PICTURE_FORM_BYTES,
    exception_handlers={413: redirect_to_form},
)
async def save_picture(
    page: NamedDependency[Page], ticket_id: FromPath[str], request: WebRequest
) -> Response[Any]:
    if page.viewer.known and page.user is None:  # then admission control has dropped the form
        return page.redirect(sign_in_address(f"/tickets/{ticket_id}"))
    content = await content_of((await request.form()).get("picture"))
    if not content:
        return await _refused(page, ticket_id, _("Choose a picture first"))
    try:
        await page.api.save_picture(ticket_id, content)
    except ServiceDown as down:
        if down.title is None:  # it didn't answer; otherwise too many pictures are being processed
            raise
        return await _refused(page, ticket_id, down.title)
    except Refused as refused:
        if refused.status not in {400, 409, 413, 415, 429}:
            raise
        message = _(TOO_LARGE) if refused.status == 413 else refused.problem.title
        return await _refused(page, ticket_id, message)
    return page.redirect(f"/tickets/{ticket_id}")


@post("/tickets/{ticket_id:str}/picture/remove")
async def remove_picture(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    try:
        await page.api.remove_picture(ticket_id)
    except Refused as refused:
        if refused.status != 409:
            raise
        return await _refused(page, ticket_id, refused.problem.title)
    return page.redirect(f"/tickets/{ticket_id}/edit")


async def _refused(page: Page, ticket_id: str, message: str) -> Response[Any]:
    ticket = await page.api.ticket(ticket_id)
    errors = {"picture": why_unchangeable(ticket) or message}
    return render_form(page, Form(typed_values(ticket)), ticket, 422, picture=Form(errors=errors))


router = Router("/", route_handlers=[save_picture, remove_picture])
