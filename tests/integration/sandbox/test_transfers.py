"""Transfers to connected accounts at the sandbox, their reversals, and the balances on both sides."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from tests.support.connect import (
    acting_for,
    balance_of,
    onboarded,
    opened_account,
    settled,
    transferred,
)
from tests.support.polling import until
from tests.support.stripe_sandbox import HTTPX_WARNING, paid_by, problem

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)


@pytest.fixture
async def seller(shop: stripe.StripeClient, http: httpx.AsyncClient) -> stripe.Account:
    return await onboarded(shop, http)


async def platform_transactions(shop: stripe.StripeClient, source: str) -> list[tuple[str, int, int]]:
    """Type, amount and fee of all movements of the platform's balance that this object caused."""
    found = await shop.v1.balance_transactions.list_async({"source": source})
    return [(each.type, each.amount, each.fee) for each in found.data]


async def event_types(shop: stripe.StripeClient, id_: str) -> list[str]:
    """The types of the newest events about an object, oldest first."""
    events = (await shop.v1.events.list_async({"limit": 100})).data
    return [event.type for event in reversed(events) if event.data.object["id"] == id_]


async def test_a_captured_payment_enters_the_balance_with_stripes_fee(shop: stripe.StripeClient) -> None:
    held = await paid_by("tok_visa", shop)
    held_charge = await shop.v1.charges.retrieve_async(str(held.latest_charge))
    assert held_charge.balance_transaction is None
    await shop.v1.payment_intents.capture_async(held.id)
    intent = await shop.v1.payment_intents.retrieve_async(
        held.id, {"expand": ["latest_charge.balance_transaction"]}
    )
    assert isinstance(intent.latest_charge, stripe.Charge)
    made = intent.latest_charge.balance_transaction
    assert isinstance(made, stripe.BalanceTransaction)
    assert (made.type, made.amount, made.fee, made.net, made.currency) == ("charge", 1999, 88, 1911, "usd")
    assert (made.source, made.exchange_rate) == (held_charge.id, None)
    assert made.available_on > made.created


