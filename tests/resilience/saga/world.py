"""The orders, tickets, payments and payouts services. A test controls their messages, time and failures."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx

import kit.aggregates
import kit.mongo
import kit.stripe.client
import services.orders.actions as orders
import services.orders.documents
import services.payments.actions
import services.payments.inbox
import services.payments.reconciler
import services.payments.settlement
import services.tickets.actions as tickets
import services.tickets.files.actions as ticket_files
import services.tickets.files.claims
import services.tickets.files.storing
from contracts.api import TicketBody
from contracts.events import (
    ALL_EVENTS,
    GRACE,
    LIVE_STATUSES,
    Event,
    ExpirationComplete,
    OrderEvent,
    PaymentEvent,
    PayoutEvent,
    TicketEvent,
)
from contracts.wire import now
from kit.closed_users import ClosedUser
from kit.errors import ServiceError
from kit.mongo import Database, Documents, database
from kit.stripe.client import SANDBOX_KEY
from ops.migrate import create_indexes
from sandbox.stripe.events.webhooks import sign
from sandbox.testing import mongo_server, stripe_sandbox
from services.expiration.actions import deadline_of
from services.orders import problems
from services.orders.documents import Order, TicketReplica
from services.payments.actions import Payments
from services.payments.documents import OrderReplica, Payment, WebhookEvent
from services.payments.inbox import WebhookInbox
from services.payments.reconciler import Reconciled, Reconciler
from services.payments.settlement import Settlement
from services.payments.stripe_gateway import outcomes
from services.payments.stripe_gateway.client import Gateway
from services.payments.stripe_gateway.shapes import Intent
from services.payouts.stripe_gateway.client import Gateway as PayoutsGateway
from services.tickets.documents import FailedSale, Ticket
from services.tickets.files.contents import Inspected
from services.tickets.files.documents import CodeClaim, FileAccess, FileChunk, FileKey, SealedFile
from services.tickets.files.vault import Vault
from services.tickets.shows.documents import Show
from settings import Settings
from tests.resilience.saga.sellers import DOCUMENTS as DOCUMENTS_OF_PAYOUTS
from tests.resilience.saga.sellers import Sellers, clock_patches
from tests.resilience.saga.steps import Actor, End, StripeTransport, client_over, writes_are_effects
from tests.support.owners import FakeOwner
from tests.support.service import new_id

T = TypeVar("T")

StripeEvent = dict[str, Any]

WINDOW = timedelta(minutes=15)
PRICE_MINOR = 1999
"""The price that the seller asks at first."""
PART_MINOR = 700
"""What a partial refund returns."""
PAYDAY = timedelta(days=8)
"""After this time, the money of an order that is delivered now is due."""
DELIVERY_HOURS = 0.1
"""The hours in which promised files are due: fewer than the longest time that passes in one step."""
WEBHOOK_SECRET = "whsec_of_the_saga"
BUYERS = (new_id(), new_id())
ROUNDS = 12
"""The maximum number of rounds until a saga has to be at rest."""
FILE_DAYS = 90.0
CONTENT = b"%PDF-1.4, as the inspection left it"
"""The content of a file. Nobody inspects it, as that takes a process and most of a second."""
RECEIVERS: Mapping[type[Event], Sequence[str]] = {
    OrderEvent: ("payments", "tickets", "payouts"),
    PaymentEvent: ("orders", "payouts"),
    TicketEvent: ("orders",),
}
_KINDS = {event.subject: event for event in ALL_EVENTS}


@dataclass
class Message:
    """An event that is to be delivered to one of its subscribers, at least once."""

    event: Event
    to: str
    """The service that receives it."""
    times: int = 0


@dataclass
class Saga:
    """The orders, messages and timers of one ticket."""

    ticket: str
    seller: str = ""
    """The seller, who has no other tickets."""
    orders: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    relayed: set[str] = field(default_factory=set)
    timers: set[tuple[str, datetime]] = field(default_factory=set)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The events of each order and of the ticket, in the order of versions."""
    payouts: dict[str, list[int]] = field(default_factory=dict)
    """The versions of each sale that were published."""
    actors: list[Actor] = field(default_factory=list)
    authorized: dict[str, datetime] = field(default_factory=dict)
    """When each PaymentIntent was authorized."""
    elapsed: timedelta = timedelta()
    """The simulated time since the saga began."""
    has_delivery_timers: bool = True
    """Whether the timers of deliveries fire, and the sweep ends those whose timers were lost."""


