"""`ops audit` reads the databases of orders and payments, and payments at the Stripe sandbox."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId

from contracts.events import OrderEvent
from contracts.wire import now
from kit.stripe.client import StripeApi
from ops.audit import compare, ledgers
from sandbox.testing import free_port
from services.orders import actions
from services.orders.documents import Order
from services.payments.documents import Payment
from settings import Settings
from tests.integration.audit.commands import run
from tests.integration.conftest import Sandbox
from tests.support.events import WINDOW, confirm_hold, on_sale
from tests.support.operate import CommandResult
from tests.support.payments import PaymentsService
from tests.support.polling import TIMEOUT
from tests.support.service import Served, SettingsWith, new_id


@dataclass(frozen=True)
class Marketplace:
    """The orders and payments services without NATS: tests deliver events from one service to the other."""

    orders: Served
    service: PaymentsService
    conf: Settings
    sandbox: Sandbox

    async def reserve(self) -> OrderEvent:
        answer = await self.orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": await on_sale()})
        await confirm_hold(answer.json())
        return await self.deliver_order(answer.json()["id"])

    async def deliver_order(self, order_id: str) -> OrderEvent:
        """Deliver the newest event of the order to payments."""
        order = await Order.find_one({"_id": ObjectId(order_id)})
        assert order is not None
        await self.service.payments.follow_order(order.event())
        return order.event()

    async def deliver_payment(self, order: OrderEvent) -> None:
        """Deliver the payment's newest event to orders, and the order's resulting event to payments."""
        payment = await Payment.find_one({"order_id": order.id})
        assert payment is not None
        await actions.follow_payment(payment.event(), WINDOW)
        await self.deliver_order(order.id)

    async def buy(self) -> OrderEvent:
        order = await self.reserve()
        await self.service.pay(order)
        await self.deliver_payment(order)
        return order

    async def audit(self, *arguments: str) -> CommandResult:
        return await run("audit", *arguments, conf=self.conf)


@pytest.fixture
def marketplace(
    orders: Served, service: PaymentsService, settings_with: SettingsWith, shared_sandbox: Sandbox
) -> Marketplace:
    """A marketplace whose Stripe account is empty, because an audit compares all records of the account."""
    shared_sandbox.empty()
    return Marketplace(orders, service, settings_with(stripe_api_base=service.stripe_url), shared_sandbox)


async def test_an_audit_of_consistent_records_lists_every_order_and_exits_with_0(
    marketplace: Marketplace,
) -> None:
    first, refunded = await marketplace.buy(), await marketplace.buy()
    await marketplace.service.payments.refund(refunded.id, relist=False)
    await marketplace.deliver_payment(refunded)
    ran = await marketplace.audit("--settled")
    assert (ran.code, ran.err) == (0, "")
    assert [line[:24] for line in ran.out.splitlines()[:-1]] == sorted([first.id, refunded.id])[::-1]
    assert all(line.endswith("| ok") for line in ran.out.splitlines()[:-1])
    totals = "2 orders, 2 intents at Stripe: authorized 0.00, captured 39.98, refunded 19.99."
    assert ran.out.splitlines()[-1] == f"{totals} 0 under way, 0 with differences."


async def test_a_transition_under_way_is_a_difference_only_with_the_option_settled(
    marketplace: Marketplace,
) -> None:
    order = await marketplace.reserve()
    await marketplace.service.pay(order)
    ran = await marketplace.audit()
    assert ran.code == 0
    assert "under way: the order is created" in ran.out
    settled = await marketplace.audit("--settled")
    assert settled.code == 1
    assert "DIFFERS still under way: the order is created" in settled.out


async def test_an_audit_finds_a_refund_made_only_at_stripe(marketplace: Marketplace) -> None:
    unchanged, refunded = await marketplace.buy(), await marketplace.buy()
    (intent,) = await marketplace.service.intents(refunded)
    await marketplace.service.shop.v1.refunds.create_async({"payment_intent": intent.id})
    ran = await marketplace.audit("--only-differences")
    assert ran.code == 1
    assert unchanged.id not in ran.out
    assert "DIFFERS Stripe refunded 19.99, payments knows of 0.00" in ran.out


async def test_an_audit_finds_an_intent_of_an_unknown_order(marketplace: Marketplace) -> None:
    stray = new_id()
    await marketplace.service.shop.v1.payment_intents.create_async(
        {"amount": 100, "currency": "usd", "metadata": {"order_id": stray}}
    )
    ran = await marketplace.audit()
    assert ran.code == 1
    assert f"{stray}  no order" in ran.out


async def test_an_audit_of_a_period_reads_only_the_orders_that_were_made_in_it(
    marketplace: Marketplace,
) -> None:
    new = (await marketplace.buy()).id
    old = await _made_at(marketplace, now() - timedelta(days=3))
    four_days_ago = f"{now() - timedelta(days=4):%Y-%m-%d}"
    for arguments, found in (
        (["--since", "1d"], [new]),
        (["--until", "1d"], [old]),
        (["--since", "96h", "--until", "2d"], [old]),
        (["--since", "2d", "--until", "1d"], []),
        (["--since", four_days_ago], [new, old]),
    ):
        ran = await marketplace.audit(*arguments)
        assert (ran.code, ran.err) == (0, ""), arguments
        *lines, totals = ran.out.splitlines()
        assert [line[:24] for line in lines] == found, arguments
        assert totals.startswith(f"{len(found)} orders, {len(found)} intents"), arguments


async def test_an_audit_of_an_order_reads_no_other_order(marketplace: Marketplace) -> None:
    order, other = await marketplace.buy(), await marketplace.buy()
    (intent,) = await marketplace.service.intents(order)
    await marketplace.service.shop.v1.refunds.create_async({"payment_intent": intent.id})
    await _break(marketplace, other)
    ran = await marketplace.audit(order.id)
    assert ran.code == 1
    assert [line[:24] for line in ran.out.splitlines()[:-1]] == [order.id]
    assert "DIFFERS Stripe refunded 19.99, payments knows of 0.00" in ran.out
    assert ran.out.splitlines()[-1].startswith("1 orders, 1 intents")


async def test_an_audit_of_an_order_finds_a_second_intent(marketplace: Marketplace) -> None:
    order = await marketplace.buy()
    await marketplace.service.shop.v1.payment_intents.create_async(
        {"amount": 1999, "currency": "usd", "metadata": {"order_id": order.id}}
    )
    ran = await marketplace.audit(order.id)
    assert (ran.code, "DIFFERS the order has 2 intents that aren't cancelled" in ran.out) == (1, True)


async def test_an_unknown_order_or_orders_with_a_period_are_wrong_arguments(marketplace: Marketplace) -> None:
    unknown = new_id()
    ran = await marketplace.audit(unknown)
    assert (ran.code, ran.out, ran.err.strip()) == (
        *(2, ""),
        f"Orders, payments and Stripe have no order {unknown}.",
    )
    assert (await marketplace.audit(unknown, "--since", "1d")).code == 2
    assert (await marketplace.audit("--since", "yesterday")).code == 2


async def test_a_difference_that_is_gone_when_it_is_checked_again_counts_as_pending_work(
    marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await marketplace.buy()
    await marketplace.orders.database["orders"].update_one({}, {"$set": {"status": "cancelled"}})

    async def repair(_: float) -> None:
        await marketplace.orders.database["orders"].update_one({}, {"$set": {"status": "complete"}})

    monkeypatch.setattr("ops.audit.sleep", repair)
    [finding] = [found async for found in compare(marketplace.conf)]
    assert (finding.account.order_id, finding.differences, finding.under_way) == (order.id, (), ())


async def test_an_intent_that_stripe_dates_long_before_its_order_belongs_to_the_order(
    marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await marketplace.buy()
    later = await _made_at(
        marketplace, now() + timedelta(hours=2)
    )  # our clock is two hours ahead of Stripe's
    monkeypatch.setattr("ops.audit.CONFIRM_SECONDS", 0)
    found = [finding async for finding in compare(marketplace.conf)]
    assert {finding.account.order_id for finding in found} == {order.id, later}
    assert [finding.differences for finding in found if finding.differences] == []


async def test_an_audit_reads_each_record_once(
    marketplace: Marketplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    differs, *_ = [await marketplace.buy() for _ in range(3)]
    key = ObjectId(differs.id)
    await marketplace.orders.database["orders"].update_one({"_id": key}, {"$set": {"status": "cancelled"}})
    filters, requests = [], []
    read, send = ledgers._read, StripeApi.send

    def read_and_note(collection: Any, entry: Any, field: str, bounds: Any) -> Any:
        filters.append({field: bounds})
        return read(collection, entry, field, bounds)

    async def send_and_note(api: StripeApi, request: Any, *arguments: Any, **options: Any) -> Any:
        requests.append(request)
        return await send(api, request, *arguments, **options)

    monkeypatch.setattr(ledgers, "_read", read_and_note)
    monkeypatch.setattr(StripeApi, "send", send_and_note)
    monkeypatch.setattr("ops.audit.CONFIRM_SECONDS", 0)
    found = [finding async for finding in compare(marketplace.conf)]
    assert [bool(finding.differences) for finding in found] == [False, False, True]
    # Only the order that differs is read again, by its key.
    assert filters == [
        {"_id": {}},
        {"order_id": {}},
        {"order_id": {"$in": [differs.id]}},
        {"_id": {"$in": [key]}},
    ]
    assert len(requests) == 2  # a list, and the intent of the order that differs


async def _made_at(marketplace: Marketplace, moment: datetime) -> str:
    """Buy a ticket, and change when the order was made. Return its new id."""
    order = await marketplace.buy()
    key = ObjectId(f"{int(moment.timestamp()):08x}{order.id[8:]}")
    orders, payments = marketplace.orders.database["orders"], marketplace.service.served.database["payments"]
    stored = await orders.find_one({"_id": ObjectId(order.id)})
    assert stored is not None
    await orders.delete_one({"_id": ObjectId(order.id)})
    await orders.insert_one({**stored, "_id": key})
    await payments.update_one({"order_id": order.id}, {"$set": {"order_id": str(key)}})
    (intent,) = await marketplace.service.intents(order)
    with closing(sqlite3.connect(marketplace.sandbox.file, timeout=TIMEOUT)) as connection, connection:
        connection.execute(
            "UPDATE objects SET body = CAST(json_set(CAST(body AS TEXT), '$.created', ?,"
            " '$.metadata.order_id', ?) AS BLOB) WHERE id = ?",
            (int(min(moment, now()).timestamp()), str(key), intent.id),
        )
    return str(key)


async def _break(marketplace: Marketplace, order: OrderEvent) -> None:
    await marketplace.orders.database["orders"].update_one(
        {"_id": ObjectId(order.id)}, {"$set": {"status": "lost"}}
    )


async def test_an_audit_writes_nothing(marketplace: Marketplace) -> None:
    await marketplace.buy()
    for served, collection in ((marketplace.orders, "orders"), (marketplace.service.served, "payments")):
        await served.database[collection].drop_index(
            "unpublished"
        )  # to show that the audit does not create it
    before = [await _all_of(marketplace.orders), await _all_of(marketplace.service.served)]
    assert (await marketplace.audit("--settled")).code == 0
    assert [await _all_of(marketplace.orders), await _all_of(marketplace.service.served)] == before


async def test_an_audit_without_a_database_exits_with_2_and_a_one_line_error(
    marketplace: Marketplace, settings_with: SettingsWith
) -> None:
    url = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300"
    conf = settings_with(stripe_api_base=marketplace.service.stripe_url, mongo_url=url)
    ran = await run("audit", conf=conf)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("The databases orders, payments and payouts can't be read: ")
    assert len(ran.err.splitlines()) == 1


async def test_an_audit_with_an_unreadable_document_exits_with_2_and_a_one_line_error(
    marketplace: Marketplace,
) -> None:
    await marketplace.buy()
    await marketplace.service.served.database["payments"].update_many({}, {"$set": {"status": "lost"}})
    ran = await marketplace.audit()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("A document of orders or payments can't be read: status: Input should be ")
    assert len(ran.err.splitlines()) == 1


async def test_an_audit_without_stripe_exits_with_2_and_a_one_line_error(settings_with: SettingsWith) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = await run("audit", conf=settings_with(stripe_api_base=url))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Stripe's records can't be read at {url}: ")
    assert len(ran.err.splitlines()) == 1


async def test_an_audit_reads_more_orders_than_the_database_returns_at_once(marketplace: Marketplace) -> None:
    template = {"status": "created", "price_minor": 1999, "expires_at": now() + WINDOW}
    made = [
        {"_id": ObjectId(), **template, "ticket_id": key, "hold": 1, "user_id": key, "slot": key}
        for key in (str(number) for number in range(1_000))
    ]
    await marketplace.orders.database["orders"].insert_many(made)
    ran = await marketplace.audit()
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 1_001
    assert ran.out.splitlines()[-1].startswith("1000 orders, 0 intents at Stripe")


CHANGES_BY_ITSELF = {"leases", "stripe_use"}
"""Collections to which running services write all the time."""


async def _all_of(served: Served) -> list[object]:
    names = sorted({*await served.database.list_collection_names()} - CHANGES_BY_ITSELF)
    found = [await served.database[name].find({}).to_list() for name in names]
    indexes = [await served.database[name].index_information() for name in names]
    return [names, found, indexes]
