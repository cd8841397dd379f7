"""Replicas of payments share their work: each claims a payment before it asks Stripe.

The requests are counted at the sandbox.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
import stripe

import kit.lease
import streams.payments
from contracts.events import OrderEvent
from contracts.wire import now
from kit.lease import Lease
from kit.stripe.batch import CLAIM
from services.payments import inbox as inbox_module
from services.payments import reconciler as reconciler_module
from services.payments.documents import Payment, WebhookEvent
from services.payments.inbox import WebhookInbox
from services.payments.reconciler import Reconciler
from services.payments.settlement import Settlement
from services.payments.stripe_gateway.client import Gateway
from tests.support.payments import PaymentsService
from tests.support.service import SettingsWith, serving

CHECKOUTS = 60
READ_PAGE = "GET /checkout/sessions/{session_id:str}"


class Killed(BaseException):
    """Ends the work of a replica as kill -9 does: no code catches it."""


@pytest.fixture
def no_background_work(no_reconciler: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the service process no webhook by itself, so that all requests come from the test's replicas."""
    monkeypatch.setattr(streams.payments, "every", do_nothing_until_cancelled)


async def do_nothing_until_cancelled(*_: object, **__: object) -> None:
    await asyncio.Event().wait()


@pytest_asyncio.fixture(loop_scope="session")
async def service(
    no_background_work: None, settings_with: SettingsWith, stripe_url: str, shop: stripe.StripeClient
) -> AsyncIterator[PaymentsService]:
    """A payments service that sends buyers to Stripe Checkout."""
    conf = settings_with(stripe_api_base=stripe_url, payment_page="checkout")
    async with serving("payments", conf) as served:
        yield PaymentsService(served, shop, stripe_url)


@asynccontextmanager
async def replicas_of(service: PaymentsService, number: int) -> AsyncIterator[Sequence[Settlement]]:
    """The parts of this many replicas that settle payments, each with connections of its own."""
    async with AsyncExitStack() as stack:
        gateways = [Gateway(service.served.app.state.settings) for _ in range(number)]
        for gateway in gateways:
            stack.push_async_callback(gateway.close)
        yield [Settlement(gateway, service.payments.settlement.times) for gateway in gateways]


async def open_pages(service: PaymentsService, number: int) -> Sequence[OrderEvent]:
    """Orders whose buyers are on Stripe's page."""
    orders = [await service.order() for _ in range(number)]
    for order in orders:
        assert (await service.pay(order, None)).json()["status"] == "pending"
    return orders


async def sent(service: PaymentsService, work: Callable[[], Awaitable[Any]]) -> Counter[str]:
    """The requests that the sandbox has received while the work was done, by method and path."""
    async with httpx.AsyncClient(base_url=service.stripe_url) as http:
        before = Counter((await http.get("/requests")).json())
        await work()
        return Counter((await http.get("/requests")).json()) - before


async def reconcile_at_once(settlements: Sequence[Settlement]) -> None:
    await asyncio.gather(*(Reconciler(settlement).reconcile() for settlement in settlements))


