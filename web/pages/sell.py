"""A seller's side: list a ticket, change it, take it back."""

from collections.abc import Mapping
from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import Ticket
from web.forms import Fields, Form, plain_price
from web.page import Page, sign_in_address
from web.services import Refused

FIELDS = Fields(
    {
        "title": "Title",
        "price": "Price",
        "startsAt": "Starts (UTC)",
        "venue": "Venue",
        "city": "City",
    },
    words={"startsAt": "Give a date and a time"},
)


@get("/listings")
async def listings(page: NamedDependency[Page]) -> Response[Any]:
    tickets = await page.load(page.services.my_tickets())
    return page.render("sell/listings.html", {"tickets": tickets}, fragment="sell/_listings.html")


@get("/sell")
async def new(page: NamedDependency[Page]) -> Response[Any]:
    await page.look()
    if page.viewer.known and page.user is None:
        return page.go(sign_in_address("/sell"))
    return _form(page, Form())


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
    context = {"form": form, "fields": FIELDS, "ticket": ticket}
    return page.render("sell/form.html", context, fragment="sell/_form.html", status=status)


async def _refused(
    page: Page, typed: Mapping[str, str], refused: Refused, ticket: Ticket | None = None
) -> Response[Any]:
    if refused.status in {401, 404}:
        raise refused
    await page.look()
    status = 422 if refused.status == 400 else refused.status
    return _form(page, FIELDS.refused(typed, refused.problem), ticket, status)


def _body(typed: Mapping[str, str]) -> dict[str, str]:
    """As the API takes it: title and price always, the rest if it is given."""
    starts_at = typed["startsAt"].strip()
    optional = {
        "startsAt": f"{starts_at}Z" if starts_at else "",
        "venue": typed["venue"].strip(),
        "city": typed["city"].strip(),
    }
    given = {name: value for name, value in optional.items() if value}
    return {"title": typed["title"], "price": plain_price(typed["price"]), **given}


def _typed(ticket: Ticket) -> dict[str, str]:
    """As its seller would type it."""
    return {
        "title": ticket.title,
        "price": f"{ticket.price:.2f}",
        "startsAt": ticket.starts_at.strftime("%Y-%m-%dT%H:%M") if ticket.starts_at else "",
        "venue": ticket.venue or "",
        "city": ticket.city or "",
    }


router = Router("/", route_handlers=[listings, new, create, edit, save, ask_to_withdraw, withdraw])
