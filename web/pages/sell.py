"""A seller's side: list a ticket, change it, take it back."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, MultipartBody, URLEncodedBody

from contracts.api import Ticket
from contracts.tickets import CATEGORIES, MAX_QUANTITY
from web.forms import ZONES, Fields, Form, plain_price, utc_of
from web.page import Page, WebRequest, sign_in_address
from web.services import Refused, ServiceDown
from web.uploads import MAX_PICTURE_FORM_BYTES, content_of, far_too_large

FIELDS = Fields(
    {
        "title": "Title",
        "price": "Price",
        "startsAt": "Starts",
        "timeZone": "Time zone",
        "venue": "Venue",
        "city": "City",
        "quantity": "Number of tickets",
        "category": "Category",
        "seat": "Seat or area",
        "faceValue": "Face value",
        "notes": "Notes",
    },
)
BLANK_WORDS = {"title": "Say what it is a ticket for", "price": "Say what it costs, such as 19.99"}
MAX_PICTURE_BYTES = 5 * 1024 * 1024
TOO_LARGE = "The picture is too large: choose one of at most 5 MB"
PICTURE_WORDS = {
    "too-large": TOO_LARGE,
    "unfit": "The picture can't be used: choose another one that is a JPEG, PNG or WebP",
    "away": "The picture didn't get through: choose it once more",
}
"""By what an address says of a picture that wasn't taken."""
BLANK = {"timeZone": "UTC", "quantity": "1"}
AWAY = "The tickets are away for a moment. Send this again in a few seconds: it is listed once, however often"
SENT_BEFORE = (
    "You sent this form before, and that ticket is on sale as it was then. Send this to list another one"
)
_OFFER = re.compile("[A-Za-z0-9_-]{1,100}", re.ASCII)


def _new_offer() -> str:
    """By which a form that is sent twice, or again after no answer came, is one offer."""
    return secrets.token_urlsafe(16)


def _offer_of(data: Mapping[str, Any]) -> str:
    given = data.get("offer")
    return given if isinstance(given, str) and _OFFER.fullmatch(given) else _new_offer()


@get("/sell")
async def new(page: NamedDependency[Page]) -> Response[Any]:
    await page.look()
    if page.viewer.known and page.user is None:
        return page.go(sign_in_address("/sell"))
    return _form(page, Form(BLANK | {"offer": _new_offer()}, _wrong_picture(page)), is_new=True)