def advance_clock(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    """Set the clocks that decide about claims forward."""

    def later() -> datetime:
        return now() + by

    for module in (reconciler_module, inbox_module, kit.lease):
        monkeypatch.setattr(module, "now", later)


# --- The reconciler ---


async def test_opening_a_page_takes_one_request(service: PaymentsService) -> None:
    requests = await sent(service, lambda: open_pages(service, 1))
    assert requests == {"POST /checkout/sessions": 1}


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_any_number_of_replicas_reads_an_open_page_once_per_period(
    service: PaymentsService, number: int
) -> None:
    await open_pages(service, CHECKOUTS)
    await service.make_due()
    async with replicas_of(service, number) as settlements:
        requests = await sent(service, lambda: reconcile_at_once(settlements))
        assert requests == {READ_PAGE: CHECKOUTS}
        assert await sent(service, lambda: reconcile_at_once(settlements)) == {}


async def test_control_without_claims_each_replica_reads_each_page(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def claim_always(*_: object) -> bool:
        return True

    await open_pages(service, CHECKOUTS)
    await service.make_due()
    monkeypatch.setattr(Payment, "claim", claim_always)
    async with replicas_of(service, 3) as settlements:
        requests = await sent(service, lambda: reconcile_at_once(settlements))
    assert requests == {READ_PAGE: 3 * CHECKOUTS}


async def test_an_open_page_is_not_read_before_its_next_look(service: PaymentsService) -> None:
    await open_pages(service, 3)
    assert await sent(service, service.reconciler.reconcile) == {}


async def test_another_replica_continues_when_the_claim_of_a_killed_replica_lapses(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_pages(service, 1)
    await service.make_due()
    async with replicas_of(service, 2) as (killed, other):
        with monkeypatch.context() as patched:
            patched.setattr(Gateway, "retrieve", _die)
            with pytest.raises(Killed):
                await Reconciler(killed).reconcile()
        assert await sent(service, Reconciler(other).reconcile) == {}
        advance_clock(monkeypatch, CLAIM + timedelta(seconds=1))
        assert await sent(service, Reconciler(other).reconcile) == {READ_PAGE: 1}


async def _die(*_: object) -> None:
    raise Killed


async def test_payments_that_were_stored_before_claims_existed_are_due(service: PaymentsService) -> None:
    await open_pages(service, 2)
    await service.served.database["payments"].update_many(
        {}, {"$unset": {"next_look_at": 1, "attempt_began_at": 1}}
    )
    assert await sent(service, service.reconciler.reconcile) == {READ_PAGE: 2}
    assert await sent(service, service.reconciler.reconcile) == {}


@pytest.mark.parametrize("status", ["captured", "voided", "refunded"])
async def test_final_payments_are_never_looked_at(service: PaymentsService, status: str) -> None:
    await open_pages(service, 1)
    due = {"status": status, "next_look_at": None}
    await service.served.database["payments"].update_one({}, {"$set": due})
    assert await Payment.due_at(now(), 10) == []
    assert await sent(service, service.reconciler.reconcile) == {}


async def test_payments_that_have_been_due_for_longest_come_first(service: PaymentsService) -> None:
    orders = await open_pages(service, 3)
    stored = [(await service.stored(order))["_id"] for order in orders]
    for age, payment_id in enumerate(stored, start=1):
        due = {"next_look_at": now() - timedelta(minutes=age)}
        await service.served.database["payments"].update_one({"_id": payment_id}, {"$set": due})
    assert await Payment.due_at(now(), 2) == [stored[2], stored[1]]


async def test_a_failed_look_is_repeated_later_and_not_at_once(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []

    async def fail(gateway: Gateway, payment: Payment) -> None:
        looks.append(payment.order_id)
        raise LookupError("a bug")

    (order,) = await open_pages(service, 1)
    await service.make_due()
    monkeypatch.setattr(Gateway, "retrieve", fail)
    for _ in range(3):
        await service.reconciler.reconcile()
    assert looks == [order.id]
    advance_clock(monkeypatch, timedelta(minutes=16))
    await service.reconciler.reconcile()
    assert looks == [order.id, order.id]


async def test_a_look_does_not_postpone_what_another_process_has_made_due(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    retrieve = Gateway.retrieve

    async def make_due_meanwhile(gateway: Gateway, payment: Payment) -> Any:
        await service.make_due()
        return await retrieve(gateway, payment)

    (order,) = await open_pages(service, 1)
    await service.make_due()
    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "retrieve", make_due_meanwhile)
        await service.reconciler.reconcile()
    assert (await service.stored(order))["next_look_at"] is None


# --- Webhooks ---


async def store_webhooks(service: PaymentsService, orders: Sequence[OrderEvent]) -> int:
    """Store three webhook events for each order. Return how many."""
    moment = now()
    keys = [(order.id, f"evt_{number}_{order.id}") for number in range(3) for order in orders]
    for order_id, key in keys:
        event = WebhookEvent(id=key, order_id=order_id, intent_id=None, received_at=moment, due=moment)
        await event.add()
    return len(keys)


async def process_at_once(settlements: Sequence[Settlement]) -> None:
    """Let all replicas process the inbox until it is empty."""
    inboxes = [WebhookInbox(settlement, []) for settlement in settlements]
    while await WebhookEvent.due_at(now(), 1):
        await asyncio.gather(*(inbox.process_inbox() for inbox in inboxes))


@pytest.mark.parametrize("number", [1, 3])
async def test_any_number_of_replicas_reads_a_payment_once_for_all_its_webhooks(
    service: PaymentsService, number: int
) -> None:
    stored = await store_webhooks(service, await open_pages(service, CHECKOUTS))
    async with replicas_of(service, number) as settlements:
        requests = await sent(service, lambda: process_at_once(settlements))
    assert (stored, requests) == (180, {READ_PAGE: CHECKOUTS})
    processed = {"processed": True}
    assert await service.served.database["webhook_events"].count_documents(processed) == stored


async def test_control_without_claims_each_replica_reads_each_payment_of_a_webhook(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hold_always(_: Lease) -> bool:
        return True

    await store_webhooks(service, await open_pages(service, CHECKOUTS))
    monkeypatch.setattr(Lease, "hold", hold_always)
    async with replicas_of(service, 3) as settlements:
        requests = await sent(service, lambda: process_at_once(settlements))
    assert requests[READ_PAGE] > 2 * CHECKOUTS


async def test_a_webhook_is_processed_when_the_claim_of_a_killed_replica_lapses(
    service: PaymentsService, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = await store_webhooks(service, await open_pages(service, 1))

    async def keep(_: Lease) -> None:
        """Release nothing, because a killed replica doesn't."""

    async with replicas_of(service, 2) as (killed, other):
        with monkeypatch.context() as patched:
            patched.setattr(Gateway, "retrieve", _die)
            patched.setattr(Lease, "release", keep)
            with pytest.raises(Killed):
                await WebhookInbox(killed, []).process_inbox()
        assert await WebhookInbox(other, []).process_inbox() == 0
        advance_clock(monkeypatch, CLAIM + timedelta(seconds=1))
        assert await WebhookInbox(other, []).process_inbox() == stored


@pytest.mark.parametrize("first", ["order", "intent"])
async def test_events_that_name_only_the_payment_intent_are_processed_with_those_of_its_order(
    service: PaymentsService, first: str
) -> None:
    (order,) = await open_pages(service, 1)
    moment = now()
    named = [(order.id, "pi_1"), (None, "pi_1")]
    for age, (order_id, intent_id) in enumerate(named if first == "intent" else reversed(named)):
        due = moment - timedelta(seconds=age)
        event = WebhookEvent(
            id=f"evt_{age}", order_id=order_id, intent_id=intent_id, received_at=due, due=due
        )
        await event.add()
    assert await sent(service, service.inbox.process_inbox) == {READ_PAGE: 1}


async def test_an_event_about_something_else_does_not_hide_the_event_of_a_payment(
    service: PaymentsService,
) -> None:
    (order,) = await open_pages(service, 1)
    moment = now()
    for age, order_id in enumerate((order.id, None)):
        due = moment - timedelta(seconds=age)
        event = WebhookEvent(id=f"evt_{age}", order_id=order_id, intent_id=None, received_at=due, due=due)
        await event.add()
    assert await sent(service, service.inbox.process_inbox) == {READ_PAGE: 1}


# --- What is looked at without a wait ---


async def test_an_event_of_the_order_ends_the_payment_before_its_next_look(service: PaymentsService) -> None:
    (order,) = await open_pages(service, 1)
    await service.becomes(order, "cancelled")
    assert (await service.shown(order))["status"] == "voided"


async def test_an_event_of_a_live_order_causes_no_request(service: PaymentsService) -> None:
    (order,) = await open_pages(service, 1)
    assert await sent(service, lambda: service.becomes(order, "awaiting:payment")) == {}


# --- After a server error that Stripe remembers ---


async def test_after_a_remembered_500_only_objects_since_the_attempt_are_listed(
    service: PaymentsService, shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = type(shop.v1.checkout.sessions)
    listed: list[Any] = []
    list_sessions = sessions.list_async

    async def record_and_list(self: Any, params: Any) -> Any:
        listed.append(params["created"])
        return await list_sessions(self, params)

    async def fail(*_: object) -> None:
        raise stripe.APIError("broken", http_status=500, headers={"Idempotent-Replayed": "true"})

    order = await service.order()
    began = now()
    monkeypatch.setattr(sessions, "list_async", record_and_list)
    with monkeypatch.context() as broken:
        broken.setattr(sessions, "create_async", fail)
        assert (await service.pay(order, None)).json()["status"] == "pending"
    (since,) = {datetime.fromtimestamp(created["gte"], began.tzinfo) for created in listed}
    assert timedelta(0) <= began - since < timedelta(minutes=11)
    assert (await service.stored(order))["attempt"] == 2
    assert (await service.pay(order, None)).json()["pageUrl"]


async def test_after_a_500_that_stripe_does_not_remember_nothing_is_listed(
    service: PaymentsService, shop: stripe.StripeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise stripe.APIError("broken", http_status=500)

    order = await service.order()
    with monkeypatch.context() as broken:
        broken.setattr(type(shop.v1.checkout.sessions), "create_async", fail)
        assert await sent(service, lambda: service.pay(order, None)) == {}
    assert (await service.stored(order))["attempt"] == 1
    await service.reconciler.reconcile()
    assert (await service.shown(order))["pageUrl"]
