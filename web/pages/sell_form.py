"""The form to list or edit a ticket: its fields, and the body of the API request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from litestar import Response

from contracts import price_caps
from contracts.api import SalesSummary, Show, Ticket
from contracts.tickets import CATEGORIES, MAX_FAILED_SALES, MAX_QUANTITY, country_of
from web import time_zones
from web.api_client import Refused
from web.forms import Fields, Form, plain_price, whole_number
from web.local_times import first_after_gap, moments, offset
from web.page_context import Page
from web.rendering import locales
from web.rendering.templating import why_unchangeable
from web.rendering.texts import N_, _
from web.rendering.ticket_texts import category_label

DETAILS = ("performers", "seat", "notes", "privateNote")
"""Fields that the form hides under "More details" while they are empty."""
EVENT = ("title", "startsAt", "timeZone", "offset", "venue", "city", "country", "category")
"""Fields that describe the event."""
FIELDS = Fields((*EVENT, "price", "quantity", "faceValue", *DETAILS, "promised", "confirmed"))
MISSING = {
    "title": N_("Enter what the ticket is for"),
    "price": N_("Enter a price, such as 19.99"),
    "startsAt": N_("Enter a date and a time"),
    "venue": N_("Enter the venue"),
    "city": N_("Enter the city"),
}
"""Error messages of required fields that are empty. The API requires only title and price."""
BLANK = {"quantity": "1"}


@dataclass(frozen=True)
class StartChoice:
    """One of two moments at which clocks show the entered start of the event."""

    offset: str
    label: str
    hint: str


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
    lost_files: bool = False,
    show: Show | None = None,
    found: Sequence[Show] | None = None,
    summary: SalesSummary | None = None,
    exceeds_cap: bool = False,
) -> Response[Any]:
    """The form. `show` is the event that the seller has chosen, and `found` are those to choose from.

    Args:
        summary: says whether the seller's listings need sealed files.
    """
    zone = form["timeZone"]
    context = {
        "form": form,
        "ticket": ticket,
        "picture": picture or Form(),
        "is_listed": "listed" in page.request.query_params and ticket is not None and ticket.picture is None,
        "alert": alert,
        "is_new": is_new,
        "is_detailed": any(form[name] or name in form.errors for name in DETAILS),
        "lost_picture": lost_picture,
        "lost_files": lost_files,
        "show": show,
        "found": found,
        "summary": summary,
        "max_failed_sales": MAX_FAILED_SALES,
        "caps": price_caps.read(page.settings.price_caps),
        "exceeds_cap": exceeds_cap,
        "requires_face_value": page.settings.require_face_value,
        "query": page.request.query_params.get("q", ""),
        "countries": [("", _("That of the time zone")), *locales.countries()],
        "zones": time_zones.offered(),
        "other_zone": zone if zone and zone not in time_zones.names() else None,
        "starts": _choices(form),
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
    had_files: bool = False,
    show: Show | None = None,
) -> Response[Any]:
    """The form with the errors of a refused request. `had_picture` and `had_files` tell what was chosen,
    which the browser loses without JavaScript.
    """
    if refused.status in {401, 404}:
        raise refused
    status = 422 if refused.status == 400 else refused.status
    messages = {name: text for name, text in MISSING.items() if not typed[name].strip()}
    starts = _starts(typed)
    if starts is None and show is None:
        messages["startsAt"] = N_("Enter a date and a time")
    if refused.problem.type == "/problems/same-seat":
        typed = {**typed, "confirmed": "asked"}
    form = replace(FIELDS, messages=messages).with_errors(typed, refused.problem)
    if ticket is not None and (reason := why_unchangeable(ticket)):
        form = Form(typed, general=(reason,))
    if starts is not None and _chosen(typed, starts) is None:
        form = replace(form, errors=_with_reason(form.errors, typed, starts))
    loses = not page.request.wants_fragment
    exceeds_cap = refused.problem.type == "/problems/price-above-cap"
    return render_form(
        page,
        form,
        ticket,
        status,
        lost_picture=had_picture and loses,
        lost_files=had_files and loses,
        show=show,
        exceeds_cap=exceeds_cap,
    )


def api_body(typed: Mapping[str, str], show: Show | None = None) -> dict[str, Any]:
    """The body of the API request. Optional fields that are empty are left out.

    Invalid input, also an empty date, venue or city, is passed on unchanged, so that the API reports all
    errors at once.

    Args:
        show: the event that the seller has chosen instead of describing one.
    """
    optional: dict[str, Any] = {
        "quantity": whole_number(typed["quantity"]),
        "faceValue": plain_price(typed["faceValue"]),
        "seat": typed["seat"].strip(),
        **{name: typed[name].replace("\r\n", "\n").strip() for name in ("notes", "privateNote")},
    }
    given = {name: value for name, value in optional.items() if value != ""}
    event = _described(typed) if show is None else {"title": show.title, "showId": show.id}
    promise = {"promised": True} if typed["promised"] else {}
    return {**event, "price": plain_price(typed["price"]), **given, **promise}


def _described(typed: Mapping[str, str]) -> dict[str, Any]:
    """The event as the seller describes it."""
    starts_at = typed["startsAt"].strip()
    performers = [name.strip() for name in typed["performers"].split(",") if name.strip()]
    optional: dict[str, Any] = {
        "timeZone": typed["timeZone"].strip() if starts_at else "",
        "country": typed["country"].strip(),
        "category": typed["category"].strip(),
        "performers": performers or "",
    }
    return {
        "title": typed["title"],
        "startsAt": (_utc(typed) or "unreadable") if starts_at else "",
        **{name: typed[name].strip() for name in ("venue", "city")},
        **{name: value for name, value in optional.items() if value != ""},
    }


def _utc(typed: Mapping[str, str]) -> str | None:
    """The start of the event in the API's format. None if the input is invalid or ambiguous."""
    chosen = _chosen(typed, _starts(typed) or ())
    return chosen.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if chosen else None


