"""Orders and payments with everything between them in the hands of a test: messages, time, failures."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch
from urllib.parse import urlsplit

import httpx

import services.kit.aggregates
import services.kit.copies
import services.kit.mongo
import services.orders.actions as orders
import services.payments.actions
import services.payments.gateway
from contracts.events import ALL_EVENTS, Event, ExpirationComplete, OrderEvent, PaymentEvent, TicketCreated
from contracts.money import from_minor_units
from contracts.wire import now
from sandbox.testing import mongo_server, stripe_sandbox
from services.kit.errors import ServiceError
from services.kit.mongo import Database, database
from services.orders.documents import Order, Ticket
from services.payments.actions import Payments
from services.payments.documents import Notice, Payment
from services.payments.documents import Order as PayableOrder
from services.payments.gateway import SANDBOX_KEY, Gateway
from services.payments.rules import Told
from settings import Settings
from tests.saga.steps import Actor, End, Wire, over, writes_are_effects
from tests.services.served import new_id

T = TypeVar("T")

WINDOW = timedelta(minutes=15)
PRICE_MINOR = 1999
SELLER = new_id()
BUYERS = (new_id(), new_id())
ROUNDS = 12
"""Until nothing moves any more; what moves longer is a failure."""
_KINDS = {event.subject: event for event in ALL_EVENTS}


@dataclass
class Message:
    """An event on its way to one of its listeners. It comes at least once."""

    event: Event
    times: int = 0


@dataclass
class Saga:
    """What happens around one ticket."""

    ticket: str
    orders: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    relayed: set[str] = field(default_factory=set)
    timers: set[tuple[str, datetime]] = field(default_factory=set)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Of each order, what it said of itself, in the order of versions."""
    actors: list[Actor] = field(default_factory=list)
    late: timedelta = timedelta()
    """How much later it is than at the start."""


