"""Alerts and favorites: what the user wants to be told of, and the tickets that the user was told of."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import Alert
from contracts.tickets import MAX_QUANTITY
from web.api_client import Refused
from web.forms import Fields, Form, plain_price, whole_number
from web.page_context import Page
from web.pages.accounts import sign_in_first
from web.redirects import sign_in_address
from web.rendering.texts import N_, _
from web.rendering.ticket_texts import tickets_together
from web.request import WebRequest

ADDRESS = "/account/alerts"
MAIL_KIND = "ticket-alert"
"""The kind of the emails about matches, which people may stop."""

ALERT = Fields(
    ("priceTo", "quantity"),
    {"priceTo": N_("Price must be an amount such as 49.90"), "quantity": N_("Choose how many you need")},
)


@get(ADDRESS)
async def alerts(page: NamedDependency[Page]) -> Response[Any]:
    """All alerts and favorites of the user, and the newest matches."""
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    found, gets_mail = await asyncio.gather(
        page.api.alerts(), page.optional(page.api.wants_mail(_user_of(page), MAIL_KIND))
    )
    context = {"found": found, "gets_mail": gets_mail is not False}
    return page.render("alerts/list.html", context, fragment="alerts/_list.html")


@post(f"{ADDRESS}/emails", status_code=200)
async def resume_emails(page: NamedDependency[Page]) -> Response[Any]:
    """Send emails about matches again, after the user has stopped them with the link of one."""
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    await page.api.resume_mail(_user_of(page), MAIL_KIND)
    return page.redirect(ADDRESS)


@get(f"{ADDRESS}/new")
async def new(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """The form for an event, and the favorites that go with it."""
    event_id = request.query_params.get("event", "")[:100]
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    if page.viewer.unconfirmed:
        return await page.confirmed_meanwhile() or page.redirect("/account/confirm")
    return await _form(page, event_id, None)


@post(ADDRESS, status_code=200)
async def add(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    """Add an alert or a favorite, or change the conditions of an alert."""
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    event_id = data.get("event", "")
    values = ALERT.values(data)
    try:
        await page.api.add_alert(_body(event_id, data))
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address(f"{ADDRESS}/new?event={event_id}"))
        if refused.status not in (400, 409):
            raise
        status = 422 if refused.status == 400 else refused.status
        return await _form(page, event_id, ALERT.with_errors(values, refused.problem), status)
    return page.redirect(ADDRESS)


@post(f"{ADDRESS}/{{alert_id:str}}/remove")
async def remove(page: NamedDependency[Page], alert_id: FromPath[str]) -> Response[Any]:
    """Stop an alert or a favorite. Repeating it changes nothing."""
    await page.api.remove_alert(alert_id)
    return page.redirect(ADDRESS)


def _user_of(page: Page) -> str:
    return page.user.id if page.user else ""


async def _form(page: Page, event_id: str, form: Form | None, status: int = 200) -> Response[Any]:
    event = await page.api.show(event_id)
    mine = (await page.api.alerts()).alerts
    of_event = [alert for alert in mine if alert.show is not None and alert.show.id == event.id]
    known = next((alert for alert in of_event if alert.kind == "alert"), None)
    context = {
        "event": event,
        "form": form or _filled_in(known),
        "known": known,
        "quantities": [
            ("", _("Any number")),
            *((str(count), tickets_together(count)) for count in range(1, MAX_QUANTITY + 1)),
        ],
        "favorite": next((alert for alert in of_event if alert.kind == "favorite"), None),
        "performers": [(name, _favorite_of(name, mine)) for name in event.performers],
    }
    return page.render("alerts/new.html", context, fragment="alerts/_new.html", status=status)


def _filled_in(known: Alert | None) -> Form:
    if known is None:
        return Form({})
    price = "" if known.price_to is None else f"{known.price_to:f}"
    return Form({"priceTo": price, "quantity": str(known.quantity or "")})


def _favorite_of(name: str, alerts: Sequence[Alert]) -> Alert | None:
    """The user's favorite with this name, as far as the spelling differs only in case."""
    wanted = name.casefold()
    return next((alert for alert in alerts if (alert.performer or "").casefold() == wanted), None)


def _body(event_id: str, data: Mapping[str, str]) -> dict[str, Any]:
    """The request. Fields that are empty aren't sent."""
    if performer := data.get("performer"):
        return {"kind": "favorite", "performer": performer}
    if data.get("kind") == "favorite":
        return {"kind": "favorite", "showId": event_id}
    conditions = {
        "priceTo": plain_price(data.get("priceTo", "")),
        "quantity": whole_number(data.get("quantity", "")),
    }
    return {
        "kind": "alert",
        "showId": event_id,
        **{name: value for name, value in conditions.items() if value != ""},
    }


router = Router("/", route_handlers=[alerts, resume_emails, new, add, remove])
