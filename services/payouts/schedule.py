"""When to look at a sale. Pure functions of the sale and the time."""

from datetime import datetime, timedelta

from services.payouts.rules import REMIND_EVERY, SaleState

FIRST_DELAY = timedelta(seconds=30)
MAX_DELAY = timedelta(hours=1)
"""The shortest and the longest time between two attempts to transfer or to reverse."""

DEBT_INTERVAL = timedelta(days=1)
"""How often Stripe is asked again to reverse a transfer to an account that had too little money."""


def next_look(sale: SaleState, now: datetime) -> datetime | None:
    """When something has to be done without an event. None if nothing has."""
    if sale.planned is not None:
        return now  # its outcome isn't known
    match sale.state:
        case "held":
            return max(sale.due_at, now) if sale.due_at is not None else None
        case "due":
            return now + REMIND_EVERY if sale.needs_account else now
        case "frozen":
            return None  # the end of the dispute is an event
        case _:
            return now if sale.reversible > 0 else None


def after_failure(sale: SaleState, now: datetime) -> datetime:
    """When to try again: the later, the longer the sale has been due."""
    since = sale.due_at if sale.due_at is not None and sale.due_at <= now else now
    return now + min(max((now - since) / 2, FIRST_DELAY), MAX_DELAY)


def after_look(sale: SaleState, now: datetime) -> datetime | None:
    """When to look again after a look that has changed nothing."""
    look_at = next_look(sale, now)
    return max(look_at, now + FIRST_DELAY) if look_at is not None else None
