"""Sales, transfers to sellers, and what takes the money back."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from contracts.identity import Identity
from contracts.wire import now
from kit.errors import Unavailable
from kit.secrets import operator_token
from kit.stripe.errors import KeyExhausted, OutcomeUnknown
from services.payouts import rules, schedule
from services.payouts.documents import LedgerEntry, OrderReplica, PayoutAccount, Sale, WebhookEvent
from services.payouts.reconciler import Reconciler
from services.payouts.stripe_gateway.client import Gateway
from services.payouts.transfers import SellerOwes, Transfers
from tests.support.payouts import PayoutsService, Sold
from tests.support.service import SIGNER, messages, new_id, token_for
from tests.support.webhooks import SECRET, signature

NET = 1899
"""What the seller gets of 19.99, of which the platform keeps 5 %."""


async def assert_balanced(payouts: PayoutsService) -> None:
    for balances in (await payouts.balances()).values():
        assert balances.is_balanced, balances


async def test_a_sale_is_held_until_the_event_is_over(payouts: PayoutsService) -> None:
    seller = await payouts.seller()
    sold = await payouts.sold(seller, began=now() - timedelta(hours=71))
    await payouts.reconcile()
    assert await payouts.state(sold) == "held"
    assert await payouts.transfers_of(sold) == []
    shown = (await payouts.shown(seller))["sums"][0]
    assert shown == {
        "currency": "usd",
        "sold": 1999,
        "refunded": 0,
        "fees": 100,
        "held": NET,
        "due": 0,
        "waiting": 0,
        "paid": 0,
        "owed": 0,
    }


async def test_a_sale_that_is_due_is_transferred_once(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    for _ in range(3):
        await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    assert (transfer.amount, transfer.currency, dict(transfer.metadata.to_dict())) == (
        NET,
        "usd",
        {"order_id": sold.id, "number": "1"},
    )
    assert transfer.source_transaction is not None
    assert await payouts.state(sold) == "paid"
    assert (await payouts.balances())["usd"].paid_out == NET
    await assert_balanced(payouts)


async def test_a_sale_is_published_with_its_first_state_and_each_change(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.reconcile()
    events = await payouts.served.outbox("sales", sold.id)
    assert [(subject, body["version"], body["state"]) for subject, body in events] == [
        ("payout.created", 0, "due"),
        ("payout.updated", 1, "paid"),
    ]


async def test_a_sale_says_which_order_and_ticket_it_is_of(payouts: PayoutsService) -> None:
    seller = await payouts.seller()
    sold = await payouts.sold(seller)
    ticket = sold.order.ticket.model_copy(update={"seat": "Row 4", "time_zone": "Europe/Berlin"})
    about = {"version": sold.order.version + 1, "code": "7K3WPD9RXE", "ticket": ticket}
    await payouts.payouts.follow_order(sold.order.model_copy(update=about))
    [shown] = (await payouts.shown(seller))["payouts"]
    _, published = (await payouts.served.outbox("sales", sold.id))[-1]
    for found in (shown, published):
        assert (found["code"], found["ticketId"], found["seat"]) == ("7K3WPD9RXE", ticket.id, "Row 4")
        assert found["timeZone"] == "Europe/Berlin"
        assert found["startsAt"] is not None


async def test_a_sale_that_says_no_order_number_stays_readable(payouts: PayoutsService) -> None:
    seller = await payouts.seller()
    sold = await payouts.sold(seller)
    await Sale.get_pymongo_collection().update_one({}, {"$unset": dict.fromkeys(rules.TOLD_APART_BY, "")})
    [shown] = (await payouts.shown(seller))["payouts"]
    assert shown["orderId"] == sold.id
    assert shown.get("code") is None


async def test_repeated_and_reordered_events_make_one_sale(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    for event in (sold.payment, sold.payment.model_copy(update={"version": 1, "status": "authorized"})):
        await payouts.payouts.follow_payment(event)
    await payouts.payouts.follow_order(sold.order)
    assert (await payouts.sale(sold)).version == 0
    assert await LedgerEntry.find({"order_id": sold.id}).count() == 1


async def test_a_payment_that_arrives_before_its_order_makes_a_sale_later(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    other = sold.order.model_copy(update={"id": new_id()})
    payment = sold.payment.model_copy(update={"id": new_id(), "order_id": other.id})
    await payouts.payouts.follow_payment(payment)
    assert await Sale.load(other.id) is None
    await payouts.payouts.follow_order(other)
    assert await Sale.load(other.id) is not None


async def test_an_order_keeps_the_fee_of_its_time(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await OrderReplica.keep_fee(sold.id, 5000)
    assert (await OrderReplica.stored(sold.id)).fee_basis_points == 500


async def test_ten_processes_transfer_a_sale_once(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    stored = await payouts.sale(sold)
    await asyncio.gather(*(payouts.transfers.settle(stored) for _ in range(10)), return_exceptions=True)
    await payouts.reconcile()
    assert len(await payouts.transfers_of(sold)) == 1
    assert await payouts.state(sold) == "paid"
    await assert_balanced(payouts)


async def test_processes_that_send_the_same_planned_transfer_make_it_once(payouts: PayoutsService) -> None:
    """The amount is small, so that the charge alone wouldn't limit how often it is transferred."""
    sold = await payouts.sold(await payouts.seller())
    smaller = (await _planned(payouts, await payouts.sale(sold))).model_copy(update={"sent": 100})
    await asyncio.gather(*(payouts.transfers.gateway.transfer(sold.id, smaller) for _ in range(3)))
    assert len(await payouts.transfers_of(sold)) == 1


