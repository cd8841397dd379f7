"""`ops show` on real processes: what it finds, and the cause that it names for an order that is stuck."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import nats
import pytest
import pytest_asyncio
from bson import ObjectId
from nats.js import JetStreamContext

from kit.mongo import connect, database
from kit.secrets import operator_token
from ops.errors import CommandError
from ops.provision import provision
from ops.show import show
from services.orders.documents import Order
from services.orders.rules import move_to
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broken(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A marketplace for faults. Its reconciler doesn't look before an hour, so that faults last."""
    folder = tmp_path_factory.mktemp("broken") / "data"
    async with stagedoor(folder, variants=False, RECONCILE_SECONDS="3600") as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="session")
async def people(broken: Stack) -> AsyncIterator[tuple[Person, Person]]:
    async with signed_up(broken.web, 2) as (seller, buyer):
        yield seller, buyer


@asynccontextmanager
async def jetstream(stack: Stack) -> AsyncIterator[JetStreamContext]:
    connection = await nats.connect(stack.bus)
    yield connection.jetstream()
    await connection.close()


async def shown(stack: Stack, what: str) -> str:
    return "\n".join([line async for line in show(stack.settings, what)])


async def names(stack: Stack, what: str, *sentences: str) -> str:
    """Look until the timeline contains all sentences.

    An event needs milliseconds to be published. One that was on its way to a process that a test stopped is
    sent again after a minute.
    """

    async def look() -> str:
        return await shown(stack, what)

    return await until(look, lambda text: all(sentence in text for sentence in sentences), seconds=100)


async def held(people: tuple[Person, Person]) -> dict[str, Any]:
    """An order whose hold is confirmed and which payments knows."""
    seller, buyer = people
    ticket = await seller.lists_ticket()
    order = await until(lambda: buyer.tries_to_reserve(ticket["id"]), lambda it: it.status_code == 201)
    found: dict[str, Any] = order.json()
    await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
    return {**found, "ticketId": ticket["id"]}


async def bought(people: tuple[Person, Person], token: str = "tok_visa") -> dict[str, Any]:
    order = await held(people)
    buyer = people[1]
    assert (await buyer.pays(order["id"], token)).status_code == 201
    await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.ticket(order["ticketId"]), lambda seen: seen["status"] == "sold")
    return order


async def test_an_order_is_found_by_everything_that_names_it(
    broken: Stack, people: tuple[Person, Person]
) -> None:
    order = await bought(people)
    seller, buyer = people
    text = await names(broken, order["id"], "payment.updated      version 2   captured")
    trace = next(line for line in text.splitlines() if "order.created" in line).rpartition("trace ")[2][:8]
    async with connect(broken.settings.database) as mongo:
        stored = await mongo["orders"]["orders"].find_one({"_id": ObjectId(order["id"])})
        payment = await mongo["payments"]["payments"].find_one({"order_id": order["id"]})
    assert stored is not None
    assert payment is not None
    async with httpx.AsyncClient(
        base_url=str(broken.settings.stripe_base), headers={"Authorization": "Bearer sk_test_sandbox"}
    ) as stripe:
        intent = (await stripe.get(f"/v1/payment_intents/{payment['intent_id']}")).json()
    for what in (
        f"{broken.web}/orders/{order['id']}?from=email",
        stored["code"].lower(),
        str(payment["_id"]),
        payment["intent_id"],
        intent["latest_charge"],
        trace,
    ):
        assert f"order {order['id']} {stored['code']} is complete" in await shown(broken, what)
    for what in (order["ticketId"], buyer.email, buyer.id):
        assert f"order  {order['id']}  complete" in await shown(broken, what)
    assert f"ticket {order['ticketId']}  sold" in await shown(broken, seller.email.upper())
    assert "Nothing is missing." in await names(broken, order["id"], "Nothing is missing.")


async def test_emails_are_shown_with_kind_status_and_times_and_without_an_address(
    broken: Stack, people: tuple[Person, Person]
) -> None:
    seller, buyer = people
    order = await bought(people)
    text = await names(
        broken,
        order["id"],
        f"email receipt to user {buyer.id} is sent, sent 2",
        f"email sold to user {seller.id} is sent, sent 2",
    )
    assert re.search(r"is sent, sent \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, attempts 1", text)
    of_person, of_ticket = await shown(broken, buyer.email), await shown(broken, order["ticketId"])
    for shown_text in (text, of_person, of_ticket):
        assert "@" not in shown_text


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("6" * 24, 1),
        ("23456789AB", 1),
        ("pi_unknown", 1),
        ("nobody@example.com", 1),
        ("0" * 32, 1),
        ("what?", 2),
    ],
)
async def test_what_nothing_has_and_what_is_unclear_is_said_in_a_sentence(
    broken: Stack, what: str, code: int
) -> None:
    with pytest.raises(CommandError) as error:
        await shown(broken, what)
    assert error.value.exit_code == code
    assert str(error.value).endswith(".")


