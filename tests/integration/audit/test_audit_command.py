"""`ops audit` reads the databases of orders and payments, and payments at the Stripe sandbox."""

from dataclasses import dataclass

import pytest
from bson import ObjectId

from contracts.events import OrderEvent
from contracts.wire import now
from sandbox.testing import free_port
from services.orders import actions
from services.orders.documents import Order
from services.payments.documents import Payment
from settings import Settings
from tests.integration.audit.commands import run
from tests.integration.conftest import Sandbox
from tests.support.events import WINDOW, on_sale
from tests.support.operate import CommandResult
from tests.support.payments import PaymentsService
from tests.support.service import Served, SettingsWith, new_id


@dataclass(frozen=True)
class Marketplace:
    """The orders and payments services without NATS: tests deliver events from one service to the other."""

    orders: Served
    service: PaymentsService
    conf: Settings

    async def reserve(self) -> OrderEvent:
        answer = await self.orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": await on_sale()})
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
    return Marketplace(orders, service, settings_with(stripe_api_base=service.stripe_url))


async def test_an_audit_of_consistent_records_lists_every_order_and_exits_with_0(
    marketplace: Marketplace,
) -> None:
    first, refunded = await marketplace.buy(), await marketplace.buy()
    await marketplace.service.payments.refund(refunded.id, relist=False)
    await marketplace.deliver_payment(refunded)
    ran = await marketplace.audit("--settled")
    assert (ran.code, ran.err) == (0, "")
    assert [line[:24] for line in ran.out.splitlines()[:-1]] == sorted([first.id, refunded.id])
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
    assert "DIFFERS the payment is captured, but Stripe refunded 19.99" in ran.out


async def test_an_audit_finds_an_intent_of_an_unknown_order(marketplace: Marketplace) -> None:
    stray = new_id()
    await marketplace.service.shop.v1.payment_intents.create_async(
        {"amount": 100, "currency": "usd", "metadata": {"order_id": stray}}
    )
    ran = await marketplace.audit()
    assert ran.code == 1
    assert f"{stray}  no order" in ran.out


async def test_an_audit_writes_nothing(marketplace: Marketplace) -> None:
    await marketplace.buy()
    for served, collection in ((marketplace.orders, "orders"), (marketplace.service.served, "payments")):
        await served.database[collection].drop_index("outbox")  # to show that the audit does not create it
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
    assert ran.err.startswith("The databases orders and payments can't be read: ")
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


async def _all_of(served: Served) -> list[object]:
    names = sorted(await served.database.list_collection_names())
    found = [await served.database[name].find({}).to_list() for name in names]
    indexes = [await served.database[name].index_information() for name in names]
    return [names, found, indexes]
