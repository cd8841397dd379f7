"""Alerts about payments. Each test breaks what its alert monitors."""

from datetime import timedelta
from functools import partial

import httpx

from contracts.events import PaymentCreated
from contracts.wire import now
from kit.secrets import operator_token
from tests.support.people import Person
from tests.support.polling import TIMEOUT, until
from tests.support.service import new_id
from tests.system.alerts.conftest import Monitored

People = tuple[Person, Person]


async def test_stripe_that_answers_with_errors_alerts(monitored: Monitored, people: People) -> None:
    seller, buyer = people
    order = await buyer.reserves((await seller.lists_ticket())["id"])
    async with monitored.faults_of_stripe(kinds="server_error"):
        assert (await buyer.pays(order["id"])).status_code == 201
        await monitored.alerts(
            monitored.has_grown("stagedoor_stripe_requests_total", result="server_error"),
            "StripeErrors",
            apart_from="SlowRequests",
        )
    await until(partial(buyer.payment, order["id"]), lambda seen: seen["status"] == "captured")


async def test_requests_that_wait_for_a_slow_stripe_are_slow(monitored: Monitored, people: People) -> None:
    seller, buyer = people
    order = await buyer.reserves((await seller.lists_ticket())["id"])
    async with monitored.faults_of_stripe(kinds="slow", slow_seconds=3):
        monitored.before = await monitored.scrape()
        assert (await buyer.pays(order["id"])).status_code == 201
        await monitored.alerts(
            monitored.has_grown("http_request_duration_seconds_count", job="payments", method="POST"),
            "SlowRequests",
        )


async def test_an_authorized_payment_that_nobody_decides_on_alerts(
    monitored: Monitored, people: People
) -> None:
    seller, buyer = people
    order = await buyer.reserves((await seller.lists_ticket())["id"])
    async with monitored.paused("orders-payment-created", "orders-payment-updated"):
        assert (await buyer.pays(order["id"])).json()["status"] == "authorized"
        async with monitored.database("payments") as database:
            long_ago = {"$set": {"authorized_at": now() - timedelta(minutes=11)}}
            await database["payments"].update_one({"order_id": order["id"]}, long_ago)
        await monitored.alerts(
            # Each process measures at its own times.
            lambda found: (
                found.value("stagedoor_payments_oldest_undecided_age_seconds") > 600
                and found.value("stagedoor_consumer_pending_messages", consumer="orders-payment-updated") > 0
            ),
            "ConsumerStuck",
            "PaymentsUndecided",
        )


async def test_a_refund_that_the_bank_rejects_alerts(monitored: Monitored, people: People) -> None:
    seller, buyer = people
    order = await buyer.reserves((await seller.lists_ticket())["id"])
    assert (await buyer.pays(order["id"], "tok_refundFail")).status_code == 201
    await until(partial(buyer.payment, order["id"]), lambda seen: seen["status"] == "captured")
    settings = monitored.stack.settings
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        answer = await http.post(
            f"{settings.url_of('payments')}/api/payments/refunds",
            json={"orderId": order["id"]},
            headers={"Authorization": f"Bearer {operator_token(settings)}"},
        )
    assert answer.status_code in (200, 201), answer.text
    await monitored.alerts(
        monitored.has_grown("stagedoor_payments_total", outcome="refund_failed"), "RefundFailed"
    )


async def test_a_payment_of_another_amount_needs_an_operator(monitored: Monitored, people: People) -> None:
    seller, buyer = people
    order = await buyer.reserves((await seller.lists_ticket())["id"])
    payment = PaymentCreated(
        id=new_id(), version=0, order_id=order["id"], status="captured", amount=1, currency="usd"
    )
    async with monitored.jetstream() as js:
        await js.publish("payment.created", payment.to_json().encode())
    await monitored.alerts(
        monitored.has_grown("stagedoor_alerts_total", kind="payment_amount"), "OperatorNeeded"
    )
