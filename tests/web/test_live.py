"""Live updates, in the real process, over the real bus."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGTERM

import httpx
import jwt
import nats
import pytest

from contracts.api import Order, User
from contracts.events import Event as BusEvent
from contracts.events import OrderedTicket, OrderUpdated, PaymentUpdated, SessionEnded, TicketUpdated
from contracts.identity import SESSION_COOKIE
from contracts.wire import now
from sandbox.processes import Process
from sandbox.testing import free_port, nats_server, never_killed, running
from tests.interpreter import Interpreter
from tests.people import PATIENCE
from tests.web.conftest import web_of
from tests.web.market import Market
from tests.web.served import Services
from web.hub import MAX_OF_ONE


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[str]:
    async with nats_server(tmp_path / "nats") as address:
        yield address


class Bus:
    """Says what a stream's republishing says."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._sequence = 0

    async def say(self, event: BusEvent) -> str:
        self._sequence += 1
        client = await nats.connect(self._address)
        headers = {"Nats-Sequence": str(self._sequence)}
        await client.publish(f"live.{event.subject}", event.to_json().encode(), headers=headers)
        await client.close()
        return str(self._sequence)


@asynccontextmanager
async def stream(site: str, query: str, token: str | None = None, **headers: str) -> AsyncIterator["Stream"]:
    cookies = {SESSION_COOKIE: token} if token else None
    async with (
        httpx.AsyncClient(base_url=site, timeout=PATIENCE, cookies=cookies, headers=headers) as http,
        http.stream("GET", f"/live?{query}") as response,
    ):
        yield Stream(response)


