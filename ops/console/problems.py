"""The queue of reported problems that wait for a decision, and the command `decide-problem` as its action."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bson import ObjectId
from litestar import Response, get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect, Template
from pymongo import ASCENDING

from contracts.api import ReportedOrder
from contracts.events import DeliveryState, ProblemKind
from contracts.money import from_minor_units
from ops import operator_api
from ops.command_line import ORDER_ID
from ops.console.page import (
    AnyRequest,
    act_and_note,
    confirmed_reason,
    operators_only,
    page,
    session_of,
    settings_of,
)
from ops.interventions import DECISIONS, decide_problem
from ops.sources import Sources, opened
from settings import Settings

PHOTO_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)

MOST_ACCESSES = 20
"""The most accesses to files that are shown of an order, the first ones."""

KINDS: Mapping[ProblemKind, str] = {
    "not-received": "The ticket didn't arrive",
    "invalid": "The ticket wasn't accepted",
    "not-as-described": "The ticket isn't as described",
}
DELIVERIES: Mapping[DeliveryState | None, str] = {
    None: "Unknown",
    "sealed": "Files are stored",
    "due": "Not delivered yet",
    "delivered": "Delivered",
    "confirmed": "Delivered and confirmed",
    "failed": "Failed",
}


@dataclass(frozen=True)
class Shown:
    """A report as operators read it."""

    order: ReportedOrder
    accesses: Sequence[tuple[datetime, bool]]
    """When files of the ticket were downloaded, and whether by the buyer."""
    currency: str

    @property
    def kind(self) -> str:
        return KINDS[self.order.problem.kind]

    @property
    def delivery(self) -> str:
        return DELIVERIES[self.order.delivery]

    @property
    def price(self) -> str:
        return f"{self.order.price:.2f} {self.currency}"

    @property
    def refunded(self) -> str | None:
        """What the buyer got back already, if anything."""
        amount = self.order.refunded_amount
        return f"{from_minor_units(amount):.2f} {self.currency}" if amount else None

    @property
    def starts_at(self) -> str:
        """The start in the event's time zone."""
        if self.order.starts_at is None:
            return "Without a date"
        zone = self.order.time_zone or "UTC"
        try:
            local = self.order.starts_at.astimezone(ZoneInfo(zone))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            local, zone = self.order.starts_at, "UTC"
        return f"{local:%Y-%m-%d %H:%M} ({zone})"


@get("/ops/problems", guards=[operators_only])
async def problems(request: AnyRequest) -> Template:
    """Open reports, with what both sides say and what is known about the delivery."""
    settings = settings_of(request)
    found = await _open_reports(settings)
    async with opened(settings) as sources:
        currency = settings.currency.upper()
        shown = [Shown(each, await _accesses(sources, each), currency) for each in found]
    return page(request, "problems.html", "Problems", reports=shown)


async def _open_reports(settings: Settings) -> Sequence[ReportedOrder]:
    async with operator_api.client() as http:
        result = await operator_api.request(
            http,
            settings,
            *("orders", "/api/orders/problems", None),
            failure="The reported problems aren't known",
            unknown="orders is of an older version",
            method="GET",
        )
    return [ReportedOrder.model_validate(each) for each in result]


async def _accesses(sources: Sources, order: ReportedOrder) -> list[tuple[datetime, bool]]:
    """When files of the ticket were downloaded, and whether by the buyer."""
    reads = sources.database("tickets")["file_accesses"]
    which: Mapping[str, Any] = {"ticket_id": ObjectId(order.ticket_id)}
    found = reads.find(which, sort=[("at", ASCENDING)], limit=MOST_ACCESSES)
    return [(each["at"], each["user_id"] == order.user_id) async for each in found]


@get("/ops/problems/{order_id:str}/photos/{photo_id:str}", guards=[operators_only])
async def photo(request: AnyRequest, order_id: FromPath[str], photo_id: FromPath[str]) -> Response[bytes]:
    """A photo of one side, which orders has copied, so that it is nothing but a picture."""
    if not ORDER_ID.fullmatch(order_id) or not PHOTO_ID.fullmatch(photo_id):
        raise HTTPException("There is no such photo.", status_code=404)
    path = f"/api/orders/problems/{order_id}/photos/{photo_id}"
    async with operator_api.client() as http:
        content = await operator_api.download(
            http, settings_of(request), "orders", path, failure="The photo can't be shown"
        )
    headers = {"Content-Disposition": 'inline; filename="photo.jpg"'}
    return Response(content, media_type="image/jpeg", headers=headers)


@post("/ops/problems/{order_id:str}/decide", guards=[operators_only])
async def decide(request: AnyRequest, order_id: FromPath[str]) -> Redirect:
    """The command `decide-problem`. What the operator has read is compared with what is stored."""
    if not ORDER_ID.fullmatch(order_id):
        raise HTTPException("That isn't an order's id.", status_code=404)
    form = await request.form()
    decision, amount, seen = (str(form.get(name, "")).strip() for name in ("decision", "amount", "seen"))
    reason = await confirmed_reason(request)
    if reason and decision not in DECISIONS:
        session_of(request).notes.append("Nothing was done: choose a decision.")
    elif reason:
        amount = amount if decision == "partial-refund" else ""
        arguments = {"order": order_id, "decision": decision, "amount": amount, "reason": reason}
        await act_and_note(
            request,
            "decide-problem",
            arguments,
            lambda: decide_problem(
                settings_of(request), order_id, decision, reason, amount=amount, seen=seen
            ),
        )
    return Redirect("/ops/problems", status_code=303)


ROUTES = [problems, photo, decide]