def _starts(typed: Mapping[str, str]) -> Sequence[datetime] | None:
    """The moments that the entered local time can mean. None if it can't be read."""
    try:
        return moments(_local(typed), _zone(typed))
    except (ValueError, OverflowError, OSError, ZoneInfoNotFoundError):
        return None


def _local(typed: Mapping[str, str]) -> datetime:
    local = datetime.fromisoformat(typed["startsAt"].strip())
    if local.tzinfo is not None:
        raise ValueError("has an offset, which may contradict the time zone")
    return local


def _zone(typed: Mapping[str, str]) -> ZoneInfo:
    return ZoneInfo(typed["timeZone"].strip() or "UTC")


def _chosen(typed: Mapping[str, str], starts: Sequence[datetime]) -> datetime | None:
    """The moment that the seller means. None if clocks skip the time, or show it twice and none is chosen."""
    if len(starts) == 1:
        return starts[0]
    return next((start for start in starts if offset(start) == typed["offset"]), None)


def _with_reason(
    errors: Mapping[str, str], typed: Mapping[str, str], starts: Sequence[datetime]
) -> Mapping[str, str]:
    """The errors of the form with the reason why the start is refused, in place of the API's error."""
    if starts:
        reason = ("offset", _("Choose the first or the second time"))
    else:
        after = first_after_gap(_local(typed), _zone(typed))
        shown = locales.date_and_time_in_zone(after, typed["timeZone"].strip(), locales.current())
        reason = (
            "startsAt",
            _("Clocks go forward and skip this time. The next valid time is %(time)s", time=shown),
        )
    return dict(reason if name == "startsAt" else (name, text) for name, text in errors.items())


def _choices(form: Form) -> Sequence[StartChoice]:
    """The two moments to choose from if clocks show the entered time twice."""
    starts = _starts({name: form[name] for name in ("startsAt", "timeZone")}) or ()
    if len(starts) < 2:
        return ()
    zone, locale = form["timeZone"].strip(), locales.current()
    # Without their offsets, both look the same.
    time = locales.time_of_day(starts[0], zone, locale)
    first, second = map(offset, starts)
    return [
        StartChoice(
            first,
            _("The first %(time)s", time=time),
            _("Before clocks go back (UTC%(offset)s)", offset=first),
        ),
        StartChoice(
            second,
            _("The second %(time)s", time=time),
            _("After clocks go back (UTC%(offset)s)", offset=second),
        ),
    ]


def typed_values(ticket: Ticket) -> dict[str, str]:
    """The values that the form shows for an existing ticket."""
    zone = ticket.time_zone or "UTC"
    local = ticket.starts_at.astimezone(ZoneInfo(zone)) if ticket.starts_at else None
    return {
        "title": ticket.title,
        "price": f"{ticket.price:.2f}",
        "startsAt": local.strftime("%Y-%m-%dT%H:%M") if local else "",
        "timeZone": zone,
        "offset": offset(local) if local else "",
        "venue": ticket.venue or "",
        "city": ticket.city or "",
        "country": "" if ticket.country == country_of(ticket.time_zone) else ticket.country or "",
        "quantity": str(ticket.quantity),
        "category": ticket.category or "",
        "seat": ticket.seat or "",
        "faceValue": f"{ticket.face_value:.2f}" if ticket.face_value else "",
        "notes": ticket.notes or "",
        "privateNote": ticket.private_note or "",
        "promised": "" if ticket.delivery == "seller" else "yes",
    }
