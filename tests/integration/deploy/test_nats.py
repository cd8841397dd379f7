"""With the NATS configuration of compose.yaml, a service can access only its own events and consumers."""

import asyncio
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, RePublish, RetentionPolicy, StreamConfig

from contracts.wire import now
from kit.nats import EVENTS, read_stream
from sandbox.testing import free_port
from streams.processes import PROCESSES
from tests.support.polling import TIMEOUT
from web.live.subscriber import INBOX

CONFIG = Path(__file__).parents[3] / "deploy/nats/nats.conf"
CLUSTER = CONFIG.with_name("cluster.conf")
SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"
PUBLISHES: dict[str, list[str]] = {
    service.name: [event.subject for event in service.publishes] for service in PROCESSES
}
PUBLISHES["expiration"].append("timers.order.1")
CONSUMES: dict[str, list[str]] = {
    service.name: [each.subject for each in service.listener.consumers if each.stream == EVENTS]
    for service in PROCESSES
}
SUBJECTS = [subject for subjects in PUBLISHES.values() for subject in subjects]
USERS = [*PUBLISHES, "web", "provision"]
# NATS reads a password such as this as a number unless it is in quotes, which compose.yaml adds as well.
PASSWORD = "7e10"
ENVIRONMENT = {f"NATS_{user.upper()}_PASSWORD": f'"{PASSWORD}"' for user in USERS}

SignIn = Callable[..., Awaitable[Client]]


async def ignore(_: Exception) -> None:
    """Ignore refused requests, which the client also reports to this callback."""


@pytest.fixture
async def sign_in(tmp_path: Path) -> AsyncIterator[SignIn]:
    """A function that connects a user to a NATS server with provisioned streams."""
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
                connect_timeout=TIMEOUT,
                inbox_prefix=inbox_prefix,
            )
            open_clients.push_async_callback(client.close)
            return client

        try:
            async with AsyncExitStack() as open_clients, asyncio.timeout(2 * TIMEOUT):
                await wait_until_listening(port)
                await provision(await connect("provision"))
                yield connect
        finally:
            server.terminate()
            await server.wait()


async def wait_until_listening(port: int) -> None:
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
    for service, subjects in CONSUMES.items():
        for subject in subjects:
            name = f"{service}-{subject.replace('.', '-')}"
            await js.add_consumer(
                "EVENTS",
                ConsumerConfig(durable_name=name, filter_subject=subject, ack_policy=AckPolicy.EXPLICIT),
            )


async def refused(attempt: Awaitable[object]) -> bool:
    """Whether the server refuses a request: it then sends no answer, so the request times out."""
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


