"""`just books`, with the databases of orders and payments and Stripe's sandbox behind it."""

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
from tests.books.commands import Ran, run
from tests.services.conftest import SettingsWith
from tests.services.market import WINDOW, on_sale
from tests.services.served import Served, new_id
from tests.services.till import Till


@dataclass(frozen=True)
class Shop:
    """Orders and payments, whose news go from one to the other when a test says so."""

    orders: Served
    till: Till
    conf: Settings

    async def reserved(self) -> OrderEvent:
        answer = await self.orders.ask("POST", "/api/orders", by=new_id(), json={"ticketId": await on_sale()})
        return await self.news(answer.json()["id"])

    async def news(self, order_id: str) -> OrderEvent:
        """What orders says, which payments hears."""
        order = await Order.find_one({"_id": ObjectId(order_id)})
        assert order is not None
        await self.till.payments.follow_order(order.event())
        return order.event()

    async def answer(self, order: OrderEvent) -> None:
        """What payments says, which orders hears, and payments hears what became of it."""
        payment = await Payment.find_one({"order_id": order.id})
        assert payment is not None
        await actions.follow_payment(payment.event(), WINDOW)
        await self.news(order.id)

    async def bought(self) -> OrderEvent:
        order = await self.reserved()
        await self.till.pay(order)
        await self.answer(order)
        return order

    async def books(self, *arguments: str) -> Ran:
        return await run("streams.books", *arguments, conf=self.conf)


@pytest.fixture
def counter(orders: Served, till: Till, settings_with: SettingsWith) -> Shop:
    return Shop(orders, till, settings_with(stripe_api_base=till.stripe_url))


async def test_books_that_agree_are_listed_and_it_exits_with_0(counter: Shop) -> None:
    first, refunded = await counter.bought(), await counter.bought()
    await counter.till.payments.give_back(refunded.id, relist=False)
    await counter.answer(refunded)
    ran = await counter.books("--settled")
    assert (ran.code, ran.err) == (0, "")
    assert [line[:24] for line in ran.out.splitlines()[:-1]] == sorted([first.id, refunded.id])
    assert all(line.endswith("| ok") for line in ran.out.splitlines()[:-1])
    told = "2 orders, 2 intents at Stripe: authorized 0.00, captured 39.98, refunded 19.99."
    assert ran.out.splitlines()[-1] == f"{told} 0 under way, 0 with differences."


async def test_what_is_under_way_is_a_difference_only_when_all_is_settled(counter: Shop) -> None:
    order = await counter.reserved()
    await counter.till.pay(order)
    ran = await counter.books()
    assert ran.code == 0
    assert "under way: the order is created" in ran.out
    settled = await counter.books("--settled")
    assert settled.code == 1
    assert "DIFFERS still under way: the order is created" in settled.out


async def test_what_somebody_did_at_stripe_alone_is_found(counter: Shop) -> None:
    fine, refunded = await counter.bought(), await counter.bought()
    (intent,) = await counter.till.intents(refunded)
    await counter.till.shop.v1.refunds.create_async({"payment_intent": intent.id})
    ran = await counter.books("--only-differences")
    assert ran.code == 1
    assert fine.id not in ran.out
    assert "DIFFERS Stripe refunded 19.99, and the payment is captured" in ran.out


async def test_an_intent_of_an_order_that_nobody_made_is_found(counter: Shop) -> None:
    stray = new_id()
    await counter.till.shop.v1.payment_intents.create_async(
        {"amount": 100, "currency": "usd", "metadata": {"order_id": stray}}
    )
    ran = await counter.books()
    assert ran.code == 1
    assert f"{stray}  no order" in ran.out


async def test_it_writes_nothing(counter: Shop) -> None:
    await counter.bought()
    before = [await _all_of(counter.orders), await _all_of(counter.till.served)]
    assert (await counter.books("--settled")).code == 0
    assert [await _all_of(counter.orders), await _all_of(counter.till.served)] == before


async def test_a_database_that_is_away_is_told_in_a_line_and_2(
    counter: Shop, settings_with: SettingsWith
) -> None:
    url = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300"
    conf = settings_with(stripe_api_base=counter.till.stripe_url, mongo_url=url)
    ran = await run("streams.books", conf=conf)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("The databases orders and payments can't be read: ")
    assert len(ran.err.splitlines()) == 1


async def test_stripe_away_is_told_in_a_line_and_2(settings_with: SettingsWith) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    ran = await run("streams.books", conf=settings_with(stripe_api_base=url))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"Stripe's books can't be read at {url}: ")
    assert len(ran.err.splitlines()) == 1


async def test_ten_thousand_orders_are_read(counter: Shop) -> None:
    template = {"status": "created", "price_minor": 1999, "expires_at": now() + WINDOW}
    made = [
        {"_id": ObjectId(), **template, "ticket_id": key, "hold": 1, "user_id": key, "slot": key}
        for key in (str(number) for number in range(10_000))
    ]
    await counter.orders.database["orders"].insert_many(made)
    ran = await counter.books()
    assert ran.code == 0
    assert len(ran.out.splitlines()) == 10_001
    assert ran.out.splitlines()[-1].startswith("10000 orders, 0 intents at Stripe")


async def _all_of(served: Served) -> list[object]:
    names = sorted(await served.database.list_collection_names())
    found = [await served.database[name].find({}).to_list() for name in names]
    return [names, found]