class Stream:
    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The fields of the next signal; empty when the stream has ended."""
        async with asyncio.timeout(PATIENCE):
            while (fields := await self._fields()).get("event") == "here":
                pass
        return fields

    async def is_open(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return self.response.status_code == 200 and await self._fields() != {}

    async def _fields(self) -> dict[str, str]:
        fields: dict[str, str] = {}
        async for line in self._lines:
            name, _, value = line.partition(": ")
            if line and name != "retry":
                fields[name] = value
            if not line and fields:
                return fields
        return {}

    async def opened(self) -> str | None:
        """Once the process watches for this browser; gives up to where it knows everything.

        What was missed comes before that, so who expects some of it doesn't ask.
        """
        assert self.response.status_code == 200
        async with asyncio.timeout(PATIENCE):
            fields = await self._fields()
        assert fields["event"] == "here"
        return fields.get("id")


def order_event(order: Order) -> OrderUpdated:
    ticket = OrderedTicket(id=order.ticket.id, title=order.ticket.title, price=order.ticket.price)
    return OrderUpdated(
        id=order.id,
        version=1,
        status="complete",
        user_id=order.user_id,
        expires_at=order.expires_at,
        hold=1,
        ticket=ticket,
    )


def payment_event(order: Order) -> PaymentUpdated:
    return PaymentUpdated(
        id="a" * 24, version=1, order_id=order.id, status="captured", amount=2000, currency="usd"
    )


def ticket_event(ticket_id: str, seller: str = "b" * 24) -> TicketUpdated:
    return TicketUpdated.model_validate(
        {"id": ticket_id, "version": 2, "title": "x", "price": 20, "userId": seller, "status": "sold"}
    )


class Scene:
    def __init__(self, market: Market, site: str, pid: int, bus: Bus) -> None:
        self.market, self.site, self.pid, self.bus = market, site, pid, bus
        self.buyer, self.buyers = market.user("buyer@example.com")
        self.other, self.others = market.user("other@example.com")
        seller: User = market.user("seller@example.com")[0]
        self.ticket = market.ticket(seller)
        self.order = market.order(self.buyer, self.ticket)
        self.others_order = market.order(self.other, market.ticket(seller))


@pytest.fixture
async def scene(services: Services, market: Market, bus: str, tmp_path: Path) -> AsyncIterator[Scene]:
    process = web_of(services, bus, tmp_path)
    async with running(process, tmp_path / "web.log", SIGTERM) as pid:
        yield Scene(market, f"http://127.0.0.1:{process.port}", pid, Bus(bus))


async def test_a_ticket_that_changes_is_signalled_to_everyone_who_looks_at_it(scene: Scene) -> None:
    async with stream(scene.site, f"ticket={scene.ticket.id}") as watching:
        await watching.opened()
        sequence = await scene.bus.say(ticket_event(scene.ticket.id))
        assert await watching.next() == {"id": sequence, "event": "ticket", "data": scene.ticket.id}


async def test_only_what_was_asked_for_is_signalled(scene: Scene) -> None:
    async with stream(scene.site, f"ticket={scene.ticket.id}&ticket={'c' * 24}") as watching:
        await watching.opened()
        await scene.bus.say(ticket_event("d" * 24))
        await scene.bus.say(ticket_event("c" * 24))
        assert (await watching.next())["data"] == "c" * 24


async def test_a_buyer_hears_of_the_order_and_its_payment(scene: Scene) -> None:
    async with stream(scene.site, f"order={scene.order.id}", scene.buyers) as watching:
        await watching.opened()
        for event in (order_event(scene.order), payment_event(scene.order)):
            sequence = await scene.bus.say(event)
            assert await watching.next() == {"id": sequence, "event": "order", "data": scene.order.id}


async def test_nobody_but_the_buyer_watches_an_order(scene: Scene) -> None:
    for token, status in ((None, 401), (scene.others, 403)):
        async with stream(scene.site, f"order={scene.order.id}", token) as watching:
            assert watching.response.status_code == status


async def test_that_one_has_to_sign_in_is_told_before_whatever_else_is_wrong(scene: Scene) -> None:
    query = f"order={'f' * 24}x&order={scene.order.id}&order={'e' * 24}x"
    async with stream(scene.site, query) as watching:
        assert watching.response.status_code == 401
    async with stream(scene.site, f"order={'f' * 24}x&buyer=me") as watching:
        assert watching.response.status_code == 401


async def test_what_may_not_be_watched_is_left_out_of_a_stream_that_other_tabs_share(scene: Scene) -> None:
    """Somebody else was signed in when one of the tabs was opened."""
    both = f"order={scene.order.id}&order={scene.others_order.id}"
    async with stream(scene.site, both, scene.buyers) as watching:
        await watching.opened()
        await scene.bus.say(order_event(scene.others_order))
        await scene.bus.say(payment_event(scene.others_order))
        sequence = await scene.bus.say(order_event(scene.order))
        assert (await watching.next())["id"] == sequence
    async with stream(scene.site, f"{both}&buyer=me&ticket={scene.ticket.id}") as watching:
        await watching.opened()
        await scene.bus.say(order_event(scene.order))
        sequence = await scene.bus.say(ticket_event(scene.ticket.id))
        assert (await watching.next())["id"] == sequence


async def test_orders_of_others_are_silent_to_a_buyer(scene: Scene) -> None:
    async with stream(scene.site, f"order={scene.order.id}", scene.buyers) as watching:
        await watching.opened()
        await scene.bus.say(order_event(scene.others_order))
        await scene.bus.say(payment_event(scene.others_order))
        sequence = await scene.bus.say(order_event(scene.order))
        assert (await watching.next())["id"] == sequence


async def test_sellers_and_buyers_hear_of_what_is_theirs_without_naming_it(scene: Scene) -> None:
    async with stream(scene.site, "seller=me&buyer=me", scene.buyers) as watching:
        await watching.opened()
        await scene.bus.say(ticket_event(scene.ticket.id, seller=scene.other.id))
        await scene.bus.say(order_event(scene.others_order))
        await scene.bus.say(payment_event(scene.others_order))
        sequence = await scene.bus.say(ticket_event("c" * 24, seller=scene.buyer.id))
        assert await watching.next() == {"id": sequence, "event": "seller", "data": "me"}
        for event in (order_event(scene.order), payment_event(scene.order)):
            sequence = await scene.bus.say(event)
            assert await watching.next() == {"id": sequence, "event": "buyer", "data": "me"}


async def test_only_who_is_signed_in_has_something_of_theirs_to_watch(scene: Scene) -> None:
    for query, status in (("seller=me", 401), ("buyer=me", 401), (f"seller={scene.buyer.id}", 400)):
        async with stream(scene.site, query) as watching:
            assert watching.response.status_code == status
            assert watching.response.headers["content-type"] == "application/problem+json"


async def test_a_browser_that_comes_back_hears_what_it_missed(scene: Scene) -> None:
    ticket = f"ticket={scene.ticket.id}"
    async with stream(scene.site, ticket) as watching:
        await watching.opened()
        last = await scene.bus.say(ticket_event(scene.ticket.id))
        assert (await watching.next())["id"] == last
    async with stream(scene.site, "ticket=" + "c" * 24) as another:
        await another.opened()
        missed = await scene.bus.say(ticket_event(scene.ticket.id))
        await scene.bus.say(ticket_event("c" * 24))
        assert await another.next(), "the process has heard all of it"
    header = {"Last-Event-ID": last}
    for query, headers in ((ticket, header), (f"{ticket}&since={last}", {}), (f"{ticket}&since=x", header)):
        async with stream(scene.site, query, **headers) as watching:
            assert await watching.next() == {"id": missed, "event": "ticket", "data": scene.ticket.id}
            await watching.opened()
            sequence = await scene.bus.say(ticket_event(scene.ticket.id))
            assert (await watching.next())["id"] == sequence
        missed = sequence


async def test_a_browser_that_only_saw_the_stream_open_can_come_back_too(scene: Scene) -> None:
    ticket = f"ticket={scene.ticket.id}"
    async with stream(scene.site, "ticket=" + "c" * 24) as another:
        assert await another.opened() is None
        last = await scene.bus.say(ticket_event("c" * 24))
        await another.next()
        async with stream(scene.site, ticket) as watching:
            assert await watching.opened() == last
        missed = await scene.bus.say(ticket_event(scene.ticket.id))
        await scene.bus.say(ticket_event("c" * 24))
        await another.next()
    async with stream(scene.site, f"{ticket}&since={last}") as watching:
        assert (await watching.next())["id"] == missed


async def test_a_browser_that_was_elsewhere_or_away_for_too_long_fetches_everything(scene: Scene) -> None:
    for since in ("3", "-1", "yesterday", "9" * 40):
        async with stream(scene.site, f"ticket={scene.ticket.id}&since={since}") as watching:
            assert (await watching.next())["event"] == "resync"


@pytest.mark.parametrize(
    "query", ["", "order=", "order=..%2Fx", "&".join(f"ticket={n:024x}" for n in range(101))]
)
async def test_a_stream_of_nothing_or_of_too_much_is_refused(scene: Scene, query: str) -> None:
    async with stream(scene.site, query, scene.buyers) as watching:
        assert watching.response.status_code in {400, 404}


async def test_while_orders_is_away_the_browser_is_told_to_come_back(
    scene: Scene, services: Services
) -> None:
    await services.stop("orders")
    async with stream(scene.site, f"order={scene.order.id}", scene.buyers) as watching:
        assert watching.response.status_code == 503


async def test_a_message_that_isnt_an_event_is_passed_over(scene: Scene, bus: str) -> None:
    client = await nats.connect(bus)
    async with stream(scene.site, f"ticket={scene.ticket.id}") as watching:
        await watching.opened()
        for subject, body in (("live.ticket.updated", b"nonsense"), ("live.other", b"{}")):
            await client.publish(subject, body)
        await client.close()
        await scene.bus.say(ticket_event(scene.ticket.id))
        assert (await watching.next())["data"] == scene.ticket.id


async def test_a_stream_of_who_signs_out_ends_and_those_of_their_other_sessions_go_on(scene: Scene) -> None:
    tokens = [jwt.encode({"sid": session * 24}, "x" * 32) for session in "ef"]
    for token in tokens:
        scene.market.users[token] = (scene.buyer, "")
    async with (
        stream(scene.site, f"order={scene.order.id}", tokens[0]) as order,
        stream(scene.site, f"buyer=me&ticket={scene.ticket.id}", tokens[0]) as mine,
        stream(scene.site, "buyer=me", tokens[1]) as another,
    ):
        for watching in (order, mine, another):
            await watching.opened()
        await scene.bus.say(SessionEnded(session_id="e" * 24, ended_at=now()))
        for watching in (order, mine):
            assert await watching.next() == {}
        sequence = await scene.bus.say(order_event(scene.order))
        assert (await another.next())["id"] == sequence


async def test_one_address_cant_take_the_streams_of_all_others(scene: Scene) -> None:
    """What a client says of itself doesn't count, only what the proxy in front of us saw."""
    ticket, mine = f"ticket={scene.ticket.id}", "203.0.113.7"
    async with AsyncExitStack() as streams:

        async def asked(number: int) -> Stream:
            told = {"X-Forwarded-For": f"198.51.100.{number}, {mine}"}
            async with few:  # more at once are told at the door to come again
                return await streams.enter_async_context(stream(scene.site, ticket, **told))

        few = asyncio.Semaphore(8)

        at_once = await asyncio.gather(*(asked(number) for number in range(MAX_OF_ONE + 20)))
        assert sum([await watching.is_open() for watching in at_once]) == MAX_OF_ONE
        async with stream(scene.site, ticket, **{"X-Forwarded-For": mine}) as watching:
            assert watching.response.status_code == 503
            assert watching.response.headers["retry-after"] == "5"
        async with stream(scene.site, ticket, **{"X-Forwarded-For": "203.0.113.8"}) as watching:
            await watching.opened()
    async with httpx.AsyncClient(base_url=scene.site, timeout=PATIENCE) as http, asyncio.timeout(PATIENCE):
        while await open_streams(http):
            pass
    async with stream(scene.site, ticket, **{"X-Forwarded-For": mine}) as watching:
        await watching.opened()


