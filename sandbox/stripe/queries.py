"""What can be looked up: one object, or a list of them, newest first."""

from typing import TypeVar

from sandbox.stripe.errors import StripeError, missing
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Listed, Outcome, found
from sandbox.stripe.params import INTENT_EXPANDS, REFUND_EXPANDS, read_expand
from sandbox.stripe.state import Charge, Intent, Kept, PaymentMethod, Refund
from sandbox.stripe.store import Ledger, Page

K = TypeVar("K", bound=Kept)


def _one(kind: type[K], name: str, id_: str, tree: Tree, expandable: str, param: str) -> Job:
    expand = read_expand(Form(tree, "expand"), expandable)
    return Job(lambda ledger: found(ledger.find(kind, id_), name, id_, param=param), expand)


def intent(intent_id: str, tree: Tree) -> Job:
    return _one(Intent, "payment_intent", intent_id, tree, INTENT_EXPANDS, "intent")


def charge(charge_id: str, tree: Tree) -> Job:
    return _one(Charge, "charge", charge_id, tree, "payment_intent", "charge")


def refund(refund_id: str, tree: Tree) -> Job:
    return _one(Refund, "refund", refund_id, tree, REFUND_EXPANDS, "id")


def payment_method(method_id: str, tree: Tree) -> Job:
    return _one(PaymentMethod, "PaymentMethod", method_id, tree, "", "payment_method")


def intents(tree: Tree) -> Job:
    form = Form(tree, "ending_before expand limit starting_after")
    page = _page(form)

    def work(ledger: Ledger) -> Outcome:
        _check_cursor(ledger, Intent, page)
        things, has_more = ledger.listed(Intent, page)
        return Listed(things, has_more, "/v1/payment_intents")

    return Job(work, read_expand(form, INTENT_EXPANDS, within="data."))


def refunds(tree: Tree) -> Job:
    form = Form(tree, "charge ending_before expand limit payment_intent starting_after")
    page, intent_id, charge_id = _page(form), form.text("payment_intent"), form.text("charge")

    def work(ledger: Ledger) -> Outcome:
        _check_cursor(ledger, Refund, page)
        things, has_more = ledger.listed(Refund, page, intent=intent_id, charge=charge_id)
        return Listed(things, has_more, "/v1/refunds")

    return Job(work, read_expand(form, REFUND_EXPANDS, within="data."))


def _page(form: Form) -> Page:
    limit = form.integer("limit")
    if limit is not None and not 1 <= limit <= 100:
        raise StripeError(
            "Invalid limit: must be from 1 to 100", code="parameter_invalid_integer", param="limit"
        )
    page = Page(limit or 10, form.text("starting_after"), form.text("ending_before"))
    if page.starting_after and page.ending_before:
        raise StripeError(
            "You may only specify one of these parameters: ending_before, starting_after.",
            code="parameters_exclusive",
            param="ending_before",
        )
    return page


def _check_cursor(ledger: Ledger, kind: type[Kept], page: Page) -> None:
    for name, cursor in (("starting_after", page.starting_after), ("ending_before", page.ending_before)):
        if cursor is not None and ledger.find(kind, cursor) is None:
            raise missing("object", cursor, param=name)