class World:
    """A real database, the real Stripe sandbox and the code of the services, for many sagas in sequence."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self.saga = Saga("")
        self.sagas = 0
        self.violation: AssertionError | None = None
        """The first violation that was found."""
        self.ends: Counter[str] = Counter()
        """The number of effects of actors, by how they ended."""
        self.outcomes: Counter[str] = Counter()
        """The final statuses of orders and their payments."""
        self.promised = False
        """Whether the seller of the ticket has promised files."""
        self.has_delivery_timers = True
        """Whether the deadlines of deliveries pass. A control removes them."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end.

        Raises:
            AssertionError: an invariant is violated. The first violation is kept.
        """
        try:
            return self._loop.run_until_complete(work)
        except AssertionError as broken:
            self.violation = self.violation or broken
            raise

    @contextmanager
    def opened(self) -> Iterator["World"]:
        try:
            self.run(self._start())
            yield self
        finally:
            self.run(self._open.aclose())
            self._loop.close()

    async def _start(self) -> None:
        enter = self._open.enter_async_context
        mongo = await enter(mongo_server(self._folder / "mongo"))
        self.stripe = await enter(stripe_sandbox(self._folder / "stripe"))
        of_tickets = [Ticket, FailedSale, Show, SealedFile, FileChunk, CodeClaim, FileAccess, FileKey]
        of_orders, of_payments = [Order, TicketReplica, ClosedUser], [Payment, OrderReplica, WebhookEvent]
        self.tickets_db = await self._database(mongo, "tickets", of_tickets)
        self.orders_db = await self._database(mongo, "orders", of_orders)
        self.payments_db = await self._database(mongo, "payments", of_payments)
        self.payouts_db = await self._database(mongo, "payouts", DOCUMENTS_OF_PAYOUTS)
        self.transport = StripeTransport()
        self._shop = await enter(httpx.AsyncClient(base_url=self.stripe, auth=(SANDBOX_KEY, ""), timeout=10))
        given: Any = {"stripe_api_base": self.stripe, "data_dir": self._folder}
        settings = Settings(_env_file=None, **given)
        gateway, of_payouts = Gateway(settings), PayoutsGateway(settings)
        session = await enter(client_over(self.transport))
        for each in (gateway, of_payouts):
            http: Any = each._api._http
            self._open.push_async_callback(each.close)
            http._cached_session, http.sleep_async = session, _at_once
        settlement = Settlement(gateway)
        self.vault = Vault(["the key of the saga's files"])
        self.sellers = Sellers(of_payouts, self._shop)
        self.owner = FakeOwner()  # the services ask nobody, so that the test decides what they know
        self.payments = Payments(settlement, self.owner, "usd")
        self.at_checkout = Payments(settlement, self.owner, "usd", at_checkout=True)
        self.inbox = WebhookInbox(settlement, [WEBHOOK_SECRET])
        self.reconciler = Reconciler(settlement)
        for module, name, value in (
            (kit.stripe.client, "RATE_LIMIT_DELAYS", (0.0, 0.0, 0.0)),
            (kit.aggregates, "sleep", _at_once),
            (orders, "now", self.now),
            (services.orders.documents, "now", self.now),
            (tickets, "now", self.now),
            (services.payments.actions, "now", self.now),
            (services.payments.inbox, "now", self.now),
            (services.payments.reconciler, "now", self.now),
            (services.payments.settlement, "now", self.now),
            (ticket_files, "now", self.now),
            (services.tickets.files.claims, "now", self.now),
            (services.tickets.files.storing, "now", self.now),
            (outcomes, "_authorized_at", self._authorized_at),
        ):
            self._open.enter_context(patch.object(module, name, value))
        for each in clock_patches(self.now):
            self._open.enter_context(each)
        self._open.enter_context(writes_are_effects())

    async def _database(self, mongo: str, name: str, documents: Documents) -> Database:
        opened: Database = await self._open.enter_async_context(database(mongo, name, documents))
        await create_indexes(opened, documents)
        return opened

    def now(self) -> datetime:
        return now() + self.saga.elapsed

    def _authorized_at(self, intent: Intent) -> datetime | None:
        """When an amount was authorized in simulated time: when payments first saw it, because the sandbox's
        clock isn't simulated."""
        charge = intent.latest_charge
        return self.saga.authorized.setdefault(intent.id, self.now()) if charge and charge.paid else None

    # --- Actions ---

    async def begin(self, *, promised: bool = False) -> None:
        """Begin a new saga with a new ticket, whose seller may promise files."""
        self.transport.answers.clear()
        self.transport.late.clear()
        self.promised = promised
        seller = new_id()
        ticket = await tickets.offer(seller, self._offer_at(PRICE_MINOR))
        self.saga = Saga(ticket.key, seller, has_delivery_timers=self.has_delivery_timers)
        self.sagas += 1
        await orders.follow_ticket(ticket.event())

    async def reserve(self, buyer: str) -> None:
        terms = orders.Terms(window=WINDOW, max_live=5, delivery_hours=DELIVERY_HOURS)
        try:
            order, is_new = await orders.reserve(self.saga.ticket, buyer, terms, self.owner)
        except ServiceError:
            return
        if is_new:
            self.saga.orders.append(order.key)

    def pay(self, order: str, card: str | None, *, at_checkout: bool) -> None:
        payments = self.at_checkout if at_checkout else self.payments
        self.act("buyer", self._of_buyer(order, lambda buyer: payments.pay(order, card, buyer, None)))

    def cancel(self, order: str) -> None:
        self.act("buyer", self._of_buyer(order, lambda buyer: orders.cancel(order, buyer)))

    async def _of_buyer(self, order: str, do: Callable[[str], Awaitable[Any]]) -> None:
        found = await Order.find_one({"_id": kit.mongo.object_id(order)})
        assert found is not None
        await do(found.user_id)

    def edit(self, price_minor: int) -> None:
        self.act("seller", tickets.edit(self.saga.ticket, self.saga.seller, self._offer_at(price_minor)))

    def upload(self) -> None:
        """Complete the files of the ticket, unless tickets accepts none any more."""
        self.act("seller", self._upload())

    async def _upload(self) -> None:
        file = Inspected("pdf", seats=1, codes=[f"the code of {self.saga.ticket}"])
        content = CONTENT + self.saga.ticket.encode()
        await ticket_files.add(self.vault, self.saga.ticket, self.saga.seller, file, content)

    async def read_files(self, buyer: str) -> list[bytes]:
        """The files of the ticket, as the buyer receives them.

        Raises:
            NotTheFilesOwner, FileKeyLost, FileDamaged
        """
        ticket = self.saga.ticket
        listed = (await ticket_files.show(ticket, buyer)).files
        found = [await ticket_files.read(self.vault, ticket, buyer, file.id, FILE_DAYS) for file in listed]
        return [content for _, _, content in found]

    def _offer_at(self, price_minor: int) -> TicketBody:
        body = {"title": "Hamlet", "price": price_minor / 100, "promised": self.promised}
        return TicketBody.model_validate(body)

    def withdraw(self) -> None:
        self.act("seller", tickets.withdraw(self.saga.ticket, self.saga.seller))

    def refund(self, order: str, *, relist: bool) -> None:
        self.act("operator", self.payments.refund(order, relist=relist))

    def hand_over(self, order: str, by: str) -> None:
        """Say that the ticket was handed over, as its seller or as the buyer."""
        if by == "seller":
            self.act("seller", orders.hand_over(order, self.saga.seller))
        else:
            self.act("buyer", self._of_buyer(order, lambda buyer: orders.confirm_delivery(order, buyer)))

    def report(self, order: str) -> None:
        """Report a problem as the buyer."""
        work = self._of_buyer(
            order, lambda buyer: orders.report_problem(order, buyer, "not-as-described", "Another row")
        )
        self.act("buyer", work)

    def answer_report(self, order: str) -> None:
        self.act("seller", orders.answer_problem(order, self.saga.seller, "It is the same row"))

    def decide(self, order: str, decision: problems.Decision) -> None:
        """Decide on the report as an operator."""
        amount = PART_MINOR if decision == "partial-refund" else None
        work = orders.decide_problem(order, decision, amount=amount, reason="Both are right")
        self.act("operator", work)

    def set_up_account(self) -> None:
        self.act("seller", self.sellers.set_up_account(self.saga.seller))

    def pay_sellers(self) -> None:
        """Look at all sales, as a process of payouts does."""
        self.act("payouts", self.sellers.reconcile())

    async def wait(self, time: timedelta) -> None:
        """Let time pass, for Stripe's pages too. The sandbox would close them by its own clock, which goes on
        as usual.

        No request about a transfer is under way for so long: payouts relies on that, as processes give
        requests up sooner.
        """
        await self.transport.deliver_late_to("/v1/transfers")
        self.saga.elapsed += time
        for page in {body["id"] for body in self._made() if body["object"] == "checkout.session"}:
            session = (await self._shop.get(f"/v1/checkout/sessions/{page}")).json()
            if session["status"] == "open" and session["expires_at"] <= self.now().timestamp():
                (await self._shop.post(f"/v1/checkout/sessions/{page}/expire")).raise_for_status()

    def deliver(self, message: Message) -> None:
        """Deliver a message. If that fails or crashes, it is delivered again."""

        async def deliver() -> None:
            try:
                await self.handle(message)
            except BaseException:
                if message not in self.saga.messages:
                    self.saga.messages.append(message)
                raise

        self.act("delivery", deliver())

    def act(self, name: str, work: Coroutine[Any, Any, Any]) -> Actor:
        actor = Actor(name, work, self._loop)
        self.saga.actors.append(actor)
        return actor

    def actors(self) -> list[Actor]:
        self.saga.actors = [actor for actor in self.saga.actors if not actor.done]
        return self.saga.actors

    async def step(self, actor: Actor, *ends: End) -> None:
        """Let an actor's next effects end as given by `ends`, one each. Stop early if the actor is done."""
        for end in ends:
            await actor.settled()
            if actor.done:
                return
            self.ends[end.name.lower()] += 1
            await actor.step(end)

    async def step_to(self, actor: Actor, path: str, end: End) -> None:
        """Let an actor's effects end well until it sends a request to this path. That ends as given by `end`,
        and so do its repetitions."""
        self.transport.ends = {path: end}
        try:
            await self.finish(actor)
        finally:
            self.transport.ends = {}

    async def finish(self, actor: Actor) -> None:
        while not actor.done:
            await self.step(actor, End.WELL)

    async def relay(self) -> None:
        """Turn new events in the outboxes into messages, and fire timers that are due."""
        of_orders = {"_id": {"$in": [kit.mongo.object_id(order) for order in self.saga.orders]}}
        for collection, which in (
            (self.tickets_db["tickets"], {"_id": kit.mongo.object_id(self.saga.ticket)}),
            (self.orders_db["orders"], of_orders),
            (self.payments_db["payments"], {"order_id": {"$in": self.saga.orders}}),
            (self.payouts_db["sales"], of_orders),
        ):
            async for document in collection.find(which, {"outbox": 1}):
                for entry in document["outbox"]:
                    self._publish(entry)
        for timer in sorted(self.saga.timers):
            if timer[1] + GRACE <= self.now():
                self.saga.timers.remove(timer)
                due = ExpirationComplete(order_id=timer[0], expires_at=timer[1])
                self.saga.messages.append(Message(due, "orders"))

    def _publish(self, entry: dict[str, Any]) -> None:
        if entry["id"] in self.saga.relayed:
            return
        self.saga.relayed.add(entry["id"])
        body = json.loads(entry["body"])
        event = _KINDS[entry["subject"]].model_validate(body)
        receivers = next((to for kind, to in RECEIVERS.items() if isinstance(event, kind)), ())
        self.saga.messages += [Message(event, receiver) for receiver in receivers]
        if isinstance(event, PayoutEvent):
            self.saga.payouts.setdefault(event.id, []).append(event.version)
        if isinstance(event, OrderEvent | TicketEvent):
            self.saga.history.setdefault(event.id, []).append(body)
        if isinstance(event, OrderEvent) and event.status not in LIVE_STATUSES:
            self.saga.timers = {timer for timer in self.saga.timers if timer[0] != event.id}
        deadline = deadline_of(event) if isinstance(event, OrderEvent) else None
        is_kept = isinstance(event, OrderEvent) and (
            event.status in LIVE_STATUSES or self.saga.has_delivery_timers
        )
        if deadline is not None and is_kept:
            self.saga.timers.add((event.about, deadline))

    async def handle(self, message: Message) -> None:
        """Handle an event as its subscriber does."""
        event = message.event
        match event:
            case OrderEvent() | PaymentEvent() if message.to == "payouts":
                await self.sellers.follow(event)
            case OrderEvent() if message.to == "tickets":
                await tickets.follow_order(event)
            case OrderEvent():
                await self.payments.follow_order(event)
            case TicketEvent():
                await orders.follow_ticket(event)
            case PaymentEvent():
                await orders.follow_payment(event, WINDOW)
            case ExpirationComplete():
                await orders.expire(event)
        message.times += 1

    async def webhook(self, event: StripeEvent) -> None:
        if event["type"].startswith("transfer."):
            await self.sellers.webhook(event)
            return
        body = json.dumps(event).encode()
        await self.inbox.receive_webhook(body, sign(body, WEBHOOK_SECRET, int(time.time())))
        await self.inbox.process_inbox()

    async def events_at_stripe(self) -> list[StripeEvent]:
        """All events about these orders, newest first."""
        answer = await self._shop.get("/v1/events", params={"limit": 100})
        answer.raise_for_status()
        return [
            event
            for event in answer.json()["data"]
            if event["data"]["object"].get("metadata", {}).get("order_id") in self.saga.orders
        ]

    async def payments_of(self, order: str) -> list[dict[str, Any]]:
        return [payment async for payment in self.payments_db["payments"].find({"order_id": order})]

    async def answer_bank(self, order: str, answer: str) -> None:
        """Answer the bank's question as the buyer, if the bank asks one."""
        for payment in await self.payments_of(order):
            if payment["action_url"]:
                await self._shop.post(urlsplit(payment["action_url"]).path, data={"answer": answer})

    async def pay_on_page(self, order: str, card: str) -> None:
        """Pay on Stripe's page if the order has one, and approve if the bank asks for confirmation."""
        for payment in await self.payments_of(order):
            if payment["page_url"]:
                page = urlsplit(payment["page_url"]).path
                answer = await self._shop.post(page, data={"card": card})
                check = urlsplit(answer.headers.get("location", "")).path
                if check.startswith("/3d_secure/"):
                    await self._shop.post(check, data={"answer": "approve"})

    async def refund_at_stripe(self, order: str) -> None:
        """Refund a captured payment in Stripe's dashboard. The webhook is delivered at the end."""
        for payment in await self.payments_of(order):
            if payment["status"] == "captured":
                await self._shop.post("/v1/refunds", data={"payment_intent": payment["intent_id"]})

    # --- Objects at Stripe ---

    async def intents_of(self, order: str) -> set[str]:
        """All PaymentIntents created for an order, even if the payments service didn't store them."""
        found = set()
        for body in self._made():
            if body.get("metadata", {}).get("order_id") != order:
                continue
            if body["object"] == "checkout.session":
                session = await self._shop.get(f"/v1/checkout/sessions/{body['id']}")
                found.add(session.json()["payment_intent"])
            else:
                found.add(body["id"])
        return found - {None}

    def _made(self) -> Iterator[dict[str, Any]]:
        for request, response in self.transport.answers:
            if request.url.path in ("/v1/payment_intents", "/v1/checkout/sessions") and response.is_success:
                yield response.json()

    async def open_pages_of(self, order: str) -> int:
        """The number of an order's open Checkout sessions, even if the payments service didn't store them."""
        pages = {body["id"] for body in self._made() if body.get("client_reference_id") == order}
        sessions = [(await self._shop.get(f"/v1/checkout/sessions/{page}")).json() for page in pages]
        return sum(session["status"] == "open" for session in sessions)

    async def intent(self, key: str) -> dict[str, Any]:
        answer = await self._shop.get(f"/v1/payment_intents/{key}", params={"expand[]": "latest_charge"})
        answer.raise_for_status()
        intent: dict[str, Any] = answer.json()
        return intent

    # --- Coming to rest ---

    async def settle(self) -> None:
        """Deliver everything without further failures and let time pass, until nothing changes."""
        while self.transport.late:
            await self.transport.deliver_late(0)
        for later in (timedelta(), timedelta(hours=1), PAYDAY):
            await self.wait(later)
            await self.come_to_rest()
            for event in await self.events_at_stripe():
                await self.webhook(event)
            await self.come_to_rest()
        await self._decide_everything()
        if await self.sellers.wait_for_account(self.saga.seller):
            await self.sellers.set_up_account(self.saga.seller)
            await self.come_to_rest()

    async def _decide_everything(self) -> None:
        """Reject the reports that nobody has decided on. Their sellers had the time to answer."""
        reported = {"ticket_id": self.saga.ticket, "report_open": True}
        found = [str(order["_id"]) async for order in self.orders_db["orders"].find(reported, {"_id": 1})]
        for order in found:
            self.decide(order, "reject")
        if found:
            await self.come_to_rest()

    async def has_sales(self) -> bool:
        return await self.sellers.versions(self.saga.seller) > 0

    async def days_pass(self) -> None:
        """Let all be handled, and then let the time come at which sales are due."""
        await self.come_to_rest()
        await self.wait(PAYDAY)

    async def inform_payments(self) -> None:
        """Deliver the events of orders to payments, before tickets receives them."""
        await self.relay()
        for message in [message for message in self.saga.messages if message.to == "payments"]:
            self.saga.messages.remove(message)
            await self._until_handled(message)

    async def come_to_rest(self) -> None:
        """Finish all actors and deliver all messages, until nothing changes."""
        for actor in self.actors():
            await self.finish(actor)
        for _ in range(ROUNDS):
            await self.relay()
            waiting, self.saga.messages = self.saga.messages, []
            for message in waiting:
                await self._until_handled(message)
            reconciled = await self._reconcile()
            left = await self.inbox.process_inbox()
            swept = await self.sweep()
            paid = await self._pay_sellers()
            if not (waiting or reconciled or left or swept or paid):
                return
        raise AssertionError("the saga doesn't come to rest")

    async def sweep(self) -> int:
        """Sweep as a process of orders does."""
        swept = await orders.sweep()
        return swept + (await orders.sweep_deliveries() if self.saga.has_delivery_timers else 0)

    async def _pay_sellers(self) -> bool:
        """Look at all sales. Return whether that has changed one."""
        before = await self.sellers.versions(self.saga.seller)
        if not before:
            return False
        await self.sellers.reconcile()
        return await self.sellers.versions(self.saga.seller) != before

    async def _reconcile(self) -> Sequence[Reconciled]:
        """Look at all open payments, as if the times of their next looks had come."""
        await self.payments_db["payments"].update_many({}, {"$set": {"next_look_at": None}})
        return await self.reconciler.reconcile()

    async def _until_handled(self, message: Message) -> None:
        for _ in range(3):
            actor = Actor("delivery", self.handle(message), self._loop)
            await self.finish(actor)
            if actor.error is None:
                return
            await self._reconcile()
        raise AssertionError(f"{message.event!r} can't be handled: {actor.error!r}") from actor.error


async def _at_once(*_: object) -> None:
    await asyncio.sleep(0)