async def test_fault_1_orders_is_stopped(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await held(people)
    await broken.stop("orders")
    try:
        assert (await people[1].pays(order["id"])).status_code == 201
        await names(
            broken,
            order["id"],
            "Stripe has authorized; orders hasn't decided (awaited: orders)",
            "orders hasn't received it: consumer orders-payment-updated is 1 message behind",
            f"orders doesn't answer at {broken.settings.url_of('orders')}",
        )
    finally:
        await broken.start("orders")


async def test_fault_2_the_timer_is_deleted(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await held(people)
    async with jetstream(broken) as js:
        subject = f"timers.set.{order['id']}.*"
        await until(lambda: js.purge_stream("TIMERS", subject=subject))
        text = await names(broken, order["id"], "isn't in TIMERS; orders ends the order within seconds")
    assert "(awaited: expiration)" in text


async def test_fault_3_an_event_is_a_dead_letter(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await held(people)
    async with jetstream(broken) as js:
        malformed = f'{{"id": "{order["id"]}", "version": "none", "status": 7}}'
        await js.publish("payment.updated", malformed.replace('"id"', '"orderId"').encode())
        text = await names(broken, order["id"], "dead letter")
        await js.purge_stream("DEAD")
    assert re.search("orders gave up after 1 attempts: dead letter [12]", text)  # payouts has another one


async def test_fault_4_an_event_is_not_published(broken: Stack, people: tuple[Person, Person]) -> None:
    """The process ends between the write and the publication."""
    order = await held(people)
    await broken.stop("orders")
    try:
        async with database(broken.settings.database, "orders", [Order]):
            stored = await Order.first({"_id": ObjectId(order["id"])})
            assert stored is not None
            assert await stored.save_and_publish({**move_to("cancelled"), "cancel_reason": "buyer"})
        await names(
            broken,
            order["id"],
            "order.cancelled was stored at",
            "orders hasn't published it: it waits in the outbox",
            "orders doesn't answer",
        )
    finally:
        await broken.start("orders")


async def test_fault_5_payments_is_paused(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await held(people)
    async with broken.paused("payments"):
        assert (await people[1].cancels(order["id"])).is_success
        await names(
            broken,
            order["id"],
            "order.cancelled 1 was published at",
            "payments hasn't",
            f"payments doesn't answer at {broken.settings.url_of('payments')}",
        )


async def test_fault_6_a_webhook_is_lost(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await held(people)
    async with httpx.AsyncClient(base_url=str(broken.settings.stripe_base)) as stripe:
        await stripe.post("/faults", data={"rate": "1", "kinds": "webhook_lost"})
        try:
            assert (await people[1].pays(order["id"], "tok_threeDSecureRequired")).status_code == 201
            payment = await until(lambda: people[1].payment(order["id"]), lambda seen: seen.get("actionUrl"))
            answer = await stripe.post(payment["actionUrl"], data={"answer": "approve"})
            assert answer.status_code == 303
            await names(broken, order["id"], "payments doesn't know: no webhook of it is processed")
        finally:
            await stripe.delete("/faults")


async def test_fault_7_a_refund_has_failed(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await bought(people, "tok_refundFail")
    await refund(broken, order["id"])
    await names(broken, order["id"], "The bank rejected the refund", "`just refund ORDER --again`")


async def test_fault_8_tickets_is_stopped(broken: Stack, people: tuple[Person, Person]) -> None:
    seller, buyer = people
    ticket = await seller.lists_ticket()
    await until(lambda: buyer.tries_to_reserve(ticket["id"]), lambda it: it.status_code == 201)
    (order,) = (await buyer.client.get("/api/orders")).json()
    assert (await buyer.cancels(order["id"])).is_success
    await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "available")
    await broken.stop("tickets")
    try:
        second = await until(lambda: buyer.tries_to_reserve(ticket["id"]), lambda it: it.status_code == 201)
        await names(
            broken,
            second.json()["id"],
            f"tickets hasn't confirmed the hold of ticket {ticket['id']} (awaited: tickets)",
            "tickets hasn't received it: consumer tickets-order-created is 1 message behind",
            "tickets doesn't answer",
        )
    finally:
        await broken.start("tickets")


async def test_fault_9_expiration_is_stopped(broken: Stack, people: tuple[Person, Person]) -> None:
    await broken.stop("expiration")
    try:
        order = await held(people)
        await names(
            broken,
            order["id"],
            "isn't in TIMERS",
            "expiration hasn't received it: consumer expiration-order-created is",
            "expiration doesn't answer",
        )
    finally:
        await broken.start("expiration")


async def test_fault_10_a_consumer_is_deleted(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await held(people)
    async with jetstream(broken) as js:
        await js.delete_consumer("EVENTS", "payments-order-cancelled")
        try:
            assert (await people[1].cancels(order["id"])).is_success
            await names(
                broken,
                order["id"],
                "payments can't receive it: consumer payments-order-cancelled doesn't exist",
                "payments isn't ready: payments-order-cancelled",
            )
        finally:
            await provision(js)


async def test_fault_11_stripe_is_down_during_a_refund(broken: Stack, people: tuple[Person, Person]) -> None:
    order = await bought(people)
    await broken.stop("stripe")
    try:
        await refund(broken, order["id"])
        await names(
            broken,
            order["id"],
            "The refund was requested at",
            "Stripe hasn't accepted it (awaited: payments, Stripe)",
            "Stripe can't be asked about pi_",
        )
    finally:
        await broken.start("stripe")


async def refund(stack: Stack, order_id: str) -> None:
    """Request a refund as the operator's command does, without waiting for Stripe."""
    headers = {"Authorization": f"Bearer {operator_token(stack.settings)}"}
    url = f"{stack.settings.url_of('payments')}/api/payments/refunds"
    async with httpx.AsyncClient(timeout=60) as http:
        await asyncio.wait_for(http.post(url, json={"orderId": order_id}, headers=headers), 60)
