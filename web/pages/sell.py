"""The pages to list, edit and withdraw a ticket."""

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Redirect

from contracts.api import Show, Ticket
from contracts.tickets import MAX_FILE_BYTES, MAX_PICTURE_BYTES
from web.admission.request_body import MAX_LISTING_FORM_BYTES
from web.api_client import Refused, ServiceDown
from web.forms import Form
from web.page_context import Page
from web.pages.listing_files import TOO_LARGE_TOGETHER, Chosen, attach_files, chosen_files, page_after
from web.pages.pictures import (
    PICTURE_ERRORS,
    TOO_LARGE,
    attach_picture,
    content_of,
)
from web.pages.sell_form import BLANK, FIELDS, api_body, render_form, render_refused, typed_values
from web.redirects import sign_in_address
from web.rendering.templating import why_unchangeable
from web.rendering.texts import _
from web.rendering.ticket_texts import has_begun
from web.request import WebRequest
from web.time_zones import UTC

MAX_QUERY = 200

_KEY = re.compile("[A-Za-z0-9_-]{1,100}", re.ASCII)


def _new_key() -> str:
    """An idempotency key for a new form, so that sending the form twice lists only one ticket."""
    return secrets.token_urlsafe(16)


def _key_of(data: Mapping[str, Any]) -> str:
    given = data.get("idempotency_key")
    return given if isinstance(given, str) and _KEY.fullmatch(given) else _new_key()


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a form that aren't files."""
    return {name: value for name, value in data.items() if isinstance(value, str)}


@get("/sell")
async def new(page: NamedDependency[Page]) -> Response[Any]:
    if page.viewer.known and page.user is None:
        return page.redirect(sign_in_address("/sell"))
    if page.viewer.unconfirmed:
        return await page.confirmed_meanwhile() or page.redirect("/account/confirm")
    if page.viewer.unidentified:
        return await page.confirmed_meanwhile() or page.redirect("/account#trader-form")
    query = page.request.query_params
    show, found, summary = await asyncio.gather(
        _chosen(page, query.get("event", "")),
        _suggestions(page, query.get("q", "")),
        page.optional(page.api.my_sales()),
    )
    zone = await _last_zone(page) if show is None else None
    values = BLANK | {"timeZone": zone or UTC, "idempotency_key": _new_key()}
    alert = _too_large() if "too-large" in query else ""
    return render_form(page, Form(values), is_new=True, show=show, found=found, summary=summary, alert=alert)


@get("/sell/events")
async def find_event(page: NamedDependency[Page]) -> Response[Any]:
    """The events that match what the seller types. Without a script, the page of the form shows them."""
    query = page.request.query_params.get("q", "")
    if not page.request.wants_fragment:
        return page.redirect(f"/sell?{urlencode({'q': query})}")
    context = {"found": await _suggestions(page, query), "query": query}
    return page.render("sell/_found.html", context, fragment="sell/_found.html")


async def _suggestions(page: Page, query: str) -> Sequence[Show] | None:
    """The events that match. None if nothing was typed, or the service doesn't respond."""
    return await page.optional(page.api.shows(query[:MAX_QUERY])) if query.strip() else None


async def _chosen(page: Page, show_id: str) -> Show | None:
    """The event that the seller has chosen, or None if it doesn't exist or has begun."""
    show = await page.optional(page.api.show(show_id)) if show_id else None
    return None if show is None or has_begun(show.starts_at) else show


async def _last_zone(page: Page) -> str | None:
    """The time zone of the seller's newest ticket that has one. A script replaces it by the browser's."""
    if page.user is None:
        return None
    newest = await page.optional(page.api.my_tickets({"limit": "10"}))
    return next((ticket.time_zone for ticket in (newest.tickets if newest else ()) if ticket.time_zone), None)