@get("/tickets/{ticket_id:str}/edit")
async def edit(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.load(page.services.ticket(ticket_id))
    if not _may_change(page, ticket):
        return page.go(f"/tickets/{ticket.id}")
    return _form(page, Form(_typed(ticket)), ticket, picture=Form(errors=_wrong_picture(page)))


def _wrong_picture(page: Page) -> dict[str, str]:
    words = PICTURE_WORDS.get(page.parameter("picture"))
    return {"picture": words} if words else {}


@post("/tickets/{ticket_id:str}/edit")
async def save(
    page: NamedDependency[Page], ticket_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    typed = FIELDS.values(data)
    try:
        await page.services.edit_ticket(ticket_id, _body(typed))
    except Refused as refused:
        ticket = await page.load(page.services.ticket(ticket_id))
        return await _refused(page, typed, refused, ticket)
    return page.go(f"/tickets/{ticket_id}")


@post("/sell", request_max_body_size=MAX_PICTURE_FORM_BYTES, exception_handlers={413: far_too_large})
async def create(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """The ticket, and then its picture: where that isn't taken the ticket is on sale all the same."""
    data = await request.form()
    said = FIELDS.values({name: value for name, value in data.items() if isinstance(value, str)})
    typed = {**said, "offer": _offer_of(data)}
    picture = await content_of(data.get("picture"))
    if len(picture) > MAX_PICTURE_BYTES:
        await page.look()
        return _form(page, Form(typed, {"picture": TOO_LARGE}), status=422)
    try:
        ticket = await page.services.create_ticket(_body(typed), typed["offer"])
    except ServiceDown:
        await page.look()
        lost = bool(picture) and not page.is_partial
        answer = _form(page, Form(typed), status=503, alert=AWAY, lost_picture=lost)
        answer.headers["Retry-After"] = "3"
        return answer
    except Refused as refused:
        if refused.problem.type == "/problems/idempotency-key-reused":
            await page.look()
            return _form(page, Form(typed | {"offer": _new_offer()}), status=409, alert=SENT_BEFORE)
        return await _refused(page, typed, refused, had_picture=bool(picture))
    is_wanted = ticket.picture is None and ticket.status == "available"  # or it was sent before, and lived on
    reason = await _not_taken(page, ticket, picture) if picture and is_wanted else None
    return page.go(
        f"/tickets/{ticket.id}/edit?listed&picture={reason}" if reason else f"/tickets/{ticket.id}"
    )


async def _not_taken(page: Page, ticket: Ticket, picture: bytes) -> str | None:
    """Why a picture isn't kept, if it isn't. Who sent the form anew would list the ticket twice."""
    try:
        await page.services.give_picture(ticket.id, picture)
    except ServiceDown:
        return "away"
    except Refused as refused:
        return {413: "too-large", 400: "unfit", 415: "unfit"}.get(refused.status, "away")
    return None


@post(
    "/tickets/{ticket_id:str}/picture",
    request_max_body_size=MAX_PICTURE_FORM_BYTES,
    exception_handlers={413: far_too_large},
)
async def give_picture(
    page: NamedDependency[Page], ticket_id: FromPath[str], data: MultipartBody[dict[str, Any]]
) -> Response[Any]:
    content = await content_of(data.get("picture"))
    if not content:
        return await _refused_picture(page, ticket_id, "Choose a picture first")
    try:
        await page.services.give_picture(ticket_id, content)
    except Refused as refused:
        if refused.status not in {400, 409, 413, 415}:
            raise
        words = TOO_LARGE if refused.status == 413 else refused.problem.title
        return await _refused_picture(page, ticket_id, words)
    return page.go(f"/tickets/{ticket_id}")


@post("/tickets/{ticket_id:str}/picture/remove")
async def take_picture(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    try:
        await page.services.take_picture(ticket_id)
    except Refused as refused:
        if refused.status != 409:
            raise
        return await _refused_picture(page, ticket_id, refused.problem.title)
    return page.go(f"/tickets/{ticket_id}/edit")


async def _refused_picture(page: Page, ticket_id: str, words: str) -> Response[Any]:
    ticket = await page.load(page.services.ticket(ticket_id))
    return _form(page, Form(_typed(ticket)), ticket, 422, picture=Form(errors={"picture": words}))


@get("/tickets/{ticket_id:str}/withdraw")
async def ask_to_withdraw(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.load(page.services.ticket(ticket_id))
    if not _may_change(page, ticket):
        return page.go(f"/tickets/{ticket.id}")
    return page.render("sell/withdraw.html", {"ticket": ticket}, fragment="sell/_withdraw.html")


@post("/tickets/{ticket_id:str}/withdraw")
async def withdraw(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    try:
        await page.services.withdraw_ticket(ticket_id)
    except Refused as refused:
        if refused.status in {401, 404}:
            raise
        ticket = await page.load(page.services.ticket(ticket_id))
        context = {"ticket": ticket, "alert": refused.problem.title}
        return page.render(
            "sell/withdraw.html", context, fragment="sell/_withdraw.html", status=refused.status
        )
    return page.go(f"/tickets/{ticket_id}")


def _may_change(page: Page, ticket: Ticket) -> bool:
    return page.user is not None and page.user.id == ticket.user_id and ticket.status == "available"


def _form(
    page: Page,
    form: Form,
    ticket: Ticket | None = None,
    status: int = 200,
    picture: Form | None = None,
    *,
    alert: str = "",
    is_new: bool = False,
    lost_picture: bool = False,
) -> Response[Any]:
    zone = form["timeZone"]
    zones = ZONES if zone in ZONES or not zone else (zone, *ZONES)
    context = {
        "form": form,
        "ticket": ticket,
        "picture": picture or Form(),
        "is_listed": page.has("listed") and ticket is not None and ticket.picture is None,
        "alert": alert,
        "is_new": is_new,
        "lost_picture": lost_picture,
        "zones": [(name, name.replace("_", " ")) for name in zones],
        "quantities": [(str(count), str(count)) for count in range(1, MAX_QUANTITY + 1)],
        "categories": [("", "Choose one"), *((name, name.capitalize()) for name in CATEGORIES)],
    }
    return page.render("sell/form.html", context, fragment="sell/_form.html", status=status)


async def _refused(
    page: Page,
    typed: Mapping[str, str],
    refused: Refused,
    ticket: Ticket | None = None,
    *,
    had_picture: bool = False,
) -> Response[Any]:
    """The form again. Without a script the browser has forgotten which picture was chosen."""
    if refused.status in {401, 404}:
        raise refused
    await page.look()
    status = 422 if refused.status == 400 else refused.status
    words = {name: text for name, text in BLANK_WORDS.items() if not typed[name].strip()}
    if _utc(typed) is None:
        words["startsAt"] = "Give a date and a time"
    fields = replace(FIELDS, words=words)
    lost = had_picture and not page.is_partial
    return _form(page, fields.refused(typed, refused.problem), ticket, status, lost_picture=lost)


def _body(typed: Mapping[str, str]) -> dict[str, str | int]:
    """As the API takes it: title and price always, the rest if it is given.

    What can't be read goes on as it was typed, so that the API names it among all that is wrong.
    """
    starts_at = typed["startsAt"].strip()
    quantity = typed["quantity"].strip()
    optional: dict[str, str | int] = {
        "startsAt": _utc(typed) or "unreadable" if starts_at else "",
        "timeZone": typed["timeZone"].strip() if starts_at else "",
        "quantity": int(quantity) if re.fullmatch("[0-9]{1,6}", quantity) else quantity,
        "faceValue": plain_price(typed["faceValue"]),
        **{name: typed[name].strip() for name in ("venue", "city", "category", "seat")},
        "notes": typed["notes"].replace("\r\n", "\n").strip(),
    }
    given = {name: value for name, value in optional.items() if value != ""}
    return {"title": typed["title"], "price": plain_price(typed["price"]), **given}


def _utc(typed: Mapping[str, str]) -> str | None:
    return utc_of(typed["startsAt"].strip(), typed["timeZone"].strip() or "UTC")


def _typed(ticket: Ticket) -> dict[str, str]:
    """As its seller would type it."""
    zone = ticket.time_zone or "UTC"
    local = ticket.starts_at.astimezone(ZoneInfo(zone)) if ticket.starts_at else None
    return {
        "title": ticket.title,
        "price": f"{ticket.price:.2f}",
        "startsAt": local.strftime("%Y-%m-%dT%H:%M") if local else "",
        "timeZone": zone,
        "venue": ticket.venue or "",
        "city": ticket.city or "",
        "quantity": str(ticket.quantity),
        "category": ticket.category or "",
        "seat": ticket.seat or "",
        "faceValue": f"{ticket.face_value:.2f}" if ticket.face_value else "",
        "notes": ticket.notes or "",
    }


router = Router(
    "/",
    route_handlers=[new, create, edit, save, give_picture, take_picture, ask_to_withdraw, withdraw],
)
