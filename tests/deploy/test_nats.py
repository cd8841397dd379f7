"""NATS as compose runs it: a service can say what is its own to say, and read what is its own to read."""

import asyncio
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, RePublish, RetentionPolicy, StreamConfig

from sandbox.testing import free_port
from tests.people import PATIENCE
from web.live_bus import INBOX

CONFIG = Path(__file__).parents[2] / "deploy/nats/nats.conf"
CLUSTER = CONFIG.with_name("cluster.conf")
SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"
PUBLISHES = {
    "auth": ["session.ended"],
    "tickets": ["ticket.created", "ticket.updated"],
    "orders": ["order.created", "order.updated", "order.cancelled"],
    "payments": ["payment.created", "payment.updated"],
    "expiration": ["expiration.complete", "timers.order.1"],
}
HEARS = {
    "auth": [],
    "tickets": ["order.created", "order.updated", "order.cancelled"],
    "orders": [
        "ticket.created",
        "ticket.updated",
        "expiration.complete",
        "payment.created",
        "payment.updated",
    ],
    "payments": ["order.created", "order.updated", "order.cancelled"],
    "expiration": ["order.created", "order.updated", "order.cancelled"],
}
SUBJECTS = [subject for subjects in PUBLISHES.values() for subject in subjects]
USERS = [*PUBLISHES, "web", "provision"]
# Read as a number, were it not for the quotes that compose.yaml puts around it too.
PASSWORD = "7e10"
ENVIRONMENT = {f"NATS_{user.upper()}_PASSWORD": f'"{PASSWORD}"' for user in USERS}

SignIn = Callable[..., Awaitable[Client]]


async def ignore(_: Exception) -> None:
    """Refusals are told to this callback as well."""


@pytest.fixture
async def sign_in(tmp_path: Path) -> AsyncIterator[SignIn]:
    """Connects as one of the users to a server on which the streams are provisioned."""
    port = free_port()
    listen = ["--addr", "127.0.0.1", "--port", str(port), "--http_port", "-1"]
    with (tmp_path / "nats.log").open("w") as log:
        server = await asyncio.create_subprocess_exec(
            SERVER, "--config", CONFIG, "--store_dir", tmp_path, *listen, env=ENVIRONMENT, stderr=log
        )

        async def connect(user: str, inbox_prefix: str = "_INBOX") -> Client:
            client = await nats.connect(
                f"nats://{user}:{PASSWORD}@127.0.0.1:{port}",
                error_cb=ignore,
                allow_reconnect=False,
                connect_timeout=PATIENCE,
                inbox_prefix=inbox_prefix,
            )
            open_clients.push_async_callback(client.close)
            return client

        try:
            async with AsyncExitStack() as open_clients, asyncio.timeout(2 * PATIENCE):
                await accepts_connections(port)
                await provision(await connect("provision"))
                yield connect
        finally:
            server.terminate()
            await server.wait()