def test_the_server_accepts_the_configuration_of_a_cluster_node() -> None:
    node = {
        "NATS_NAME": "nats-1",
        "NATS_ROUTE_PASSWORD": f'"{PASSWORD}"',
        "NATS_ROUTES": "[nats://route:secret@nats-1:6222, nats://route:secret@nats-2:6222]",
    }
    checked = subprocess.run(  # noqa: S603  our own file
        [SERVER, "-t", "-c", CLUSTER], env=ENVIRONMENT | node, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_server_does_not_start_without_the_passwords() -> None:
    checked = subprocess.run(  # noqa: S603  our own file
        [SERVER, "-t", "-c", CONFIG], env={}, capture_output=True, text=True, check=False
    )
    assert checked.returncode != 0


async def test_orders_can_publish_order_created_and_tickets_cannot(sign_in: SignIn) -> None:
    orders, tickets = (await sign_in("orders")).jetstream(), (await sign_in("tickets")).jetstream()
    assert await refused(tickets.publish("order.created", b"{}", timeout=0.3))
    assert (await orders.publish("order.created", b"{}", timeout=TIMEOUT)).seq == 1


@pytest.mark.parametrize("service", PUBLISHES)
async def test_a_service_can_publish_only_its_own_events(sign_in: SignIn, service: str) -> None:
    js = (await sign_in(service)).jetstream()
    own = [*PUBLISHES[service], "dead.some.event"]
    others = [subject for subject in SUBJECTS if subject not in own]
    for subject in own:
        await js.publish(subject, b"{}", timeout=TIMEOUT)
    outcomes = await asyncio.gather(*(refused(js.publish(subject, b"{}", timeout=0.5)) for subject in others))
    assert outcomes == [True] * len(others)


@pytest.mark.parametrize("service", ["tickets", "orders", "payments", "expiration"])
async def test_a_service_can_read_and_acknowledge_its_own_consumers(sign_in: SignIn, service: str) -> None:
    js = (await sign_in(service)).jetstream(timeout=TIMEOUT)
    operator = (await sign_in("provision")).jetstream()
    for subject in CONSUMES[service]:
        await operator.publish(subject, b"{}", timeout=TIMEOUT)
        durable = f"{service}-{subject.replace('.', '-')}"
        consumer = await js.pull_subscribe(subject, durable=durable, stream="EVENTS")
        [message] = await consumer.fetch(1, timeout=TIMEOUT)
        await message.ack_sync(timeout=TIMEOUT)
        assert (await js.consumer_info("EVENTS", durable)).num_ack_pending == 0


async def test_a_service_cannot_receive_from_the_consumers_of_another_service(sign_in: SignIn) -> None:
    js = (await sign_in("tickets")).jetstream(timeout=0.3)
    bound = await js.pull_subscribe_bind("orders-ticket-created", stream="EVENTS")
    await (await sign_in("tickets")).jetstream().publish("ticket.created", b"{}", timeout=TIMEOUT)
    assert await refused(bound.fetch(1, timeout=0.3))


@pytest.mark.parametrize("service", ["auth", "tickets", "web"])
async def test_only_the_operator_can_change_a_stream(sign_in: SignIn, service: str) -> None:
    js = (await sign_in(service)).jetstream(timeout=0.3)
    assert await refused(js.delete_stream("EVENTS"))
    assert await refused(js.purge_stream("TIMERS"))
    assert await refused(js.delete_consumer("EVENTS", "orders-ticket-created"))


@pytest.mark.parametrize("process", [*PUBLISHES, "web"])
async def test_every_process_can_read_session_ended_from_the_stream(sign_in: SignIn, process: str) -> None:
    await (await sign_in("auth")).jetstream().publish("session.ended", b"{}", timeout=TIMEOUT)
    connection = await sign_in(process, inbox_prefix=INBOX if process == "web" else "_INBOX")
    js = connection.jetstream(timeout=TIMEOUT)
    read = read_stream(js, EVENTS, "session.ended", now() - timedelta(hours=1))
    assert [message.body async for message in read] == [b"{}"]


@pytest.mark.parametrize("service", PUBLISHES)
async def test_every_service_can_subscribe_to_session_ended(sign_in: SignIn, service: str) -> None:
    await (await sign_in("auth")).jetstream().publish("session.ended", b"{}", timeout=TIMEOUT)
    js = (await sign_in(service)).jetstream(timeout=TIMEOUT)
    for config in (None, ConsumerConfig(name=f"{service}-sessions-1", ack_policy=AckPolicy.NONE)):
        ended = await js.subscribe(
            "session.ended", stream="EVENTS", ordered_consumer=config is None, config=config
        )
        assert (await ended.next_msg(timeout=TIMEOUT)).data == b"{}"
        await ended.unsubscribe()


async def test_expiration_can_cancel_its_timers(sign_in: SignIn) -> None:
    js = (await sign_in("expiration")).jetstream(timeout=TIMEOUT)
    await js.publish("timers.order.1", b"{}", timeout=TIMEOUT)
    assert await js.purge_stream("TIMERS", subject="timers.order.1")


async def test_the_web_tier_receives_live_events_and_can_publish_none(sign_in: SignIn) -> None:
    web = await sign_in("web")
    live = await web.subscribe("live.>")
    direct = await web.subscribe("ticket.>")
    await web.flush()
    await (await sign_in("tickets")).jetstream().publish("ticket.created", b"{}", timeout=TIMEOUT)
    assert (await live.next_msg(timeout=TIMEOUT)).subject == "live.ticket.created"
    await web.publish("live.ticket.created", b"made up")
    await web.flush()
    assert await refused(live.next_msg(timeout=0.3))
    assert await refused(direct.next_msg(timeout=0.1))


async def test_the_web_tier_reads_the_last_event_about_a_ticket(sign_in: SignIn) -> None:
    await (await sign_in("tickets")).jetstream().publish("ticket.created", b"{}", timeout=TIMEOUT)
    js = (await sign_in("web", inbox_prefix=INBOX)).jetstream(timeout=TIMEOUT)
    assert (await js.get_last_msg(EVENTS, "ticket.*")).data == b"{}"


async def test_the_web_tier_can_query_jetstream_and_receives_no_answers_to_other_users(
    sign_in: SignIn,
) -> None:
    web = await sign_in("web", inbox_prefix=INBOX)
    assert (await web.jetstream(timeout=TIMEOUT).account_info()).streams == 3
    others = await web.subscribe("_INBOX.>")
    await web.flush()
    await (await sign_in("tickets")).jetstream().publish("ticket.created", b"{}", timeout=TIMEOUT)
    assert await refused(others.next_msg(timeout=0.3))
