"""Live updates that a separate web process receives from NATS and sends to browsers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from signal import SIGTERM

import httpx
import nats
import pytest
import pytest_asyncio

from contracts.api import Order, User
from contracts.events import (
    AlertMatched,
    OrderedTicket,
    OrderUpdated,
    PaymentUpdated,
    SessionEnded,
    TicketUpdated,
)
from contracts.events import Event as BusEvent
from contracts.examples import EVENT_EXAMPLES
from contracts.identity import SESSION_COOKIE
from contracts.wire import now
from sandbox.processes import Process
from sandbox.testing import free_port, nats_server, running, without_kill_timeout
from tests.integration.web.nats_proxy import NatsProxy
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services, web_of
from tests.support.polling import TIMEOUT, until
from web.live.hub import MAX_WATCHERS_PER_NETWORK

MATCH = next(event for event in EVENT_EXAMPLES if isinstance(event, AlertMatched))


@pytest_asyncio.fixture(loop_scope="session")
async def bus(tmp_path: Path) -> AsyncIterator[str]:
    async with nats_server(tmp_path / "nats") as address:
        yield address


class Bus:
    """Publishes live messages as JetStream does when it republishes stored events."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._sequence = 0

    async def publish(self, event: BusEvent) -> str:
        self._sequence += 1
        client = await nats.connect(self.address)
        headers = {"Nats-Sequence": str(self._sequence)}
        await client.publish(f"live.{event.subject}", event.to_json().encode(), headers=headers)
        await client.close()
        return str(self._sequence)


@asynccontextmanager
async def stream(site: str, query: str, token: str | None = None, **headers: str) -> AsyncIterator["Stream"]:
    cookies = {SESSION_COOKIE: token} if token else None
    async with (
        httpx.AsyncClient(base_url=site, timeout=TIMEOUT, cookies=cookies, headers=headers) as http,
        http.stream("GET", f"/live?{query}") as response,
    ):
        yield Stream(response)


