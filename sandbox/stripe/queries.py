"""One function for each GET endpoint. It returns one object, or a list with the newest object first."""

from typing import TypeVar

from sandbox.stripe.errors import missing
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Listed, Outcome, found
from sandbox.stripe.lists import PAGED, read_page
from sandbox.stripe.params import (
    CHARGE_EXPANDS,
    DISPUTE_EXPANDS,
    INTENT_EXPANDS,
    REFUND_EXPANDS,
    SESSION_EXPANDS,
    read_expand,
)
from sandbox.stripe.state import Charge, Dispute, Intent, PaymentMethod, Refund, Session, Stored
from sandbox.stripe.store import Ledger

K = TypeVar("K", bound=Stored)


def _one(kind: type[K], name: str, id_: str, tree: Tree, expandable: str, param: str) -> Job:
    expand = read_expand(Form(tree, "expand"), expandable)
    return Job(lambda ledger: found(ledger.find(kind, id_), name, id_, param=param), expand)


def intent(intent_id: str, tree: Tree) -> Job:
    return _one(Intent, "payment_intent", intent_id, tree, INTENT_EXPANDS, "intent")


def charge(charge_id: str, tree: Tree) -> Job:
    return _one(Charge, "charge", charge_id, tree, CHARGE_EXPANDS, "charge")


def refund(refund_id: str, tree: Tree) -> Job:
    return _one(Refund, "refund", refund_id, tree, REFUND_EXPANDS, "id")


def dispute(dispute_id: str, tree: Tree) -> Job:
    return _one(Dispute, "dispute", dispute_id, tree, DISPUTE_EXPANDS, "dispute")


def payment_method(method_id: str, tree: Tree) -> Job:
    return _one(PaymentMethod, "PaymentMethod", method_id, tree, "", "payment_method")


def session(session_id: str, tree: Tree) -> Job:
    return _one(Session, "checkout.session", session_id, tree, SESSION_EXPANDS, "session")


def intents(tree: Tree) -> Job:
    return _list(Intent, "/v1/payment_intents", Form(tree, PAGED), INTENT_EXPANDS)


def refunds(tree: Tree) -> Job:
    form = Form(tree, f"{PAGED} charge payment_intent")
    return _list(Refund, "/v1/refunds", form, REFUND_EXPANDS)


def disputes(tree: Tree) -> Job:
    form = Form(tree, f"{PAGED} charge payment_intent")
    return _list(Dispute, "/v1/disputes", form, DISPUTE_EXPANDS)


def sessions(tree: Tree) -> Job:
    form = Form(tree, f"{PAGED} payment_intent")
    return _list(Session, "/v1/checkout/sessions", form, SESSION_EXPANDS)


def _list(kind: type[Stored], url: str, form: Form, expandable: str) -> Job:
    page, intent_id, charge_id = read_page(form), form.text("payment_intent"), form.text("charge")

    def work(ledger: Ledger) -> Outcome:
        for name in ("starting_after", "ending_before"):
            cursor = getattr(page, name)
            if cursor is not None and ledger.find(kind, cursor) is None:
                raise missing("object", cursor, param=name)
        things, has_more = ledger.listed(kind, page, intent=intent_id, charge=charge_id)
        return Listed(things, has_more, url)

    return Job(work, read_expand(form, expandable, within="data."))