@get("/tickets/{ticket_id:str}/edit")
async def edit(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.api.ticket(ticket_id)
    if not _may_change(page, ticket):
        return page.redirect(f"/tickets/{ticket.id}")
    return render_form(page, Form(typed_values(ticket)), ticket, picture=Form(errors=_wrong_picture(page)))


def _unavailable() -> str:
    return _(
        "Tickets are temporarily unavailable. Send the form again in a few seconds: "
        "the ticket is listed only once"
    )


def _too_large() -> str:
    return _(
        "The picture and the files are too large, so the form couldn't be read. "
        "Choose a picture of at most 5 MB, and files of at most 10 MB together"
    )


def _event_is_gone() -> str:
    return _("The event that you chose has started or is unavailable. Choose it again, or describe it")


def _listed_before() -> str:
    return _("You have already listed a ticket with this form. Send the form again to list another ticket")


def _wrong_picture(page: Page) -> dict[str, str]:
    message = PICTURE_ERRORS.get(page.request.query_params.get("picture", ""))
    return {"picture": _(message)} if message else {}


@post("/tickets/{ticket_id:str}/edit")
async def save(page: NamedDependency[Page], request: WebRequest, ticket_id: FromPath[str]) -> Response[Any]:
    typed = FIELDS.values(_texts(await request.form()))
    try:
        await page.api.edit_ticket(ticket_id, api_body(typed), confirmed=typed["confirmed"] == "yes")
    except Refused as refused:
        ticket = await page.api.ticket(ticket_id)
        return await render_refused(page, typed, refused, ticket)
    return page.redirect(f"/tickets/{ticket_id}")


def redirect_to_new(_request: Request[Any, Any, Any], _error: HTTPException) -> Response[Any]:
    """Answer a form that is too large with a redirect to the empty form, because its fields weren't read."""
    return Redirect("/sell?too-large", status_code=303)


@post("/sell", request_max_body_size=MAX_LISTING_FORM_BYTES, exception_handlers={413: redirect_to_new})
async def create(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """List a ticket, then add its picture and its files. Those that are refused don't take it off sale."""
    if page.viewer.known and page.user is None:  # then admission control has dropped the form
        return _signed_out(page)
    data = await request.form()
    texts = _texts(data)
    typed = {**FIELDS.values(texts), "idempotency_key": _key_of(data)}
    show = await _chosen(page, texts.get("showId", ""))
    if show is None and texts.get("showId"):
        return render_form(page, Form(typed), status=422, alert=_event_is_gone())
    picture, files = await content_of(data.get("picture")), await chosen_files(data)
    if wrong := _wrong_uploads(picture, files):
        return render_form(page, Form(typed, wrong), status=422, show=show)
    try:
        ticket = await page.api.create_ticket(
            api_body(typed, show), typed["idempotency_key"], confirmed=typed["confirmed"] == "yes"
        )
    except ServiceDown:
        loses = not page.request.wants_fragment
        answer = render_form(
            page,
            Form(typed),
            status=503,
            alert=_unavailable(),
            lost_picture=bool(picture) and loses,
            lost_files=bool(files) and loses,
            show=show,
        )
        answer.headers["Retry-After"] = "3"
        return answer
    except Refused as refused:
        if refused.problem.type == "/problems/idempotency-key-reused":
            form = Form(typed | {"idempotency_key": _new_key()})
            return render_form(page, form, status=409, alert=_listed_before(), show=show)
        return await render_refused(
            page, typed, refused, had_picture=bool(picture), had_files=bool(files), show=show
        )
    return page.redirect(await _with_uploads(page, ticket, picture, files))


def _signed_out(page: Page) -> Response[Any]:
    """A script keeps the form while the seller signs in again (static/js/sell/draft.js). Without scripts, the
    browser keeps it, with its files, as long as this page is open.
    """
    if page.request.wants_fragment:
        return page.redirect(sign_in_address("/sell"))
    return page.render("sell/signed_out.html", {}, fragment="sell/signed_out.html", status=401)


def _wrong_uploads(picture: bytes, files: Sequence[Chosen]) -> dict[str, str]:
    """The errors of uploads that are too large. Nothing is listed then."""
    wrong = {"picture": _(TOO_LARGE)} if len(picture) > MAX_PICTURE_BYTES else {}
    if sum(len(file.content) for file in files) > MAX_FILE_BYTES:
        wrong["files"] = _(TOO_LARGE_TOGETHER)
    return wrong


async def _with_uploads(page: Page, ticket: Ticket, picture: bytes, files: Sequence[Chosen]) -> str:
    """Add the uploads to a listed ticket. Return the address of the page that comes next.

    A ticket that has a picture or files already was listed by the same form, which was sent twice.
    """
    is_on_sale = ticket.status == "available"
    is_wanted = bool(picture) and ticket.picture is None and is_on_sale
    reason = await attach_picture(page, ticket, picture) if is_wanted else None
    if files and is_on_sale:
        return page_after(ticket, await attach_files(page, ticket, files), picture=reason)
    if reason:
        return f"/tickets/{ticket.id}/edit?listed&picture={reason}"
    uploads_next = is_on_sale and (ticket.delivery == "promised" or ticket.awaits_files)
    return f"/tickets/{ticket.id}/files" if uploads_next else f"/tickets/{ticket.id}"


@post("/tickets/{ticket_id:str}/private-note")
async def save_private_note(
    page: NamedDependency[Page], ticket_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """Set the private note of a ticket that can't be edited any more."""
    typed = data.get("privateNote", "")
    try:
        await page.api.set_private_note(ticket_id, typed.replace("\r\n", "\n").strip() or None)
    except Refused as refused:
        if refused.status not in (400, 409):
            raise
        form = FIELDS.with_errors({"privateNote": typed}, refused.problem)
        context = {"ticket": await page.api.ticket(ticket_id), "form": form}
        status = 422 if refused.status == 400 else 409
        return page.render(
            "sell/private_note.html", context, fragment="sell/_private_note.html", status=status
        )
    return page.redirect(f"/tickets/{ticket_id}")


@get("/tickets/{ticket_id:str}/private-note")
async def private_note(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.api.ticket(ticket_id)
    if page.user is None or page.user.id != ticket.user_id:
        return page.redirect(f"/tickets/{ticket.id}")
    context = {"ticket": ticket, "form": Form({"privateNote": ticket.private_note or ""})}
    return page.render("sell/private_note.html", context, fragment="sell/_private_note.html")


@get("/tickets/{ticket_id:str}/withdraw")
async def ask_to_withdraw(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.api.ticket(ticket_id)
    if not _may_change(page, ticket):
        return page.redirect(f"/tickets/{ticket.id}")
    return _confirmation(page, ticket)


def _confirmation(page: Page, ticket: Ticket, alert: str = "", status: int = 200) -> Response[Any]:
    context = {"ticket": ticket, "alert": alert}
    return page.render("sell/withdraw.html", context, fragment="sell/_withdraw.html", status=status)


@post("/tickets/{ticket_id:str}/withdraw")
async def withdraw(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    try:
        await page.api.withdraw_ticket(ticket_id)
    except Refused as refused:
        if refused.status in {401, 404}:
            raise
        ticket = await page.api.ticket(ticket_id)
        alert = why_unchangeable(ticket) or refused.problem.title
        return _confirmation(page, ticket, alert, refused.status)
    return page.redirect(f"/tickets/{ticket_id}")


def _may_change(page: Page, ticket: Ticket) -> bool:
    return page.user is not None and page.user.id == ticket.user_id and ticket.status == "available"


router = Router(
    "/",
    route_handlers=[
        *(new, find_event, create, edit, save),
        *(private_note, save_private_note, ask_to_withdraw, withdraw),
    ],
)