class Stream:
    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The fields of the next signal, or no fields if the stream has ended."""
        async with asyncio.timeout(TIMEOUT):
            while (fields := await self._fields()).get("event") == "here":
                pass
        return fields

    async def is_open(self) -> bool:
        async with asyncio.timeout(TIMEOUT):
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
        """Wait until the process has registered this stream, and return the position of the process.

        If the browser has missed signals, read them with `next` first, because the process sends them first.
        """
        assert self.response.status_code == 200
        async with asyncio.timeout(TIMEOUT):
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


class LiveMarket:
    """Users, their tickets and orders, and a web process that shows them."""

    def __init__(self, market: Market, site: str, bus: Bus) -> None:
        self.market, self.site, self.bus = market, site, bus
        self.buyer, self.buyer_token = market.user("buyer@example.com")
        self.other, self.other_token = market.user("other@example.com")
        seller: User = market.user("seller@example.com")[0]
        self.ticket = market.ticket(seller)
        self.order = market.order(self.buyer, self.ticket)
        self.others_order = market.order(self.other, market.ticket(seller))

    async def reconnects(self, query: str, token: str) -> int:
        """The status of the response to a browser that opens its stream again."""
        async with stream(self.site, query, token) as watching:
            return watching.response.status_code


@dataclass(frozen=True)
class Site:
    """A web process, and the bus with the sequence of the messages that the process receives."""

    address: str
    bus: Bus


@asynccontextmanager
async def site_running(services: Services, folder: Path) -> AsyncIterator[Site]:
    async with nats_server(folder / "nats") as bus:
        process = web_of(services, bus, folder)
        async with running(process, folder / "web.log", SIGTERM):
            yield Site(f"http://127.0.0.1:{process.port}", Bus(bus))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_site(
    shared_services: Services, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    async with site_running(shared_services, tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def live(services: Services, market: Market, shared_site: Site) -> LiveMarket:
    """Users with tickets and orders, before a web process that no browser watches any more."""
    async with httpx.AsyncClient(base_url=shared_site.address, timeout=TIMEOUT) as http:
        await until(lambda: open_streams(http), lambda count: not count)
    return LiveMarket(market, shared_site.address, shared_site.bus)


@pytest_asyncio.fixture(loop_scope="session")
async def new_live(services: Services, market: Market, tmp_path: Path) -> AsyncIterator[LiveMarket]:
    """The same with a web process that has received no message yet."""
    async with site_running(services, tmp_path) as site:
        yield LiveMarket(market, site.address, site.bus)


async def test_a_changed_ticket_is_signalled_to_a_browser_that_shows_the_ticket(live: LiveMarket) -> None:
    async with stream(live.site, f"ticket={live.ticket.id}") as watching:
        await watching.opened()
        sequence = await live.bus.publish(ticket_event(live.ticket.id))
        assert await watching.next() == {"id": sequence, "event": "ticket", "data": live.ticket.id}


async def test_a_stream_contains_only_signals_about_its_topics(live: LiveMarket) -> None:
    async with stream(live.site, f"ticket={live.ticket.id}&ticket={'c' * 24}") as watching:
        await watching.opened()
        await live.bus.publish(ticket_event("d" * 24))
        await live.bus.publish(ticket_event("c" * 24))
        assert (await watching.next())["data"] == "c" * 24


async def test_a_buyer_receives_signals_about_the_order_and_its_payment(live: LiveMarket) -> None:
    async with stream(live.site, f"order={live.order.id}", live.buyer_token) as watching:
        await watching.opened()
        for event in (order_event(live.order), payment_event(live.order)):
            sequence = await live.bus.publish(event)
            assert await watching.next() == {"id": sequence, "event": "order", "data": live.order.id}


async def test_only_the_buyer_can_watch_an_order(live: LiveMarket) -> None:
    for token, status in ((None, 401), (live.other_token, 403)):
        async with stream(live.site, f"order={live.order.id}", token) as watching:
            assert watching.response.status_code == status


async def test_a_signed_out_user_gets_401_before_any_other_error(live: LiveMarket) -> None:
    query = f"order={'f' * 24}x&order={live.order.id}&order={'e' * 24}x"
    async with stream(live.site, query) as watching:
        assert watching.response.status_code == 401
    async with stream(live.site, f"order={'f' * 24}x&buyer=me") as watching:
        assert watching.response.status_code == 401


async def test_a_stream_for_several_topics_omits_those_that_the_user_may_not_watch(live: LiveMarket) -> None:
    """Tabs share a stream, so it may also contain topics of a user who was signed in earlier."""
    both = f"order={live.order.id}&order={live.others_order.id}"
    async with stream(live.site, both, live.buyer_token) as watching:
        await watching.opened()
        await live.bus.publish(order_event(live.others_order))
        await live.bus.publish(payment_event(live.others_order))
        sequence = await live.bus.publish(order_event(live.order))
        assert (await watching.next())["id"] == sequence
    async with stream(live.site, f"{both}&buyer=me&ticket={live.ticket.id}") as watching:
        await watching.opened()
        await live.bus.publish(order_event(live.order))
        sequence = await live.bus.publish(ticket_event(live.ticket.id))
        assert (await watching.next())["id"] == sequence


async def test_a_buyer_receives_no_signals_about_the_orders_of_others(live: LiveMarket) -> None:
    async with stream(live.site, f"order={live.order.id}", live.buyer_token) as watching:
        await watching.opened()
        await live.bus.publish(order_event(live.others_order))
        await live.bus.publish(payment_event(live.others_order))
        sequence = await live.bus.publish(order_event(live.order))
        assert (await watching.next())["id"] == sequence


async def test_sellers_and_buyers_can_watch_all_their_own_tickets_and_orders(live: LiveMarket) -> None:
    async with stream(live.site, "seller=me&buyer=me", live.buyer_token) as watching:
        await watching.opened()
        await live.bus.publish(ticket_event(live.ticket.id, seller=live.other.id))
        await live.bus.publish(order_event(live.others_order))
        await live.bus.publish(payment_event(live.others_order))
        sequence = await live.bus.publish(ticket_event("c" * 24, seller=live.buyer.id))
        assert await watching.next() == {"id": sequence, "event": "seller", "data": "me"}
        for event in (order_event(live.order), payment_event(live.order)):
            sequence = await live.bus.publish(event)
            assert await watching.next() == {"id": sequence, "event": "buyer", "data": "me"}


async def test_users_can_watch_what_they_are_told_of_and_nothing_that_others_are(live: LiveMarket) -> None:
    async with stream(live.site, "alerts=me", live.buyer_token) as watching:
        await watching.opened()
        await live.bus.publish(MATCH.model_copy(update={"user_id": live.other.id}))
        sequence = await live.bus.publish(MATCH.model_copy(update={"user_id": live.buyer.id}))
        assert await watching.next() == {"id": sequence, "event": "alerts", "data": "me"}


async def test_only_a_signed_in_user_can_watch_own_tickets_and_orders(live: LiveMarket) -> None:
    mine = [(f"{kind}=me", 401) for kind in ("seller", "buyer", "alerts")]
    for query, status in (*mine, (f"seller={live.buyer.id}", 400), (f"alerts={live.buyer.id}", 400)):
        async with stream(live.site, query) as watching:
            assert watching.response.status_code == status
            assert watching.response.headers["content-type"] == "application/problem+json"


async def test_a_reconnecting_browser_receives_missed_signals(live: LiveMarket) -> None:
    ticket = f"ticket={live.ticket.id}"
    async with stream(live.site, ticket) as watching:
        await watching.opened()
        last = await live.bus.publish(ticket_event(live.ticket.id))
        assert (await watching.next())["id"] == last
    async with stream(live.site, "ticket=" + "c" * 24) as other_stream:
        await other_stream.opened()
        missed = await live.bus.publish(ticket_event(live.ticket.id))
        await live.bus.publish(ticket_event("c" * 24))
        assert await other_stream.next(), "the process has received all events"
    header = {"Last-Event-ID": last}
    for query, headers in ((ticket, header), (f"{ticket}&since={last}", {}), (f"{ticket}&since=x", header)):
        async with stream(live.site, query, **headers) as watching:
            assert await watching.next() == {"id": missed, "event": "ticket", "data": live.ticket.id}
            await watching.opened()
            sequence = await live.bus.publish(ticket_event(live.ticket.id))
            assert (await watching.next())["id"] == sequence
        missed = sequence


async def test_a_browser_that_received_only_the_position_can_resume_from_there(new_live: LiveMarket) -> None:
    ticket = f"ticket={new_live.ticket.id}"
    async with stream(new_live.site, "ticket=" + "c" * 24) as other_stream:
        assert await other_stream.opened() is None
        last = await new_live.bus.publish(ticket_event("c" * 24))
        await other_stream.next()
        async with stream(new_live.site, ticket) as watching:
            assert await watching.opened() == last
        missed = await new_live.bus.publish(ticket_event(new_live.ticket.id))
        await new_live.bus.publish(ticket_event("c" * 24))
        await other_stream.next()
    async with stream(new_live.site, f"{ticket}&since={last}") as watching:
        assert (await watching.next())["id"] == missed


async def test_an_unknown_or_invalid_position_is_answered_with_a_resync(new_live: LiveMarket) -> None:
    for since in ("3", "-1", "yesterday", "9" * 40):
        async with stream(new_live.site, f"ticket={new_live.ticket.id}&since={since}") as watching:
            assert (await watching.next())["event"] == "resync"


@pytest.mark.parametrize(
    "query", ["", "order=", "order=..%2Fx", "&".join(f"ticket={n:024x}" for n in range(101))]
)
async def test_a_stream_without_valid_topics_or_with_too_many_is_refused(
    live: LiveMarket, query: str
) -> None:
    async with stream(live.site, query, live.buyer_token) as watching:
        assert watching.response.status_code in {400, 404}


async def test_a_stream_about_an_order_is_answered_with_503_while_the_orders_service_is_down(
    live: LiveMarket, services: Services
) -> None:
    await services.stop("orders")
    async with stream(live.site, f"order={live.order.id}", live.buyer_token) as watching:
        assert watching.response.status_code == 503


async def test_a_message_that_is_not_an_event_is_skipped(live: LiveMarket) -> None:
    client = await nats.connect(live.bus.address)
    async with stream(live.site, f"ticket={live.ticket.id}") as watching:
        await watching.opened()
        for subject, body in (("live.ticket.updated", b"not an event"), ("live.other", b"{}")):
            await client.publish(subject, body)
        await client.close()
        await live.bus.publish(ticket_event(live.ticket.id))
        assert (await watching.next())["data"] == live.ticket.id


async def test_signing_out_ends_only_the_streams_of_that_session(live: LiveMarket) -> None:
    tokens = [live.market.sign_in(live.buyer, session * 24) for session in "ef"]
    async with (
        stream(live.site, f"order={live.order.id}", tokens[0]) as order_stream,
        stream(live.site, f"buyer=me&ticket={live.ticket.id}", tokens[0]) as own_stream,
        stream(live.site, "buyer=me", tokens[1]) as other_stream,
    ):
        for watching in (order_stream, own_stream, other_stream):
            await watching.opened()
        await live.bus.publish(SessionEnded(session_id="e" * 24, ended_at=now()))
        for watching in (order_stream, own_stream):
            assert await watching.next() == {}
        sequence = await live.bus.publish(order_event(live.order))
        assert (await other_stream.next())["id"] == sequence


async def test_a_stream_ends_when_its_token_expires(live: LiveMarket) -> None:
    async with stream(live.site, f"order={live.order.id}", live.buyer_token) as other:
        await other.opened()
        brief = live.market.sign_in(live.buyer, "b" * 24, lifetime=timedelta(seconds=8))
        async with stream(live.site, "buyer=me", brief) as watching:
            await watching.opened()
            assert await watching.next() == {}
        assert await live.reconnects("buyer=me", brief) == 401
        sequence = await live.bus.publish(order_event(live.order))
        assert (await other.next())["id"] == sequence


async def test_the_number_of_streams_per_network_is_limited(live: LiveMarket) -> None:
    """Only the last address in X-Forwarded-For counts. Our proxy adds it; a client can forge the others."""
    ticket, address = f"ticket={live.ticket.id}", "203.0.113.7"
    async with AsyncExitStack() as streams:

        async def open_stream(number: int) -> Stream:
            headers = {"X-Forwarded-For": f"198.51.100.{number}, {address}"}
            async with concurrency:  # admission control would reject more concurrent requests
                return await streams.enter_async_context(stream(live.site, ticket, **headers))

        concurrency = asyncio.Semaphore(8)

        opened = await asyncio.gather(
            *(open_stream(number) for number in range(MAX_WATCHERS_PER_NETWORK + 20))
        )
        assert sum([await watching.is_open() for watching in opened]) == MAX_WATCHERS_PER_NETWORK
        async with stream(live.site, ticket, **{"X-Forwarded-For": address}) as watching:
            assert watching.response.status_code == 503
            assert watching.response.headers["retry-after"] == "5"
        async with stream(live.site, ticket, **{"X-Forwarded-For": "203.0.113.8"}) as watching:
            await watching.opened()
    async with httpx.AsyncClient(base_url=live.site, timeout=TIMEOUT) as http, asyncio.timeout(TIMEOUT):
        while await open_streams(http):
            pass
    async with stream(live.site, ticket, **{"X-Forwarded-For": address}) as watching:
        await watching.opened()


async def open_streams(http: httpx.AsyncClient) -> float:
    metrics = (await http.get("/metrics")).text
    return float(
        next(line for line in metrics.splitlines() if line.startswith("stagedoor_web_live_streams ")).split()[
            1
        ]
    )


async def test_the_stream_of_a_disconnected_browser_is_removed(live: LiveMarket) -> None:
    async with httpx.AsyncClient(base_url=live.site, timeout=TIMEOUT) as http, asyncio.timeout(TIMEOUT):
        async with stream(live.site, f"ticket={live.ticket.id}") as watching:
            await watching.opened()
            assert await open_streams(http) == 1
        while await open_streams(http):
            pass


async def test_open_streams_do_not_delay_the_shutdown(
    services: Services, market: Market, bus: str, tmp_path: Path
) -> None:
    process = without_kill_timeout(web_of(services, bus, tmp_path))
    site = f"http://127.0.0.1:{process.port}"
    async with AsyncExitStack() as open_streams:
        async with running(process, tmp_path / "web.log", SIGTERM):
            streams = [
                await open_streams.enter_async_context(stream(site, f"ticket={'c' * 24}")) for _ in range(20)
            ]
            for watching in streams:
                await watching.opened()
        for watching in streams:
            assert await watching.next() == {}, "each stream ended cleanly"


async def test_every_browser_receives_a_resync_after_nats_was_down(
    services: Services, market: Market, tmp_path: Path
) -> None:
    """A browser that reconnects later also receives a resync, because the process discards older changes."""
    port = free_port()
    process = web_of(services, f"nats://127.0.0.1:{port}", tmp_path)
    ticket = f"ticket={'c' * 24}"
    async with AsyncExitStack() as stack:
        async with nats_server(tmp_path / "nats", port):
            await stack.enter_async_context(running(process, tmp_path / "web.log", SIGTERM))
            watching = await stack.enter_async_context(stream(f"http://127.0.0.1:{process.port}", ticket))
            await watching.opened()
            last = await Bus(f"nats://127.0.0.1:{port}").publish(ticket_event("c" * 24))
            assert (await watching.next())["id"] == last
        await stack.enter_async_context(nats_server(tmp_path / "nats", port))
        assert (await watching.next())["event"] == "resync"
        later_stream = stream(f"http://127.0.0.1:{process.port}", f"{ticket}&since={last}")
        assert (await (await stack.enter_async_context(later_stream)).next())["event"] == "resync"


async def test_the_process_reconnects_after_a_protocol_error_of_nats(
    services: Services, market: Market, bus: str, tmp_path: Path
) -> None:
    proxy = NatsProxy(free_port(), int(bus.rpartition(":")[2]))
    process = web_of(services, f"nats://127.0.0.1:{proxy.port}", tmp_path)
    ticket = f"ticket={'c' * 24}"
    async with (
        proxy.listening(),
        running(process, tmp_path / "web.log", SIGTERM),
        stream(f"http://127.0.0.1:{process.port}", ticket) as watching,
    ):
        await watching.opened()
        proxy.inject("-ERR 'Unknown Protocol Operation'\r\n")
        assert (await watching.next())["event"] == "resync"
        await Bus(bus).publish(ticket_event("c" * 24))
        assert (await watching.next())["event"] == "ticket"


async def test_the_process_starts_and_stops_without_delay_while_nats_is_down(
    services: Services, tmp_path: Path
) -> None:
    process = without_kill_timeout(web_of(services, f"nats://127.0.0.1:{free_port()}", tmp_path))

    async def is_unreachable() -> str | None:
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT) as http:
                await http.get(f"http://127.0.0.1:{process.port}/health/live")
        except httpx.TransportError:
            return "nothing listens"
        return None

    live_process = Process(
        process.name, process.command, is_unreachable, process.port, environment=process.environment
    )
    async with (
        running(live_process, tmp_path / "web.log", SIGTERM),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{process.port}", timeout=TIMEOUT) as http,
    ):
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/health/ready")).json()["missing"] == ["nats"]