async def open_streams(http: httpx.AsyncClient) -> float:
    metrics = (await http.get("/metrics")).text
    return float(
        next(line for line in metrics.splitlines() if line.startswith("web_live_streams ")).split()[1]
    )


async def test_a_browser_that_leaves_is_forgotten(scene: Scene) -> None:
    async with httpx.AsyncClient(base_url=scene.site, timeout=PATIENCE) as http, asyncio.timeout(PATIENCE):
        async with stream(scene.site, f"ticket={scene.ticket.id}") as watching:
            await watching.opened()
            assert await open_streams(http) == 1
        while await open_streams(http):
            pass


async def test_open_streams_dont_hold_up_the_end_of_the_process(
    services: Services, market: Market, bus: str, tmp_path: Path
) -> None:
    process = never_killed(web_of(services, bus, tmp_path))
    site = f"http://127.0.0.1:{process.port}"
    async with AsyncExitStack() as open_streams:
        async with running(process, tmp_path / "web.log", SIGTERM):
            streams = [
                await open_streams.enter_async_context(stream(site, f"ticket={'c' * 24}")) for _ in range(20)
            ]
            for watching in streams:
                await watching.opened()
        for watching in streams:
            assert await watching.next() == {}, "each stream was ended properly"


async def test_after_the_bus_was_away_every_browser_fetches_everything(
    services: Services, market: Market, tmp_path: Path
) -> None:
    """Those who come back later too: what was kept from before is of no use."""
    port = free_port()
    process = web_of(services, f"nats://127.0.0.1:{port}", tmp_path)
    ticket = f"ticket={'c' * 24}"
    async with AsyncExitStack() as second:
        async with nats_server(tmp_path / "nats", port):
            await second.enter_async_context(running(process, tmp_path / "web.log", SIGTERM))
            watching = await second.enter_async_context(stream(f"http://127.0.0.1:{process.port}", ticket))
            await watching.opened()
            last = await Bus(f"nats://127.0.0.1:{port}").say(ticket_event("c" * 24))
            assert (await watching.next())["id"] == last
        await second.enter_async_context(nats_server(tmp_path / "nats", port))
        assert (await watching.next())["event"] == "resync"
        late = stream(f"http://127.0.0.1:{process.port}", f"{ticket}&since={last}")
        assert (await (await second.enter_async_context(late)).next())["event"] == "resync"