async def accepts_connections(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return


async def provision(operator: Client) -> None:
    js = operator.jetstream()
    await js.add_stream(
        name="EVENTS",
        subjects=["ticket.*", "order.*", "payment.*", "expiration.*", "session.*"],
        republish=RePublish(src=">", dest="live.>"),
    )
    await js.add_stream(
        StreamConfig(name="TIMERS", subjects=["timers.>"], retention=RetentionPolicy.WORK_QUEUE)
    )
    await js.add_stream(name="DEAD", subjects=["dead.>"])
    for service, subjects in HEARS.items():
        for subject in subjects:
            name = f"{service}-{subject.replace('.', '-')}"
            await js.add_consumer(
                "EVENTS",
                ConsumerConfig(durable_name=name, filter_subject=subject, ack_policy=AckPolicy.EXPLICIT),
            )


async def refused(attempt: Awaitable[object]) -> bool:
    """A refused publish has no answer, so a time-out is how it shows."""
    try:
        await attempt
    except nats.errors.TimeoutError:
        return True
    return False


def test_the_server_accepts_the_configuration() -> None:
    checked = subprocess.run(  # noqa: S603  our own file
        [SERVER, "-t", "-c", CONFIG], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_server_accepts_the_configuration_of_a_node_of_a_cluster() -> None:
    node = {
        "NATS_NAME": "nats-1",
        "NATS_ROUTE_PASSWORD": f'"{PASSWORD}"',
        "NATS_ROUTES": "[nats://route:secret@nats-1:6222, nats://route:secret@nats-2:6222]",
    }
    checked = subprocess.run(  # noqa: S603  our own file
        [SERVER, "-t", "-c", CLUSTER], env=ENVIRONMENT | node, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_a_password_that_is_missing_stops_the_server() -> None:
    checked = subprocess.run(  # noqa: S603  our own file
        [SERVER, "-t", "-c", CONFIG], env={}, capture_output=True, text=True, check=False
    )
    assert checked.returncode != 0


async def test_orders_can_say_that_an_order_was_created_and_tickets_cannot(sign_in: SignIn) -> None:
    orders, tickets = (await sign_in("orders")).jetstream(), (await sign_in("tickets")).jetstream()
    assert await refused(tickets.publish("order.created", b"{}", timeout=0.3))
    assert (await orders.publish("order.created", b"{}", timeout=PATIENCE)).seq == 1


@pytest.mark.parametrize("service", PUBLISHES)
async def test_a_service_publishes_its_own_events_alone(sign_in: SignIn, service: str) -> None:
    js = (await sign_in(service)).jetstream()
    own = [*PUBLISHES[service], "dead.some.event"]
    others = [subject for subject in SUBJECTS if subject not in own]
    for subject in own:
        await js.publish(subject, b"{}", timeout=PATIENCE)
    outcomes = await asyncio.gather(*(refused(js.publish(subject, b"{}", timeout=0.5)) for subject in others))
    assert outcomes == [True] * len(others)


@pytest.mark.parametrize("service", ["tickets", "orders", "payments", "expiration"])
async def test_a_service_reads_and_acknowledges_its_own_events(sign_in: SignIn, service: str) -> None:
    js = (await sign_in(service)).jetstream(timeout=PATIENCE)
    operator = (await sign_in("provision")).jetstream()
    for subject in HEARS[service]:
        await operator.publish(subject, b"{}", timeout=PATIENCE)
        durable = f"{service}-{subject.replace('.', '-')}"
        pulled = await js.pull_subscribe(subject, durable=durable, stream="EVENTS")
        [message] = await pulled.fetch(1, timeout=PATIENCE)
        await message.ack_sync(timeout=PATIENCE)
        assert (await js.consumer_info("EVENTS", durable)).num_ack_pending == 0


async def test_a_service_cannot_take_anothers_events(sign_in: SignIn) -> None:
    js = (await sign_in("tickets")).jetstream(timeout=0.3)
    assert await refused(
        js.pull_subscribe("ticket.created", durable="orders-ticket-created", stream="EVENTS")
    )
    taken = await js.pull_subscribe_bind("orders-ticket-created", stream="EVENTS")
    await (await sign_in("tickets")).jetstream().publish("ticket.created", b"{}", timeout=PATIENCE)
    assert await refused(taken.fetch(1, timeout=0.3))


@pytest.mark.parametrize("service", ["auth", "tickets", "web"])
async def test_nobody_but_the_operator_changes_a_stream(sign_in: SignIn, service: str) -> None:
    js = (await sign_in(service)).jetstream(timeout=0.3)
    assert await refused(js.delete_stream("EVENTS"))
    assert await refused(js.purge_stream("TIMERS"))
    assert await refused(js.delete_consumer("EVENTS", "orders-ticket-created"))


@pytest.mark.parametrize("service", PUBLISHES)
async def test_every_service_hears_of_sessions_that_have_ended(sign_in: SignIn, service: str) -> None:
    await (await sign_in("auth")).jetstream().publish("session.ended", b"{}", timeout=PATIENCE)
    js = (await sign_in(service)).jetstream(timeout=PATIENCE)
    for config in (None, ConsumerConfig(name=f"{service}-sessions-1", ack_policy=AckPolicy.NONE)):
        ended = await js.subscribe(
            "session.ended", stream="EVENTS", ordered_consumer=config is None, config=config
        )
        assert (await ended.next_msg(timeout=PATIENCE)).data == b"{}"
        await ended.unsubscribe()


async def test_expiration_cancels_its_timers(sign_in: SignIn) -> None:
    js = (await sign_in("expiration")).jetstream(timeout=PATIENCE)
    await js.publish("timers.order.1", b"{}", timeout=PATIENCE)
    assert await js.purge_stream("TIMERS", subject="timers.order.1")


async def test_the_web_tier_hears_what_happens_and_says_nothing(sign_in: SignIn) -> None:
    web = await sign_in("web")
    live = await web.subscribe("live.>")
    everything = await web.subscribe("ticket.>")
    await web.flush()
    await (await sign_in("tickets")).jetstream().publish("ticket.created", b"{}", timeout=PATIENCE)
    assert (await live.next_msg(timeout=PATIENCE)).subject == "live.ticket.created"
    await web.publish("live.ticket.created", b"made up")
    await web.flush()
    assert await refused(live.next_msg(timeout=0.3))
    assert await refused(everything.next_msg(timeout=0.1))


async def test_the_web_tier_is_told_whether_jetstream_is_led_and_hears_no_other_answers(
    sign_in: SignIn,
) -> None:
    web = await sign_in("web", inbox_prefix=INBOX)
    assert (await web.jetstream(timeout=PATIENCE).account_info()).streams == 3
    others = await web.subscribe("_INBOX.>")
    await web.flush()
    await (await sign_in("tickets")).jetstream().publish("ticket.created", b"{}", timeout=PATIENCE)
    assert await refused(others.next_msg(timeout=0.3))
