"""Disputes at the sandbox, and refunds on which a bank decides later."""

import pytest
import stripe

from tests.support.polling import until
from tests.support.stripe_sandbox import HTTPX_WARNING, paid_by

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)


async def refunded(token: str, shop: stripe.StripeClient) -> tuple[stripe.PaymentIntent, stripe.Refund]:
    """A captured payment of 19.99, of which 5.00 are refunded."""
    intent = await paid_by(token, shop, capture_method="automatic")
    return intent, await shop.v1.refunds.create_async({"payment_intent": intent.id, "amount": 500})


async def disputed(shop: stripe.StripeClient) -> stripe.Dispute:
    intent = await paid_by("tok_createDispute", shop, capture_method="automatic")
    (dispute,) = (await shop.v1.disputes.list_async({"payment_intent": intent.id})).data
    assert (dispute.status, dispute.amount, dispute.charge) == ("needs_response", 1999, intent.latest_charge)
    return dispute


async def events_of(shop: stripe.StripeClient, id_: str) -> list[str]:
    """The types of all events that show this object, oldest first."""
    listed = await shop.v1.events.list_async({"limit": 100})
    found = [str(event.type) async for event in listed.auto_paging_iter() if event.data.object["id"] == id_]
    return found[::-1]


async def test_a_pending_refund_succeeds_later(shop: stripe.StripeClient) -> None:
    _, refund = await refunded("tok_pendingRefund", shop)
    assert refund.status == "pending"

    async def succeeds() -> bool:
        return (await shop.v1.refunds.retrieve_async(refund.id)).status == "succeeded"

    await until(succeeds)
    assert await events_of(shop, refund.id) == ["refund.created", "refund.updated", "charge.refund.updated"]


async def test_a_refund_that_fails_after_its_success_can_be_repeated(shop: stripe.StripeClient) -> None:
    intent, refund = await refunded("tok_refundFail", shop)
    assert refund.status == "succeeded"

    async def fails() -> bool:
        return (await shop.v1.refunds.retrieve_async(refund.id)).status == "failed"

    await until(fails)
    assert (await shop.v1.refunds.retrieve_async(refund.id)).failure_reason == "lost_or_stolen_card"
    charge = await shop.v1.charges.retrieve_async(str(intent.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert "refund.failed" in await events_of(shop, refund.id)
    assert (await shop.v1.refunds.create_async({"payment_intent": intent.id})).amount == 1999


async def test_a_disputed_payment_cannot_be_refunded_until_the_dispute_is_won(
    shop: stripe.StripeClient,
) -> None:
    dispute = await disputed(shop)
    with pytest.raises(stripe.InvalidRequestError, match="charged back") as caught:
        await shop.v1.refunds.create_async({"charge": str(dispute.charge)})
    assert caught.value.code == "charge_disputed"
    won = await shop.v1.disputes.update_async(
        dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    assert won.status == "won"
    assert (await shop.v1.refunds.create_async({"charge": str(dispute.charge)})).amount == 1999
    assert await events_of(shop, dispute.id) == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]


@pytest.mark.parametrize("how", ["closed", "bad evidence"])
async def test_a_lost_dispute_stays_lost(shop: stripe.StripeClient, how: str) -> None:
    dispute = await disputed(shop)
    if how == "closed":
        lost = await shop.v1.disputes.close_async(dispute.id)
    else:
        lost = await shop.v1.disputes.update_async(
            dispute.id, {"evidence": {"uncategorized_text": "losing_evidence"}}
        )
    assert lost.status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        await shop.v1.disputes.close_async(dispute.id)


async def test_evidence_that_is_not_submitted_decides_nothing(shop: stripe.StripeClient) -> None:
    dispute = await disputed(shop)
    kept = await shop.v1.disputes.update_async(
        dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": False}
    )
    assert (kept.status, kept.evidence.uncategorized_text) == ("needs_response", "winning_evidence")
    details = kept.evidence_details
    assert (details.has_evidence, details.submission_count) == (True, 0)
    assert details.submission_method == "not_submitted"


async def test_submitted_evidence_is_counted(shop: stripe.StripeClient) -> None:
    dispute = await disputed(shop)
    submitted = await shop.v1.disputes.update_async(
        dispute.id, {"evidence": {"uncategorized_text": "A ticket"}}
    )
    details = submitted.evidence_details
    assert (details.submission_count, details.submission_method) == (1, "manual")