class World:
    """A real database, the real sandbox and both services' code, for many sagas one after another."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self.saga = Saga("")
        self.sagas = 0
        self.violation: AssertionError | None = None
        """The first."""
        self.ends: Counter[str] = Counter()
        """How effects ended that a saga decided on."""
        self.outcomes: Counter[str] = Counter()
        """What orders and their payments came to."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

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
        self.orders_db: Database = await enter(database(mongo, "orders", [Order, Ticket]))
        self.payments_db: Database = await enter(database(mongo, "payments", [Payment, PayableOrder, Notice]))
        self.wire = Wire()
        self._shop = await enter(httpx.AsyncClient(base_url=self.stripe, auth=(SANDBOX_KEY, ""), timeout=10))
        given: Any = {"stripe_api_base": self.stripe, "data_dir": self._folder}
        gateway = Gateway(Settings(_env_file=None, **given))
        http: Any = gateway._http
        self._open.push_async_callback(gateway.close)
        http._client_async = await enter(over(self.wire))
        http.sleep_async = _at_once
        self.payments = Payments(gateway, "usd")
        self.at_checkout = Payments(gateway, "usd", at_checkout=True)
        for module, name, value in (
            (services.payments.gateway, "RATE_LIMIT_DELAYS", (0.0, 0.0, 0.0)),
            (services.kit.copies, "PATIENCE", timedelta(seconds=-5)),
            (services.kit.aggregates, "sleep", _at_once),
            (orders, "now", self.now),
            (services.payments.actions, "now", self.now),
        ):
            self._open.enter_context(patch.object(module, name, value))
        self._open.enter_context(writes_are_effects())

    def now(self) -> datetime:
        return now() + self.saga.late

    # --- What happens ---

    async def begin(self) -> None:
        """A new ticket on sale, and a clean desk."""
        self.wire.answers.clear()
        self.wire.late.clear()
        self.saga = Saga(new_id())
        self.sagas += 1
        ticket = TicketCreated(
            id=self.saga.ticket,
            version=0,
            title="Hamlet",
            price=from_minor_units(PRICE_MINOR),
            user_id=SELLER,
            status="available",
        )
        await orders.follow_ticket(ticket)

    async def reserve(self, buyer: str) -> None:
        terms = orders.Terms(window=WINDOW, max_live=5)
        try:
            order = await orders.reserve(self.saga.ticket, buyer, terms)
        except ServiceError:
            return
        self.saga.orders.append(order.key)

    def pay(self, order: str, card: str | None, *, at_checkout: bool) -> None:
        desk = self.at_checkout if at_checkout else self.payments
        self.act("buyer", self._of_buyer(order, lambda buyer: desk.pay(order, card, buyer)))

    def cancel(self, order: str) -> None:
        self.act("buyer", self._of_buyer(order, lambda buyer: orders.cancel(order, buyer)))

    async def _of_buyer(self, order: str, do: Callable[[str], Awaitable[Any]]) -> None:
        found = await Order.find_one({"_id": services.kit.mongo.object_id(order)})
        assert found is not None
        await do(found.user_id)

    def refund(self, order: str, *, relist: bool) -> None:
        self.act("operator", self.payments.give_back(order, relist=relist))

    def wait(self, minutes: int) -> None:
        self.saga.late += timedelta(minutes=minutes)

    def deliver(self, message: Message) -> None:
        """What fails or dies on the way comes again."""

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
        """Move an actor on by as many effects, if it has as many."""
        for end in ends:
            await actor.settled()
            if actor.done:
                return
            self.ends[end.name.lower()] += 1
            await actor.step(end)

    async def finish(self, actor: Actor) -> None:
        while not actor.done:
            await self.step(actor, End.WELL)

    async def relay(self) -> None:
        """Whatever was said since is on its way to its listener, and timers that are due fire."""
        for collection in (self.orders_db["orders"], self.payments_db["payments"]):
            about = "_id" if collection.name == "orders" else "order_id"
            for order in self.saga.orders:
                key: Any = services.kit.mongo.object_id(order) if about == "_id" else order
                async for document in collection.find({about: key}, {"outbox": 1}):
                    for entry in document["outbox"]:
                        self._said(entry)
        for timer in sorted(self.saga.timers):
            if timer[1] <= self.now():
                self.saga.timers.remove(timer)
                self.saga.messages.append(Message(ExpirationComplete(order_id=timer[0], expires_at=timer[1])))

    def _said(self, entry: dict[str, Any]) -> None:
        if entry["id"] in self.saga.relayed:
            return
        self.saga.relayed.add(entry["id"])
        body = json.loads(entry["body"])
        event = _KINDS[entry["subject"]].model_validate(body)
        self.saga.messages.append(Message(event))
        if isinstance(event, OrderEvent):
            self.saga.history.setdefault(event.id, []).append(body)
            if event.status in ("created", "awaiting:payment"):
                self.saga.timers.add((event.id, event.expires_at))

    async def handle(self, message: Message) -> None:
        """As its listener does. What fails or dies on the way comes again."""
        event = message.event
        match event:
            case OrderEvent():
                await self.payments.follow_order(event)
            case PaymentEvent():
                await orders.follow_payment(event, WINDOW)
            case ExpirationComplete():
                await orders.expire(event)
        message.times += 1

    async def webhook(self, told: Told) -> None:
        await self.payments.take_notice(told)
        await self.payments.handle_notices()

    async def told_by_stripe(self) -> list[Told]:
        """All that Stripe ever had to tell of these orders, newest first."""
        answer = await self._shop.get("/v1/events", params={"limit": 100})
        answer.raise_for_status()
        found = []
        for event in answer.json()["data"]:
            about = event["data"]["object"]
            order = about.get("metadata", {}).get("order_id")
            if order in self.saga.orders:
                found.append(Told(event["id"], order, about.get("payment_intent")))
        return found

    async def payments_of(self, order: str) -> list[dict[str, Any]]:
        return [payment async for payment in self.payments_db["payments"].find({"order_id": order})]

    async def answer_bank(self, order: str, answer: str) -> None:
        """The buyer approves or refuses, if the bank asks them."""
        for payment in await self.payments_of(order):
            if payment["action_url"]:
                await self._shop.post(urlsplit(payment["action_url"]).path, data={"answer": answer})

    async def pay_on_page(self, order: str, card: str) -> None:
        """The buyer fills in Stripe's page, if it is open, and says yes if their bank asks."""
        for payment in await self.payments_of(order):
            if payment["page_url"]:
                page = urlsplit(payment["page_url"]).path
                answer = await self._shop.post(page, data={"card": card})
                check = urlsplit(answer.headers.get("location", "")).path
                if check.startswith("/3d_secure/"):
                    await self._shop.post(check, data={"answer": "approve"})

    async def refund_at_stripe(self, order: str) -> None:
        """In Stripe's dashboard, if there is something to refund. Its webhook comes in the end."""
        for payment in await self.payments_of(order):
            if payment["status"] == "captured":
                await self._shop.post("/v1/refunds", data={"payment_intent": payment["intent_id"]})

    # --- What Stripe has ---

    async def intents_of(self, order: str) -> set[str]:
        """All PaymentIntents that were ever made for an order, whether or not we got to know of them."""
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
        for request, response in self.wire.answers:
            if request.url.path in ("/v1/payment_intents", "/v1/checkout/sessions") and response.is_success:
                yield response.json()

    async def open_pages_of(self, order: str) -> int:
        """Checkout sessions of an order, known to us or not, on which one can still pay."""
        pages = {body["id"] for body in self._made() if body.get("client_reference_id") == order}
        sessions = [(await self._shop.get(f"/v1/checkout/sessions/{page}")).json() for page in pages]
        return sum(session["status"] == "open" for session in sessions)

    async def intent(self, key: str) -> dict[str, Any]:
        answer = await self._shop.get(f"/v1/payment_intents/{key}", params={"expand[]": "latest_charge"})
        answer.raise_for_status()
        intent: dict[str, Any] = answer.json()
        return intent

    # --- How it ends ---

    async def settle(self) -> None:
        """Nothing fails any more, all messages come, time goes by, until nothing moves."""
        while self.wire.late:
            await self.wire.arrive(0)
        for later in (timedelta(), timedelta(hours=1)):
            self.saga.late += later
            await self.calm()
            for told in await self.told_by_stripe():
                await self.webhook(told)
            await self.calm()

    async def calm(self) -> None:
        """Everybody gets done, all messages come, until nothing moves."""
        for actor in self.actors():
            await self.finish(actor)
        for _ in range(ROUNDS):
            await self.relay()
            waiting, self.saga.messages = self.saga.messages, []
            for message in waiting:
                await self._until_handled(message)
            mended = await self.payments.reconcile()
            left = await self.payments.handle_notices()
            if not (waiting or mended or left):
                return
        raise AssertionError("it doesn't come to rest")

    async def _until_handled(self, message: Message) -> None:
        for _ in range(3):
            actor = Actor("delivery", self.handle(message), self._loop)
            await self.finish(actor)
            if actor.error is None:
                return
            await self.payments.reconcile()
        raise AssertionError(f"{message.event!r} can't be handled: {actor.error!r}") from actor.error


async def _at_once(*_: object) -> None:
    await asyncio.sleep(0)
