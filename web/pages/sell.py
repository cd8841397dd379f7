"""A seller's side: list a ticket, change it, take it back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import Ticket
from contracts.tickets import CATEGORIES, MAX_QUANTITY
from web.forms import ZONES, Fields, Form, plain_price, utc_of
from web.page import Page, sign_in_address
from web.services import Refused

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
UNREADABLE_DATE = replace(FIELDS, words={"startsAt": "Give a date and a time"})
BLANK = Form({"timeZone": "UTC", "quantity": "1"})


@get("/listings")
async def listings(page: NamedDependency[Page]) -> Response[Any]:
    tickets = await page.load(page.services.my_tickets())
    return page.render("sell/listings.html", {"tickets": tickets}, fragment="sell/_listings.html")


@get("/sell")
async def new(page: NamedDependency[Page]) -> Response[Any]:
    await page.look()
    if page.viewer.known and page.user is None:
        return page.go(sign_in_address("/sell"))
    return _form(page, BLANK)


@post("/sell")
async def create(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    typed = FIELDS.values(data)
    try:
        ticket = await page.services.create_ticket(_body(typed))
    except Refused as refused:
        return await _refused(page, typed, refused)
    return page.go(f"/tickets/{ticket.id}")


@get("/tickets/{ticket_id:str}/edit")
async def edit(page: NamedDependency[Page], ticket_id: FromPath[str]) -> Response[Any]:
    ticket = await page.load(page.services.ticket(ticket_id))
    if not _may_change(page, ticket):
        return page.go(f"/tickets/{ticket.id}")
    return _form(page, Form(_typed(ticket)), ticket)


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


def _form(page: Page, form: Form, ticket: Ticket | None = None, status: int = 200) -> Response[Any]:
    zone = form["timeZone"]
    zones = ZONES if zone in ZONES or not zone else (zone, *ZONES)
    context = {
        "form": form,
        "ticket": ticket,
        "zones": [(name, name.replace("_", " ")) for name in zones],
        "quantities": [(str(count), str(count)) for count in range(1, MAX_QUANTITY + 1)],
        "categories": [("", "Choose one"), *((name, name.capitalize()) for name in CATEGORIES)],
    }
    return page.render("sell/form.html", context, fragment="sell/_form.html", status=status)


async def _refused(
    page: Page, typed: Mapping[str, str], refused: Refused, ticket: Ticket | None = None
) -> Response[Any]:
    if refused.status in {401, 404}:
        raise refused
    await page.look()
    status = 422 if refused.status == 400 else refused.status
    fields = FIELDS if _utc(typed) is not None else UNREADABLE_DATE
    return _form(page, fields.refused(typed, refused.problem), ticket, status)


def _body(typed: Mapping[str, str]) -> dict[str, str | int]:
    """As the API takes it: title and price always, the rest if it is given.

    What can't be read goes on as it was typed, so that the API names it among all that is wrong.
    """
    starts_at = typed["startsAt"].strip()
    quantity = typed["quantity"].strip()
    optional: dict[str, str | int] = {
        "startsAt": _utc(typed) or "unreadable" if starts_at else "",
        "timeZone": typed["timeZone"].strip() if starts_at else "",
        "quantity": int(quantity) if quantity.isascii() and quantity.isdigit() else quantity,
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


router = Router("/", route_handlers=[listings, new, create, edit, save, ask_to_withdraw, withdraw])