async def test_without_the_transfer_key_processes_transfer_a_sale_repeatedly(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above: with another key for each request, Stripe makes each transfer."""
    sold = await payouts.sold(await payouts.seller())
    stored = await payouts.sale(sold)
    planned = await _planned(payouts, stored)
    keys = iter(range(100))
    monkeypatch.setattr(
        "services.payouts.stripe_gateway.client.transfer_key", lambda *_: f"{sold.id}:{next(keys)}"
    )
    smaller = planned.model_copy(update={"sent": 100})
    await asyncio.gather(*(payouts.transfers.gateway.transfer(sold.id, smaller) for _ in range(3)))
    assert len(await payouts.transfers_of(sold)) == 3


async def _planned(payouts: PayoutsService, sale: Sale) -> rules.PlannedTransfer:
    account = await PayoutAccount.of_seller(sale.seller_id)
    assert account is not None
    assert account.stripe_id is not None
    assert sale.intent_id is not None
    charge = await payouts.transfers.gateway.charge_of(sale.intent_id)
    return rules.PlannedTransfer(
        number=1,
        amount=sale.held,
        destination=account.stripe_id,
        charge=charge.id,
        sent=sale.held,
        sent_currency="usd",
        planned_at=now(),
    )


async def test_a_transfer_whose_response_is_lost_is_found_and_not_repeated(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await payouts.sold(await payouts.seller())
    send = Gateway.transfer

    async def lose(self: Gateway, *request: Any) -> Any:
        await send(self, *request)
        raise OutcomeUnknown

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "transfer", lose)
        await payouts.reconcile()
    assert await payouts.state(sold) == "due"
    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "transfer", None)  # a second request would fail
        await payouts.reconcile()
    assert await payouts.state(sold) == "paid"
    assert len(await payouts.transfers_of(sold)) == 1
    await assert_balanced(payouts)


async def test_a_transfer_is_sent_under_another_key_if_stripe_repeats_an_error(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await payouts.sold(await payouts.seller())

    async def fail(*_: Any) -> Any:
        raise KeyExhausted

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "transfer", fail)
        await payouts.reconcile()
        planned = (await payouts.sale(sold)).planned
        assert planned is not None
        assert planned.number == 1  # the first request may still be under way
        patched.setattr("services.payouts.transfers.now", lambda: now() + timedelta(minutes=3))
        await payouts.reconcile()
    assert (await payouts.sale(sold)).planned is None
    await payouts.reconcile()
    assert await payouts.state(sold) == "paid"
    [made] = await payouts.transfers_of(sold)
    assert made.metadata is not None
    assert made.metadata["number"] == "2"


async def test_a_transfer_whose_response_is_lost_is_recorded_although_the_sale_is_frozen(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await payouts.sold(await payouts.seller())
    send = Gateway.transfer

    async def lose(self: Gateway, *request: Any) -> Any:
        await send(self, *request)
        raise OutcomeUnknown

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "transfer", lose)
        await payouts.reconcile()
    await payouts.becomes(sold, dispute="open")
    assert await payouts.state(sold) == "frozen"
    await payouts.reconcile()
    assert await payouts.state(sold) == "paid"
    assert len((await payouts.sale(sold)).transfers) == 1


async def test_a_dispute_freezes_a_sale_until_it_is_won(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.becomes(sold, dispute="open")
    assert await payouts.state(sold) == "frozen"
    await payouts.reconcile()
    assert await payouts.transfers_of(sold) == []
    await payouts.becomes(sold, dispute="won")
    await payouts.reconcile()
    assert await payouts.state(sold) == "paid"


async def test_a_dispute_that_arrives_just_before_the_transfer_freezes_the_sale(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await payouts.sold(await payouts.seller())
    await _dispute_while_the_charge_is_read(payouts, sold, monkeypatch)
    await payouts.reconcile()
    assert await payouts.transfers_of(sold) == []
    assert await payouts.state(sold) == "frozen"


async def test_without_the_guard_a_frozen_sale_would_be_transferred(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    sold = await payouts.sold(await payouts.seller())
    await _dispute_while_the_charge_is_read(payouts, sold, monkeypatch)

    async def unguarded(self: Sale, changes: Any, **_: Any) -> Sale:
        stored = {
            name: getattr(value, "model_dump", lambda value=value: value)() for name, value in changes.items()
        }
        await self.get_pymongo_collection().update_one({"_id": self.id}, {"$set": stored})
        return self.model_copy(update=dict(changes))

    monkeypatch.setattr(Sale, "save_private", unguarded)
    await payouts.reconcile()
    assert len(await payouts.transfers_of(sold)) == 1


async def _dispute_while_the_charge_is_read(
    payouts: PayoutsService, sold: Sold, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Gateway.charge_of

    async def read_slowly(self: Gateway, intent_id: str) -> Any:
        charge = await read(self, intent_id)
        if sold.history[-1].dispute is None:
            await payouts.becomes(sold, dispute="open")
        return charge

    monkeypatch.setattr(Gateway, "charge_of", read_slowly)


async def test_a_refund_before_the_transfer_leaves_nothing_to_transfer(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    assert await payouts.state(sold) == "reversed"
    assert await payouts.transfers_of(sold) == []
    balances = (await payouts.balances())["usd"]
    assert (balances.received, balances.refunded, balances.held, balances.fees) == (1999, 1999, 0, 0)


async def test_a_partial_refund_before_the_transfer_leaves_the_rest(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.becomes(sold, refunded_amount=1000)
    await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    assert transfer.amount == 950  # of 999, the platform keeps its 5 %, rounded down
    await assert_balanced(payouts)


async def test_a_refund_after_the_payout_reverses_the_transfer_once(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.reconcile()
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    for _ in range(3):
        await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    assert transfer.amount_reversed == NET
    sale = await payouts.sale(sold)
    assert (sale.state, sale.owed, sale.paid_out) == ("reversed", 0, 0)
    await assert_balanced(payouts)


async def test_two_processes_reverse_a_transfer_once(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.reconcile()
    await payouts.becomes(sold, refunded_amount=1000)
    stored = await payouts.sale(sold)
    await asyncio.gather(*(payouts.transfers.settle(stored) for _ in range(5)), return_exceptions=True)
    await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    sale = await payouts.sale(sold)
    assert (transfer.amount_reversed, sale.owed, sale.held) == (NET - sale.net, 0, 0)


async def test_a_reversal_whose_response_is_lost_is_found(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    sold = await payouts.sold(await payouts.seller())
    await payouts.reconcile()
    await payouts.becomes(sold, refunded_amount=1000)
    send = Gateway.reverse

    async def lose(self: Gateway, *request: Any) -> Any:
        await send(self, *request)
        raise OutcomeUnknown

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "reverse", lose)
        await payouts.reconcile()
    await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    sale = await payouts.sale(sold)
    assert (transfer.amount_reversed, sale.owed) == (NET - sale.net, 0)


async def test_a_dispute_that_is_lost_with_an_empty_balance_is_owed_and_the_next_sale_settles_it(
    payouts: PayoutsService,
) -> None:
    seller = await payouts.seller()
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    await payouts.empty_balance(seller)
    await payouts.becomes(sold, refunded_amount=1999, lost_amount=1999, dispute="lost")
    await payouts.reconcile()
    sale = await payouts.sale(sold)
    assert (sale.state, sale.owed) == ("reversed", NET)
    assert (await payouts.balances())["usd"].owed == NET
    await assert_balanced(payouts)

    next_sold = await payouts.sold(seller, amount=5000)
    await payouts.reconcile()
    [transfer] = await payouts.transfers_of(next_sold)
    assert transfer.amount == 4750 - NET
    assert (await payouts.sale(sold)).owed == 0
    balances = (await payouts.balances())["usd"]
    assert (balances.owed, balances.lost, balances.held) == (0, 1999, 0)
    await assert_balanced(payouts)
    shown = (await payouts.shown(seller, orderId=next_sold.id))["payouts"][0]
    assert (shown["settledAmount"], shown["paidOut"]) == (NET, 4750 - NET)


async def test_a_debt_is_settled_once_although_the_process_dies_in_between(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await payouts.seller()
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    await payouts.empty_balance(seller)
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    next_sold = await payouts.sold(seller)
    with monkeypatch.context() as patched:

        async def die(*_: Any) -> Any:
            raise OutcomeUnknown

        patched.setattr(type(payouts.transfers), "_record_offsets", die)
        await payouts.reconcile()
    await payouts.reconcile()
    sale = await payouts.sale(next_sold)
    assert (sale.state, sale.held, sale.paid_out) == ("paid", 0, 0)
    assert (await payouts.sale(sold)).owed == 0
    await assert_balanced(payouts)
    assert (await payouts.balances())["usd"].held == 0


async def test_an_operator_writes_off_a_debt(payouts: PayoutsService) -> None:
    seller = await payouts.seller()
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    await payouts.empty_balance(seller)
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    sale = await payouts.payouts.write_off(sold.id)
    assert (sale.owed, sale.written_off) == (0, NET)
    await assert_balanced(payouts)


async def indebted(payouts: PayoutsService) -> Sold:
    """A sale whose seller owes what the buyer got back."""
    seller = await payouts.seller()
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    await payouts.empty_balance(seller)
    await payouts.becomes(sold, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    return sold


async def write_off(payouts: PayoutsService, body: dict[str, Any]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {operator_token(payouts.served.app.state.settings)}"}
    return await payouts.served.ask("POST", "/api/payouts/write-offs", headers=headers, json=body)


async def test_two_operators_who_write_off_a_debt_at_once_write_it_off_once(payouts: PayoutsService) -> None:
    sold = await indebted(payouts)
    body = {"orderId": sold.id, "reason": "the seller is gone", "owed": NET}
    answers = await asyncio.gather(*(write_off(payouts, body) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [201] * 5
    assert (await payouts.sale(sold)).written_off == NET
    await assert_balanced(payouts)
    entries = await LedgerEntry.find({"order_id": sold.id, "change.written_off": {"$gt": 0}}).to_list()
    assert [entry.change.written_off for entry in entries] == [NET]


async def test_a_debt_that_has_changed_since_the_operator_read_it_isnt_written_off(
    payouts: PayoutsService,
) -> None:
    sold = await indebted(payouts)
    body = {"orderId": sold.id, "reason": "the seller is gone", "owed": NET - 1}
    answer = await write_off(payouts, body)
    assert answer.json()["type"] == "/problems/debt-changed"
    assert (await payouts.sale(sold)).owed == NET


async def test_a_seller_without_an_account_keeps_the_claim_and_is_reminded(payouts: PayoutsService) -> None:
    seller = await payouts.seller(None)
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    sale = await payouts.sale(sold)
    assert (sale.state, sale.held, sale.needs_account, sale.reminders) == ("due", NET, True, 1)
    await payouts.onboard(seller, "complete")
    await Reconciler(payouts.transfers).reconcile()  # the account made the sale due
    assert await payouts.state(sold) == "paid"
    assert len(await payouts.transfers_of(sold)) == 1


async def test_money_that_waits_for_an_account_is_a_part_of_what_is_due(payouts: PayoutsService) -> None:
    seller = await payouts.seller(None)
    await payouts.sold(seller)
    await payouts.reconcile()
    [sums] = (await payouts.shown(seller))["sums"]
    assert (sums["due"], sums["waiting"]) == (NET, NET)


async def test_a_sale_is_paid_although_the_process_that_knew_of_the_account_died(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await payouts.seller(None)
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    with monkeypatch.context() as patched:

        async def die(*_: Any) -> None:
            """Die before any sale is looked at again."""

        patched.setattr(Sale, "make_due", die)
        await payouts.onboard(seller, "complete")
    account = await PayoutAccount.of_seller(seller)
    assert account is not None
    assert account.may_receive
    await Reconciler(payouts.transfers).reconcile()
    assert await payouts.state(sold) == "due"
    await payouts.transfers.onboarding.refresh(account)  # as after the repeated webhook
    await Reconciler(payouts.transfers).reconcile()
    assert await payouts.state(sold) == "paid"


async def test_a_sale_is_paid_although_its_seller_is_reminded_while_the_account_becomes_ready(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await payouts.seller(None)
    sold = await payouts.sold(seller)
    with monkeypatch.context() as patched:

        async def outdated(_: str) -> PayoutAccount | None:
            """Read the account just before it becomes ready."""
            await payouts.onboard(seller, "complete")
            return None

        patched.setattr(Transfers, "_account_of", staticmethod(outdated))
        await Reconciler(payouts.transfers).reconcile()
    assert (await payouts.sale(sold)).reminders == 1
    await Reconciler(payouts.transfers).reconcile()
    assert await payouts.state(sold) == "paid"


@pytest.mark.parametrize("failure", [SellerOwes(), OutcomeUnknown()])
async def test_an_event_during_a_failed_look_is_not_delayed(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    sold = await payouts.sold(await payouts.seller(None))

    async def fail(*_: Any) -> Any:
        await Sale.make_due({"_id": ObjectId(sold.id)})  # as after an event
        raise failure

    monkeypatch.setattr(Transfers, "settle", fail)
    await payouts.reconcile()
    look_at = (await payouts.sale(sold)).next_look_at
    assert look_at is not None
    assert timedelta(0) < look_at - now() <= schedule.FIRST_DELAY


@pytest.mark.parametrize(
    ("failure", "delay"), [(SellerOwes(), schedule.DEBT_INTERVAL), (OutcomeUnknown(), schedule.MAX_DELAY)]
)
async def test_without_an_event_a_failed_look_is_repeated_later(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch, failure: Exception, delay: timedelta
) -> None:
    sold = await payouts.sold(await payouts.seller(None))

    async def fail(*_: Any) -> Any:
        raise failure

    monkeypatch.setattr(Transfers, "settle", fail)
    await payouts.reconcile()
    look_at = (await payouts.sale(sold)).next_look_at
    assert look_at is not None
    assert delay - timedelta(minutes=1) < look_at - now() <= delay


async def test_an_unreadable_sale_does_not_delay_others(payouts: PayoutsService) -> None:
    unreadable, other = [await payouts.sold(await payouts.seller()) for _ in range(2)]
    pending = {"key": f"refund:{unreadable.payment.id}:9", "change": "much", "at": now()}
    sales = Sale.get_pymongo_collection()
    await sales.update_one({"payment_id": unreadable.payment.id}, {"$set": {"unbooked": [pending]}})
    await payouts.reconcile()
    assert await payouts.state(other) == "paid"
    await sales.update_one({"payment_id": unreadable.payment.id}, {"$set": {"unbooked": []}})
    await payouts.reconcile()
    assert await payouts.state(unreadable) == "paid"


async def test_a_seller_whom_stripe_rejects_keeps_the_claim(payouts: PayoutsService) -> None:
    seller = await payouts.seller("rejected")
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    assert await payouts.state(sold) == "due"
    assert await payouts.transfers_of(sold) == []
    shown = await payouts.served.ask("GET", "/api/payouts/account", by=seller)
    assert shown.json()["state"] == "rejected"
    [message] = messages(await payouts.begin(seller), 409)
    assert "Your sales stay yours" in message


async def test_a_seller_outside_the_region_is_refused_with_an_explanation(payouts: PayoutsService) -> None:
    [message] = messages(await payouts.begin(new_id(), "BR"), 409)
    assert message == (
        "We can't pay sellers in BR: Stripe pays from our account only to US, DE. You can still buy tickets"
    )


async def test_a_country_that_isnt_a_code_is_refused(payouts: PayoutsService) -> None:
    assert messages(await payouts.begin(new_id(), "Brazil"), 400) == [
        "Country must be a code of two letters, such as US"
    ]


@pytest.mark.parametrize("lost", [True, False])
async def test_another_country_can_be_chosen_until_stripe_has_opened_the_account(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch, *, lost: bool
) -> None:
    seller = new_id()
    opened = Gateway.open_account
    with monkeypatch.context() as patched:

        async def refuse(self: Gateway, *given: str) -> Any:
            if lost:  # Stripe has opened it, and its answer is lost
                await opened(self, *given)
            raise OutcomeUnknown

        patched.setattr(Gateway, "open_account", refuse)
        assert (await payouts.begin(seller, "US")).status_code == 503
    assert (await payouts.begin(seller, "DE")).status_code == 201
    account = await PayoutAccount.of_seller(seller)
    assert account is not None
    assert account.stripe_id is not None
    assert account.country == "DE"
    assert (await payouts.shop.v1.accounts.retrieve_async(account.stripe_id)).country == "DE"
    assert (await payouts.begin(seller, "US")).status_code == 201
    newest = await PayoutAccount.of_seller(seller)
    assert newest is not None
    assert (newest.stripe_id, newest.country) == (account.stripe_id, "DE")


async def test_an_answer_for_a_country_that_was_replaced_does_not_open_the_account(
    payouts: PayoutsService,
) -> None:
    first = await PayoutAccount.opened(new_id(), "US")
    second = await PayoutAccount.opened(first.seller_id, "DE")
    with pytest.raises(Unavailable):
        await first.open("acct_of_the_first")
    assert (await second.open("acct_of_the_second")).stripe_id == "acct_of_the_second"
    late = await PayoutAccount.opened(first.seller_id, "US")
    assert (late.stripe_id, late.country) == ("acct_of_the_second", "DE")


@pytest.mark.parametrize(("ago", "status"), [(9, 201), (11, 403)])
async def test_an_account_is_set_up_or_changed_only_soon_after_signing_in(
    payouts: PayoutsService, ago: int, status: int
) -> None:
    seller = await payouts.seller()
    token = token_for(seller, signed_in=timedelta(minutes=ago))
    headers = {"Authorization": f"Bearer {token}"}
    answer = await payouts.served.ask("POST", "/api/payouts/account", headers=headers, json={"country": "US"})
    assert answer.status_code == status, answer.text
    if status == 403:
        assert answer.json()["type"] == "/problems/sign-in-again"


async def test_a_session_that_doesnt_say_when_it_began_sets_up_no_account(payouts: PayoutsService) -> None:
    seller = new_id()
    identity = Identity(id=seller, email="ada@example.com", session_id=new_id())
    headers = {"Authorization": f"Bearer {SIGNER.sign(identity, now() + timedelta(hours=1))}"}
    answer = await payouts.served.ask("POST", "/api/payouts/account", headers=headers, json={"country": "US"})
    assert answer.json()["type"] == "/problems/sign-in-again"
    assert await PayoutAccount.of_seller(seller) is None


async def test_only_the_owner_of_a_finished_account_is_led_to_its_dashboard(payouts: PayoutsService) -> None:
    seller = await payouts.seller("later")
    assert "/setup/s/" in (await payouts.begin(seller)).json()["url"]
    await payouts.onboard(seller, "complete")
    assert "/express/login_" in (await payouts.begin(seller)).json()["url"]


async def test_concurrent_requests_create_one_account(payouts: PayoutsService) -> None:
    seller = new_id()
    answers = await asyncio.gather(*(payouts.begin(seller) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    listed = await payouts.shop.v1.accounts.list_async({"limit": 100})
    sellers = [each.metadata["seller_id"] for each in listed.data if each.metadata]
    assert sellers.count(seller) == 1


async def test_a_transfer_is_made_in_the_settlement_currency_of_the_charge(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller(), currency="sek", amount=10_000)
    await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    assert (transfer.amount, transfer.currency) == (997, "usd")
    assert (await payouts.balances())["sek"].paid_out == 9500
    await payouts.becomes(sold, status="refunded", refunded_amount=10_000)
    await payouts.reconcile()
    [transfer] = await payouts.transfers_of(sold)
    assert transfer.amount_reversed == 997
    assert (await payouts.sale(sold)).owed == 0


async def test_only_the_first_page_has_the_sums_of_all_sales(payouts: PayoutsService) -> None:
    seller = await payouts.seller(None)
    older, newer = [await payouts.sold(seller) for _ in range(2)]
    first = await payouts.shown(seller, limit=1)
    following = await payouts.shown(seller, limit=1, after=first["after"])
    assert [first["sums"][0]["sold"], following["sums"]] == [2 * 1999, []]
    assert [page["payouts"][0]["orderId"] for page in (first, following)] == [newer.id, older.id]
    assert (await payouts.shown(seller, orderId=older.id))["sums"] == first["sums"]


async def test_only_sales_with_a_debt_are_found_as_debts(payouts: PayoutsService) -> None:
    seller = await payouts.seller()
    refunded, owed, _ = [await payouts.sold(seller) for _ in range(3)]
    await payouts.reconcile()
    await payouts.becomes(refunded, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    await payouts.empty_balance(seller)
    await payouts.becomes(owed, status="refunded", refunded_amount=1999)
    await payouts.reconcile()
    assert [sale.key for sale in await Sale.indebted_of(seller, 10)] == [owed.id]
    await payouts.payouts.write_off(owed.id)
    assert await Sale.indebted_of(seller, 10) == []


async def test_only_the_seller_sees_a_sale(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    assert (await payouts.shown(new_id(), orderId=sold.id))["payouts"] == []
    assert len((await payouts.shown(sold.seller, orderId=sold.id))["payouts"]) == 1


async def test_an_entry_that_a_dead_process_left_is_booked(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        async def die(*_: Any) -> None:
            """Die before the ledger has the entry."""

        patched.setattr(Sale, "book", die)
        sold = await payouts.sold(await payouts.seller(None))
    assert await LedgerEntry.find({"order_id": sold.id}).count() == 0
    for _ in range(2):
        await payouts.reconcile()
    assert await LedgerEntry.find({"order_id": sold.id, "_id": f"capture:{sold.payment.id}"}).count() == 1
    assert (await payouts.sale(sold)).unbooked == []
    await assert_balanced(payouts)


async def test_a_sale_cant_be_made_twice(payouts: PayoutsService) -> None:
    sold = await payouts.sold(await payouts.seller())
    events = [sold.payment.model_copy(update={"version": version}) for version in range(3, 9)]
    await Sale.get_pymongo_collection().delete_many({})
    await LedgerEntry.get_pymongo_collection().delete_many({})
    await asyncio.gather(*(payouts.payouts.follow_payment(event) for event in events))
    assert await Sale.find({}).count() == 1
    assert await LedgerEntry.find({"order_id": sold.id}).count() == 1


async def test_a_webhook_about_an_account_is_stored_once_and_pays_what_is_due(
    payouts: PayoutsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    seller = await payouts.seller(None)
    sold = await payouts.sold(seller)
    await payouts.reconcile()
    page = (await payouts.begin(seller)).json()["url"]
    async with httpx.AsyncClient() as browser:
        await browser.post(page, data={"choice": "complete"})
    account = await PayoutAccount.of_seller(seller)
    assert account is not None
    payouts.served.app.state.inbox = replace(payouts.inbox, webhook_secrets=[SECRET])
    event = {"id": f"evt_{new_id()}", "object": "event", "type": "account.updated"}
    body = json.dumps({**event, "data": {"object": {"id": account.stripe_id}}}).encode()
    for _ in range(2):
        answer = await receive(payouts, body, signature(body))
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert await WebhookEvent.find({"_id": event["id"]}).count() == 1
    await payouts.inbox.process_inbox()
    account = await PayoutAccount.of_seller(seller)
    assert account is not None
    assert account.state == "active"
    await Reconciler(payouts.transfers).reconcile()
    assert await payouts.state(sold) == "paid"


async def tell(payouts: PayoutsService, account: str, kind: str, at: int | None) -> None:
    """Deliver Stripe's event about a payout to the seller's bank."""
    event = {"id": f"evt_{new_id()}", "object": "event", "type": kind, "account": account, "created": at}
    body = json.dumps({**event, "data": {"object": {"id": "po_1"}}}).encode()
    assert (await receive(payouts, body, signature(body))).status_code == 200
    await payouts.inbox.process_inbox()


@pytest.mark.parametrize(
    ("told", "failed"),
    [
        ([("payout.failed", 100), ("payout.paid", 200)], False),
        ([("payout.paid", 200), ("payout.failed", 100)], False),
        ([("payout.failed", 200), ("payout.paid", 100)], True),
        ([("payout.paid", 100), ("payout.failed", 100)], True),
        ([("payout.paid", 100), ("payout.failed", None)], True),
    ],
)
async def test_the_newest_event_says_whether_a_payout_failed(
    payouts: PayoutsService, told: list[tuple[str, int | None]], *, failed: bool
) -> None:
    payouts.served.app.state.inbox = replace(payouts.inbox, webhook_secrets=[SECRET])
    seller = await payouts.seller()
    account = await PayoutAccount.of_seller(seller)
    assert account is not None
    assert account.stripe_id is not None
    for kind, at in told:
        await tell(payouts, account.stripe_id, kind, at)
    shown = await payouts.served.ask("GET", "/api/payouts/account", by=seller)
    assert shown.json()["payoutFailed"] is failed


async def test_a_webhook_with_a_wrong_signature_is_refused(payouts: PayoutsService) -> None:
    payouts.served.app.state.inbox = replace(payouts.inbox, webhook_secrets=[SECRET])
    answer = await receive(payouts, b"{}", signature(b"{}", secret="another"))
    assert messages(answer, 400) == ["The webhook's signature isn't valid"]


async def receive(payouts: PayoutsService, body: bytes, signed: str) -> httpx.Response:
    headers = {"Content-Type": "application/json", "Stripe-Signature": signed}
    return await payouts.served.ask("POST", "/api/payouts/webhook", content=body, headers=headers)