async def test_a_payment_in_another_currency_settles_in_that_of_the_platform(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    paid = await settled(shop, currency="cad", amount=10_000)
    made = paid.transaction
    assert (made.amount, made.currency, made.exchange_rate) == (7200, "usd", 0.72)
    transfer: Any = {"amount": 7200, "destination": seller.id, "source_transaction": paid.charge}
    with pytest.raises(stripe.InvalidRequestError, match=r"\(usd\) must be the same .* \(cad\)") as caught:
        await shop.v1.transfers.create_async(transfer | {"currency": "cad"})
    assert problem(caught.value)["param"] == "currency"
    assert (await shop.v1.transfers.create_async(transfer | {"currency": "usd"})).amount == 7200


async def test_a_transfer_moves_money_of_a_payment_to_the_seller(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    paid = await settled(shop)
    group = str(uuid4())
    made = await shop.v1.transfers.create_async(
        {
            "amount": 1500,
            "currency": "usd",
            "destination": seller.id,
            "source_transaction": paid.charge,
            "transfer_group": group,
            "metadata": {"order_id": "o1"},
        }
    )
    assert (made.amount, made.destination, made.source_transaction) == (1500, seller.id, paid.charge)
    assert (made.transfer_group, made.to_dict()["metadata"]) == (group, {"order_id": "o1"})
    assert await platform_transactions(shop, made.id) == [("transfer", -1500, 0)]
    assert await balance_of(shop, seller) == (1500, 0)
    mine = await shop.v1.balance_transactions.list_async({}, acting_for(seller))
    assert [(each.type, each.amount, each.source) for each in mine.data] == [
        ("payment", 1500, made.destination_payment)
    ]
    assert await event_types(shop, made.id) == ["transfer.created"]
    assert (await shop.v1.transfers.retrieve_async(made.id)).to_dict() == made.to_dict()


async def test_money_that_is_not_available_yet_stays_pending_after_a_transfer(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    paid = await settled(shop, "tok_visa")
    await shop.v1.transfers.create_async(
        {"amount": 1000, "currency": "usd", "destination": seller.id, "source_transaction": paid.charge}
    )
    available, pending = await balance_of(shop, seller)
    assert (available, pending) in ((0, 1000), (1000, 0))
    assert await until(lambda: balance_of(shop, seller), lambda balance: balance == (1000, 0))


async def test_transfers_of_a_payment_do_not_exceed_it(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    paid = await settled(shop)
    transfer: Any = {"currency": "usd", "destination": seller.id, "source_transaction": paid.charge}
    with pytest.raises(stripe.InvalidRequestError, match="must not exceed the source amount"):
        await shop.v1.transfers.create_async(transfer | {"amount": 2000})
    first = await shop.v1.transfers.create_async(transfer | {"amount": 1500})
    with pytest.raises(stripe.InvalidRequestError, match=r"4\.99 USD are left") as caught:
        await shop.v1.transfers.create_async(transfer | {"amount": 500})
    assert problem(caught.value)["param"] == "amount"
    await shop.v1.transfers.reversals.create_async(first.id, {"amount": 1})
    await shop.v1.transfers.create_async(transfer | {"amount": 500})


@pytest.mark.parametrize("choice", [None, "later", "rejected"])
async def test_an_account_without_the_capability_receives_nothing(
    shop: stripe.StripeClient, http: httpx.AsyncClient, choice: str | None
) -> None:
    account = await (onboarded(shop, http, choice) if choice else opened_account(shop))
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await transferred(shop, account)
    assert caught.value.code == "insufficient_capabilities_for_transfer"


async def test_a_transfer_without_a_payment_needs_available_money(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    transfer: Any = {"amount": 1000, "currency": "nzd", "destination": seller.id}
    await settled(shop, "tok_visa", currency="nzd")
    with pytest.raises(stripe.InvalidRequestError, match="insufficient available funds") as caught:
        await shop.v1.transfers.create_async(transfer | {"amount": 99_999_999})
    assert caught.value.code == "balance_insufficient"
    await settled(shop, "tok_bypassPending", currency="nzd")
    assert (await shop.v1.transfers.create_async(transfer)).source_transaction is None


async def test_a_payment_that_is_not_captured_cannot_be_transferred(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    held = await paid_by("tok_visa", shop)
    transfer: Any = {"amount": 1000, "currency": "usd", "destination": seller.id}
    for source, message in ((str(held.latest_charge), "isn't captured"), ("ch_unknown", "No such charge")):
        with pytest.raises(stripe.InvalidRequestError, match=message) as caught:
            await shop.v1.transfers.create_async(transfer | {"source_transaction": source})
        assert problem(caught.value)["param"] == "source_transaction"
    with pytest.raises(stripe.InvalidRequestError, match="No such destination"):
        await shop.v1.transfers.create_async(transfer | {"destination": "acct_unknown"})


async def test_a_repeated_transfer_with_the_same_key_is_made_once(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    paid, key = await settled(shop), str(uuid4())
    transfer: Any = {"amount": 900, "currency": "usd", "destination": seller.id}
    transfer["source_transaction"] = paid.charge
    results = await asyncio.gather(
        *(shop.v1.transfers.create_async(transfer, {"idempotency_key": key}) for _ in range(3)),
        return_exceptions=True,
    )
    made = {each.id for each in results if isinstance(each, stripe.Transfer)}
    made.add((await shop.v1.transfers.create_async(transfer, {"idempotency_key": key})).id)
    assert len(made) == 1
    assert await balance_of(shop, seller) == (900, 0)
    # Control: another key makes another transfer.
    await shop.v1.transfers.create_async(transfer, {"idempotency_key": f"{key}:2"})
    assert await balance_of(shop, seller) == (1800, 0)


async def test_transfers_are_listed_by_group_and_by_destination(
    shop: stripe.StripeClient, http: httpx.AsyncClient, seller: stripe.Account
) -> None:
    other, group = await onboarded(shop, http), str(uuid4())
    first = await transferred(shop, seller, transfer_group=group)
    second = await transferred(shop, other, transfer_group=group)
    third = await transferred(shop, seller)

    async def listed(**filters: Any) -> list[str]:
        params: Any = filters
        return [each.id for each in (await shop.v1.transfers.list_async(params)).data]

    assert await listed(transfer_group=group) == [second.id, first.id]
    assert await listed(destination=seller.id) == [third.id, first.id]
    assert await listed(destination=seller.id, transfer_group=group) == [first.id]
    assert await listed(destination=seller.id, created={"gte": first.created}) == [third.id, first.id]
    assert await listed(destination=seller.id, limit=1, starting_after=third.id) == [first.id]
    assert await listed(transfer_group="nothing") == []


async def test_the_group_of_a_transfer_comes_from_the_payment_if_none_is_given(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    grouped = await settled(shop, transfer_group="a group")
    transfer: Any = {"amount": 100, "currency": "usd", "destination": seller.id}
    made = await shop.v1.transfers.create_async(transfer | {"source_transaction": grouped.charge})
    assert made.transfer_group == "a group"
    assert str((await transferred(shop, seller)).transfer_group).startswith("group_pi_")


async def test_a_partial_reversal_takes_back_a_part(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    transfer = await transferred(shop, seller)
    reversal = await shop.v1.transfers.reversals.create_async(
        transfer.id, {"amount": 400, "metadata": {"why": "refund"}}
    )
    assert (reversal.amount, reversal.transfer) == (400, transfer.id)
    shown = await shop.v1.transfers.retrieve_async(transfer.id)
    assert (shown.amount_reversed, shown.reversed) == (400, False)
    assert [each.id for each in shown.reversals.data] == [reversal.id]
    assert await balance_of(shop, seller) == (600, 0)
    assert await platform_transactions(shop, reversal.id) == [("transfer_refund", 400, 0)]
    rest = await shop.v1.transfers.reversals.create_async(transfer.id)
    assert rest.amount == 600
    shown = await shop.v1.transfers.retrieve_async(transfer.id)
    assert (shown.amount_reversed, shown.reversed) == (1000, True)
    assert await balance_of(shop, seller) == (0, 0)
    listed = await shop.v1.transfers.reversals.list_async(transfer.id)
    assert [each.id for each in listed.data] == [rest.id, reversal.id]
    assert (await shop.v1.transfers.reversals.retrieve_async(transfer.id, rest.id)).amount == 600
    assert await event_types(shop, transfer.id) == [
        "transfer.created",
        "transfer.reversed",
        "transfer.reversed",
    ]


async def test_a_reversal_does_not_exceed_what_is_left(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    transfer = await transferred(shop, seller)
    await shop.v1.transfers.reversals.create_async(transfer.id, {"amount": 900})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed amount"):
        await shop.v1.transfers.reversals.create_async(transfer.id, {"amount": 101})
    await shop.v1.transfers.reversals.create_async(transfer.id, {"amount": 100})
    with pytest.raises(stripe.InvalidRequestError, match="already been fully reversed"):
        await shop.v1.transfers.reversals.create_async(transfer.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such transfer"):
        await shop.v1.transfers.reversals.create_async("tr_unknown")


async def test_a_reversal_needs_money_in_the_sellers_balance(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    transfer = await transferred(shop, seller)
    await shop.v1.payouts.create_async({"amount": 800, "currency": "usd"}, acting_for(seller))
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.transfers.reversals.create_async(transfer.id)
    assert caught.value.code == "balance_insufficient"
    assert (await shop.v1.transfers.retrieve_async(transfer.id)).amount_reversed == 0
    assert (await shop.v1.transfers.reversals.create_async(transfer.id, {"amount": 200})).amount == 200


async def test_the_description_and_metadata_of_a_transfer_can_change(
    shop: stripe.StripeClient, seller: stripe.Account
) -> None:
    transfer = await transferred(shop, seller, metadata={"a": "1", "b": "2"})
    changed = await shop.v1.transfers.update_async(
        transfer.id, {"description": "Two seats", "metadata": {"a": ""}}
    )
    assert (changed.description, changed.to_dict()["metadata"]) == ("Two seats", {"b": "2"})
    assert await event_types(shop, transfer.id) == ["transfer.created", "transfer.updated"]


async def test_a_refund_leaves_the_balance_without_its_fee(shop: stripe.StripeClient) -> None:
    paid = await settled(shop)
    refund = await shop.v1.refunds.create_async({"charge": paid.charge, "amount": 500})
    assert await platform_transactions(shop, refund.id) == [("refund", -500, 0)]


async def test_the_money_of_a_failed_refund_comes_back(shop: stripe.StripeClient) -> None:
    paid = await settled(shop, "tok_refundFail")
    refund = await shop.v1.refunds.create_async({"charge": paid.charge})

    async def failed() -> stripe.Refund:
        return await shop.v1.refunds.retrieve_async(refund.id)

    shown = await until(failed, lambda found: found.status == "failed")
    assert await platform_transactions(shop, refund.id) == [
        ("refund_failure", 1999, 0),
        ("refund", -1999, 0),
    ]
    assert shown.failure_balance_transaction is not None


async def test_a_dispute_takes_the_amount_and_a_fee_until_it_is_won(shop: stripe.StripeClient) -> None:
    paid = await settled(shop, "tok_createDispute")
    [dispute] = (await shop.v1.disputes.list_async({"charge": paid.charge})).data
    assert [each.net for each in dispute.balance_transactions] == [-3499]
    won = await shop.v1.disputes.update_async(
        dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    assert [each.net for each in won.balance_transactions] == [-3499, 3499]
    assert await platform_transactions(shop, dispute.id) == [
        ("adjustment", 1999, -1500),
        ("adjustment", -1999, 1500),
    ]


async def test_a_declined_payment_does_not_enter_the_balance(shop: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError) as caught:
        await paid_by("tok_chargeDeclined", shop, capture_method="automatic")
    declined = await shop.v1.charges.retrieve_async(problem(caught.value)["charge"])
    assert (declined.status, declined.balance_transaction) == ("failed", None)
