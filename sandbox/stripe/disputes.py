"""Disputes of payments, and the endpoints that answer them: https://docs.stripe.com/api/disputes

As in Stripe's test mode, submitting the text `winning_evidence` or `losing_evidence` decides a dispute:
https://docs.stripe.com/testing#evidence
"""

import time
from dataclasses import replace

from sandbox.stripe.connect import balance
from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form, Tree
from sandbox.stripe.jobs import Job, Outcome, found, mint
from sandbox.stripe.params import DISPUTE_EXPANDS, read_expand
from sandbox.stripe.state import Charge, Dispute, DisputeStatus
from sandbox.stripe.store import Ledger, Page

_DECISIVE: dict[str, DisputeStatus] = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_dispute(ledger: Ledger, charge: Charge) -> None:
    """Open a dispute of a captured charge if its card is one whose holder disputes everything."""
    if not charge.captured or charge.disputed or not charge.method.card.disputes:
        return
    dispute = Dispute(
        id=mint("du"),
        created=int(time.time()),
        amount=charge.amount_captured,
        currency=charge.currency,
        charge=charge.id,
        payment_intent=charge.payment_intent,
        last4=charge.method.card.last4,
        brand=charge.method.card.brand,
    )
    ledger.save(replace(charge, disputed=True), balance.withdraw_dispute(ledger, dispute))


def is_contested(ledger: Ledger, charge: Charge) -> bool:
    """Whether a dispute of the charge is open or lost."""
    disputes, _ = ledger.listed(Dispute, Page(), charge=charge.id)
    return any(dispute.status != "won" for dispute in disputes)


def update_dispute(dispute_id: str, tree: Tree) -> Job:
    form = Form(tree, "evidence expand metadata submit")
    evidence = form.form("evidence", "uncategorized_text")
    text = evidence.text("uncategorized_text") if evidence else None
    submits, metadata = form.choice("submit", "true false") != "false", form.metadata()

    def work(ledger: Ledger) -> Outcome:
        dispute = _open(ledger, dispute_id)
        decided = _DECISIVE.get(text or "", dispute.status) if submits else dispute.status
        dispute = replace(
            dispute,
            evidence=text or dispute.evidence,
            is_submitted=dispute.is_submitted or (submits and text is not None),
            status=decided,
            metadata={**dispute.metadata, **metadata},
        )
        if dispute.status == "won":
            dispute = balance.reinstate_dispute(ledger, dispute)
        ledger.save(dispute)
        return dispute

    return Job(work, read_expand(form, DISPUTE_EXPANDS), changes=dispute_id)


def close_dispute(dispute_id: str, tree: Tree) -> Job:
    """Accept that the dispute is lost."""
    form = Form(tree, "expand")

    def work(ledger: Ledger) -> Outcome:
        dispute = replace(_open(ledger, dispute_id), status="lost")
        ledger.save(dispute)
        return dispute

    return Job(work, read_expand(form, DISPUTE_EXPANDS), changes=dispute_id)


def _open(ledger: Ledger, dispute_id: str) -> Dispute:
    dispute = found(ledger.find(Dispute, dispute_id), "dispute", dispute_id, param="dispute")
    if dispute.status != "needs_response":
        raise StripeError("This dispute is already closed", param="dispute")
    return dispute
