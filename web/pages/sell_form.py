"""The form to list or edit a ticket: its fields, and the body of the API request."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from litestar import Response

from contracts.api import Ticket
from contracts.tickets import CATEGORIES, MAX_QUANTITY
from web.api_client import Refused
from web.forms import Fields, Form, plain_price
from web.page_context import Page
from web.rendering.texts import N_, _
from web.rendering.ticket_texts import category_label

DETAILS = ("seat", "faceValue", "notes", "privateNote")
"""Fields that the form hides under "More details" while they are empty."""
FIELDS = Fields(("title", "price", "startsAt", "timeZone", "venue", "city", "quantity", "category", *DETAILS))
MISSING = {"title": N_("Enter what the ticket is for"), "price": N_("Enter a price, such as 19.99")}
"""Error messages of required fields that are empty."""
BLANK = {"timeZone": "UTC", "quantity": "1"}
ZONES = tuple(
    """
    UTC Europe/Amsterdam Europe/Athens Europe/Berlin Europe/Brussels Europe/Bucharest Europe/Budapest
    Europe/Copenhagen Europe/Dublin Europe/Helsinki Europe/Istanbul Europe/Kyiv Europe/Lisbon Europe/London
    Europe/Madrid Europe/Oslo Europe/Paris Europe/Prague Europe/Rome Europe/Sofia Europe/Stockholm
    Europe/Tallinn Europe/Vienna Europe/Vilnius Europe/Warsaw Europe/Zurich Atlantic/Reykjavik
    America/Anchorage America/Argentina/Buenos_Aires America/Bogota America/Chicago America/Denver
    America/Halifax America/Lima America/Los_Angeles America/Mexico_City America/New_York America/Phoenix
    America/Santiago America/Sao_Paulo America/Toronto America/Vancouver Africa/Cairo Africa/Johannesburg
    Africa/Lagos Africa/Nairobi Asia/Bangkok Asia/Dubai Asia/Hong_Kong Asia/Jakarta Asia/Jerusalem
    Asia/Kolkata Asia/Manila Asia/Seoul Asia/Shanghai Asia/Singapore Asia/Tokyo Australia/Brisbane
    Australia/Melbourne Australia/Perth Australia/Sydney Pacific/Auckland Pacific/Honolulu
    """.split()
)
"""The time zones that the form offers. The API accepts all of these."""


def render_form(
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
        "is_listed": "listed" in page.request.query_params and ticket is not None and ticket.picture is None,
        "alert": alert,
        "is_new": is_new,
        "is_detailed": any(form[name] or name in form.errors for name in DETAILS),
        "lost_picture": lost_picture,
        "zones": [(name, name.replace("_", " ")) for name in zones],
        "quantities": [(str(count), str(count)) for count in range(1, MAX_QUANTITY + 1)],
        "categories": [("", _("Choose a category")), *((name, category_label(name)) for name in CATEGORIES)],
    }
    return page.render("sell/form.html", context, fragment="sell/_form.html", status=status)


async def render_refused(
    page: Page,
    typed: Mapping[str, str],
    refused: Refused,
    ticket: Ticket | None = None,
    *,
    had_picture: bool = False,
) -> Response[Any]:
    """The form with the errors of a refused request. `had_picture` tells whether a picture was chosen, which
    the browser loses without JavaScript.
    """
    if refused.status in {401, 404}:
        raise refused
    status = 422 if refused.status == 400 else refused.status
    messages = {name: text for name, text in MISSING.items() if not typed[name].strip()}
    if _utc(typed) is None:
        messages["startsAt"] = N_("Enter a date and a time")
    fields = replace(FIELDS, messages=messages)
    lost = had_picture and not page.request.wants_fragment
    return render_form(page, fields.with_errors(typed, refused.problem), ticket, status, lost_picture=lost)


def api_body(typed: Mapping[str, str]) -> dict[str, str | int]:
    """The body of the API request. Empty fields except title and price are left out.

    Invalid input is passed on unchanged, so that the API reports all errors at once.
    """
    starts_at = typed["startsAt"].strip()
    quantity = typed["quantity"].strip()
    optional: dict[str, str | int] = {
        "startsAt": _utc(typed) or "unreadable" if starts_at else "",
        "timeZone": typed["timeZone"].strip() if starts_at else "",
        "quantity": int(quantity) if re.fullmatch("[0-9]{1,6}", quantity) else quantity,
        "faceValue": plain_price(typed["faceValue"]),
        **{name: typed[name].strip() for name in ("venue", "city", "category", "seat")},
        **{name: typed[name].replace("\r\n", "\n").strip() for name in ("notes", "privateNote")},
    }
    given = {name: value for name, value in optional.items() if value != ""}
    return {"title": typed["title"], "price": plain_price(typed["price"]), **given}


def _utc(typed: Mapping[str, str]) -> str | None:
    """The start of the event in the API's format. None if the input is invalid."""
    try:
        zone = ZoneInfo(typed["timeZone"].strip() or "UTC")
        moment = datetime.fromisoformat(typed["startsAt"].strip()).replace(tzinfo=zone)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        return None


def typed_values(ticket: Ticket) -> dict[str, str]:
    """The values that the form shows for an existing ticket."""
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
        "privateNote": ticket.private_note or "",
    }
