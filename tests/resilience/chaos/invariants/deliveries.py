"""Every buyer of a paid order gets the ticket, or the money back."""

from collections.abc import Iterator

from contracts import events
from tests.resilience.chaos.history import History
from tests.resilience.chaos.invariants.lookups import GRACE, by_key, key, way_of_delivery
from tests.resilience.chaos.invariants.orders import SWEEP

THERE = ("delivered", "confirmed")


def promises_are_kept_or_refunded(history: History) -> Iterator[str]:
    """A complete order of a promised ticket is delivered, or due. One that failed is refunded."""
    late = history.at - GRACE - events.GRACE - SWEEP
    for order in history.orders:
        if order["status"] != "complete" or order["details"]["delivery"] == "seller":
            continue
        delivery, by = order["delivery"], order["deliver_by"]
        if delivery == "due" and (by is None or by < late):
            yield f"the promised ticket of order {key(order)} was due at {by}, and nobody is refunded"
        if delivery not in ("due", *THERE):
            yield f"the promised ticket of order {key(order)} is {delivery}, and nobody is refunded"


def deliveries_follow_files(history: History) -> Iterator[str]:
    """An order is delivered as soon as its ticket has all files, and files never revive a failed delivery."""
    tickets = by_key(history.tickets)
    for order in history.orders:
        ticket = tickets.get(str(order["ticket_id"]))
        if ticket is None or ticket["order_id"] != key(order):
            continue
        has_files = way_of_delivery(ticket) == "instant"
        if order["status"] == "complete" and has_files and order["delivery"] not in THERE:
            yield f"the files of order {key(order)} are there, but its delivery is {order['delivery']}"
        if order["delivery"] in THERE and order["delivered_at"] is None:
            yield f"order {key(order)} is {order['delivery']}, but nobody knows since when"
        if order["delivery"] == "confirmed" and order["confirmed_at"] is None:
            yield f"order {key(order)} is confirmed, but nobody knows since when"


def uploads_match_responses(history: History) -> Iterator[str]:
    """A ticket whose file was accepted has it. No ticket has files that nobody uploaded."""
    tickets = by_key(history.tickets)
    uploads = [request for request in history.requests if request.what == "upload"]
    for request in uploads:
        ticket = tickets.get(request.about)
        if request.is_done and (ticket is None or ticket["files_ready_at"] is None):
            yield f"a file of ticket {request.about} was accepted, but the ticket doesn't have it"
    possible = {request.about for request in uploads if not request.is_refused}
    for ticket in history.tickets:
        if ticket["files_ready_at"] is not None and key(ticket) not in possible:
            yield f"ticket {key(ticket)} has files, but nobody uploaded one or was refused"


def due_deliveries_have_timers(history: History) -> Iterator[str]:
    """Every delivery that is due has a timer at its deadline, if it has one."""
    timers = {(timer.order, timer.due) for timer in history.timers}
    for order in history.orders:
        by = order["deliver_by"]
        is_due = order["status"] == "complete" and order["delivery"] == "due" and order["overdue_at"] is None
        # A timer that was about to fire may have fired between reading the databases and the timers.
        if is_due and by is not None and by > history.at + 6 * GRACE and (key(order), by) not in timers:
            yield f"the delivery of order {key(order)} is due and has no timer"