async def test_an_error_of_the_bus_makes_the_process_connect_anew(
    services: Services, market: Market, bus: str, tmp_path: Path
) -> None:
    between = Interpreter(free_port(), int(bus.rpartition(":")[2]))
    process = web_of(services, f"nats://127.0.0.1:{between.port}", tmp_path)
    ticket = f"ticket={'c' * 24}"
    async with (
        between.listening(),
        running(process, tmp_path / "web.log", SIGTERM),
        stream(f"http://127.0.0.1:{process.port}", ticket) as watching,
    ):
        await watching.opened()
        between.say("-ERR 'Unknown Protocol Operation'\r\n")
        assert (await watching.next())["event"] == "resync"
        await Bus(bus).say(ticket_event("c" * 24))
        assert (await watching.next())["event"] == "ticket"


async def test_a_start_without_the_bus_isnt_held_up_and_neither_is_the_end(
    services: Services, tmp_path: Path
) -> None:
    process = never_killed(web_of(services, f"nats://127.0.0.1:{free_port()}", tmp_path))

    async def answers() -> str | None:
        try:
            async with httpx.AsyncClient(timeout=PATIENCE) as http:
                await http.get(f"http://127.0.0.1:{process.port}/health/live")
        except httpx.TransportError:
            return "nothing listens"
        return None

    alive = Process(process.name, process.command, answers, process.port, environment=process.environment)
    async with (
        running(alive, tmp_path / "web.log", SIGTERM),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}", timeout=PATIENCE) as http,
    ):
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/health/ready")).json()["missing"] == ["nats"]
