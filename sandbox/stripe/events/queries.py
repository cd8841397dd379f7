"""The endpoints that return events: https://docs.stripe.com/api/events"""

import re

from sandbox.stripe.connect.state import PLATFORM
from sandbox.stripe.errors import StripeError, missing
from sandbox.stripe.events.log import EventLog
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Listed, Outcome, found
from sandbox.stripe.lists import PAGED, read_page
from sandbox.stripe.params import read_expand
from sandbox.stripe.store import Ledger


def event(event_id: str, tree: Tree, *, account: str = PLATFORM) -> Job:
    expand = read_expand(Form(tree, "expand"), "")

    def work(ledger: Ledger) -> Outcome:
        event = EventLog(ledger.connection).find(event_id)
        mine = event if event is not None and (event.account or PLATFORM) == account else None
        return found(mine, "event", event_id)

    return Job(work, expand)


def events(tree: Tree, *, account: str = PLATFORM) -> Job:
    form = Form(tree, f"{PAGED} type types")
    page, types = read_page(form), _read_types(form)

    def work(ledger: Ledger) -> Outcome:
        log = EventLog(ledger.connection)
        for name in ("starting_after", "ending_before"):
            cursor = getattr(page, name)
            if cursor is not None and log.find(cursor) is None:
                raise missing("event", cursor, param=name)
        things, has_more = log.listed(page, types, account or None)
        return Listed(things, has_more, "/v1/events")

    return Job(work, read_expand(form, ""))


def _read_types(form: Form) -> str | tuple[str, ...] | None:
    one, some = form.text("type"), form.texts("types")
    if one is not None and some:
        raise StripeError(
            "You may only specify one of these parameters: type, types.",
            code="parameters_exclusive",
            param="type",
        )
    if one is not None and not re.fullmatch(r"[a-z0-9_.*]+", one):
        raise StripeError(f"Invalid event type: {one}", param="type")
    if len(some) > 20:
        raise StripeError("You may specify up to 20 types.", param="types")
    return one or some or None
