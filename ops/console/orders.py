"""The pages of orders and tickets, and the actions on them, which are the commands with the same names."""

from datetime import datetime, timedelta

from bson import ObjectId
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect, Template

from contracts.events import LIVE_STATUSES
from contracts.wire import now
from ops.command_line import ORDER_ID
from ops.console.page import AnyRequest, act_and_note, confirmed_reason, operators_only, page, settings_of
from ops.evidence import evidence
from ops.interventions import cancel, extend, submit_evidence, withdraw, write_off
from ops.lookup import NotFound
from ops.refund import refund
from ops.sources import opened
from ops.ticket_page import ticket_page
from ops.timeline import is_stored, timeline
from services.orders.rules import MAX_OPERATOR_HOLD

LATER_BY = (15, 30, 60, 240)
"""Minutes by which the console offers to extend an order."""


@get("/ops/orders/{order_id:str}", guards=[operators_only])
async def order(request: AnyRequest, order_id: FromPath[str]) -> Template:
    _check_order(order_id)
    async with opened(settings_of(request)) as sources:
        if not await is_stored(sources, order_id):
            raise NotFound(
                f"Neither orders nor payments has an order {order_id}. `just show` also searches events."
            )
        found = await timeline(sources, order_id)
        facts = await evidence(sources, order_id)
    is_live = found.order_status in LIVE_STATUSES
    deadlines = offered_deadlines(order_id, found.expires_at) if is_live and found.expires_at else []
    title = f"Order {order_id}"
    return page(
        request,
        "order.html",
        title,
        timeline=found,
        is_live=is_live,
        deadlines=deadlines,
        evidence=facts if found.is_disputed else "",
    )


def _check_order(order_id: str) -> None:
    if not ORDER_ID.fullmatch(order_id):
        raise HTTPException("That isn't an order's id.", status_code=404)


def offered_deadlines(order_id: str, present: datetime) -> list[tuple[datetime, int]]:
    """The deadlines that are offered, and how many minutes each is later than the present one.

    The form sends the chosen time, so that sending it twice extends the order once. None is offered once the
    present deadline has passed, and none that orders would refuse.
    """
    if present <= now():
        return []
    latest = ObjectId(order_id).generation_time + MAX_OPERATOR_HOLD
    later = [(present + timedelta(minutes=minutes), minutes) for minutes in LATER_BY]
    return [(deadline, minutes) for deadline, minutes in later if deadline <= latest]


@post("/ops/orders/{order_id:str}/refund", guards=[operators_only])
async def refund_order(request: AnyRequest, order_id: FromPath[str]) -> Redirect:
    """The command `refund`, with the same options."""
    _check_order(order_id)
    form = await request.form()
    options = {name: name in form for name in ("relist", "again", "returned")}

    async def act() -> str:
        return await refund(settings_of(request), order_id, **options)

    if reason := await confirmed_reason(request):
        await act_and_note(request, "refund", {"order": order_id, "reason": reason, **options}, act)
    return Redirect(f"/ops/orders/{order_id}", status_code=303)


@post("/ops/orders/{order_id:str}/evidence", guards=[operators_only])
async def submit(request: AnyRequest, order_id: FromPath[str]) -> Redirect:
    """Submit the facts that the page shows, as the operator has completed them."""
    _check_order(order_id)
    text = str((await request.form()).get("text", "")).strip()
    if reason := await confirmed_reason(request):
        arguments = {"order": order_id, "reason": reason}
        await act_and_note(
            request,
            "submit-evidence",
            arguments,
            lambda: submit_evidence(settings_of(request), order_id, text),
        )
    return Redirect(f"/ops/orders/{order_id}", status_code=303)


@post("/ops/orders/{order_id:str}/write-off", guards=[operators_only])
async def write_off_debt(request: AnyRequest, order_id: FromPath[str]) -> Redirect:
    """The command `write-off`, for the debt that the page has shown."""
    _check_order(order_id)
    shown = str((await request.form()).get("owed", ""))
    if not (shown.isascii() and shown.isdigit()):
        raise HTTPException("The debt is missing.", status_code=400)
    owed = int(shown[:18])
    if reason := await confirmed_reason(request):
        arguments = {"order": order_id, "owed": owed, "reason": reason}
        await act_and_note(
            request,
            "write-off",
            arguments,
            lambda: write_off(settings_of(request), order_id, reason, owed=owed),
        )
    return Redirect(f"/ops/orders/{order_id}", status_code=303)


@post("/ops/orders/{order_id:str}/cancel", guards=[operators_only])
async def cancel_order(request: AnyRequest, order_id: FromPath[str]) -> Redirect:
    """The command `cancel`."""
    _check_order(order_id)
    if reason := await confirmed_reason(request):
        arguments = {"order": order_id, "reason": reason}
        await act_and_note(
            request, "cancel", arguments, lambda: cancel(settings_of(request), order_id, reason)
        )
    return Redirect(f"/ops/orders/{order_id}", status_code=303)


@post("/ops/orders/{order_id:str}/extend", guards=[operators_only])
async def extend_order(request: AnyRequest, order_id: FromPath[str]) -> Redirect:
    """The command `extend`, with a deadline that the page has offered."""
    _check_order(order_id)
    reason = await confirmed_reason(request)
    try:
        until = datetime.fromisoformat(str((await request.form()).get("until", "")))
    except ValueError:
        raise HTTPException("The new deadline is missing.", status_code=400) from None
    if until.tzinfo is None:
        raise HTTPException("The new deadline has no time zone.", status_code=400)
    if reason:
        arguments = {"order": order_id, "until": until, "reason": reason}
        await act_and_note(
            request, "extend", arguments, lambda: extend(settings_of(request), order_id, until, reason)
        )
    return Redirect(f"/ops/orders/{order_id}", status_code=303)


@get("/ops/tickets/{ticket_id:str}", guards=[operators_only])
async def ticket(request: AnyRequest, ticket_id: FromPath[str]) -> Template:
    _check_ticket(ticket_id)
    async with opened(settings_of(request)) as sources:
        found = await ticket_page(sources, ticket_id)
    return page(request, "ticket.html", f"Ticket {ticket_id}", ticket=found)


def _check_ticket(ticket_id: str) -> None:
    if not ORDER_ID.fullmatch(ticket_id):
        raise HTTPException("That isn't a ticket's id.", status_code=404)


@post("/ops/tickets/{ticket_id:str}/withdraw", guards=[operators_only])
async def withdraw_ticket(request: AnyRequest, ticket_id: FromPath[str]) -> Redirect:
    """The command `withdraw`."""
    _check_ticket(ticket_id)
    if reason := await confirmed_reason(request):
        arguments = {"ticket": ticket_id, "reason": reason}
        await act_and_note(
            request, "withdraw", arguments, lambda: withdraw(settings_of(request), ticket_id, reason)
        )
    return Redirect(f"/ops/tickets/{ticket_id}", status_code=303)


ROUTES = [
    *(order, refund_order, submit, write_off_debt, cancel_order, extend_order),
    *(ticket, withdraw_ticket),
]
