"""With the NATS configuration of compose.yaml, a process can do what it needs to, and nothing else."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import nats.errors
import pytest
from nats.js.api import ConsumerConfig
from nats.js.errors import APIError

from contracts.wire import now
from kit.nats import EVENTS, inbox_prefix, read_subject
from ops import dead_letters
from ops.errors import CommandError
from settings import SERVICES
from streams.processes import CONSUMERS, PROCESSES
from streams.topology import DEAD, TIMERS
from tests.integration.deploy.nats_users import (
    CONFIG,
    ENVIRONMENT,
    PASSWORD,
    SERVER,
    Server,
    server_with_users,
)
from tests.support.polling import TIMEOUT, until

PROCESS_USERS = [*SERVICES, "web"]
PUBLISHES: dict[str, list[str]] = {
    service.name: [event.subject for event in service.publishes] for service in PROCESSES
}
REPAIRS_GAPS = [service.name for service in PROCESSES if service.repairs_gaps]
TIMER = f"timers.set.{'a' * 24}.1"

FOR_OPERATORS = [
    "$JS.API.STREAM.CREATE.MINE",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.MSG.GET.EVENTS",
    "$JS.API.STREAM.MSG.GET.TIMERS",
    "$JS.API.STREAM.MSG.GET.DEAD",
    "$JS.API.STREAM.MSG.DELETE.EVENTS",
    "$JS.API.STREAM.PURGE.EVENTS",
    "$JS.API.STREAM.PURGE.DEAD",
    "$JS.API.STREAM.UPDATE.EVENTS",
    "$JS.API.STREAM.DELETE.EVENTS",
    "$JS.API.STREAM.SNAPSHOT.EVENTS",
    "$JS.API.STREAM.RESTORE.EVENTS",
    "$JS.API.DIRECT.GET.EVENTS",
    "$JS.API.DIRECT.GET.EVENTS.payment.created",
    "$JS.API.DIRECT.GET.EVENTS.session.ended",
    "$JS.API.CONSUMER.CREATE.EVENTS",
    "$JS.API.CONSUMER.CREATE.EVENTS.mine",
    "$JS.API.CONSUMER.CREATE.EVENTS.mine.payment.created",
    "$JS.API.CONSUMER.CREATE.EVENTS.mine.session.ended",
    "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine",
    "$JS.API.CONSUMER.CREATE.DEAD",
    "$JS.API.CONSUMER.CREATE.TIMERS",
    "$JS.API.CONSUMER.NAMES.EVENTS",
    "live.ticket.updated",
    "live.session.ended",
    "timers.due.a",
    "dead.provision.ticket.created",
]
SUBSCRIPTIONS = [
    ">",
    "_INBOX.>",
    "_INBOX.provision.>",
    "_INBOX.*.*",
    "$JS.>",
    "$JS.ACK.>",
    "$JS.API.>",
    "dead.>",
    "timers.>",
    "ticket.>",
    "order.>",
    "payment.>",
    "session.ended",
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with server_with_users(tmp_path) as running:
        yield running


def check(config: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The server's own check of a configuration."""
    command = [str(SERVER), "-t", "-c", str(config)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def owned(user: str) -> list[str]:
    """The subjects on which only this user may publish."""
    reader = f"{user}-session-ended"
    subjects = [
        *PUBLISHES.get(user, []),
        f"$JS.API.CONSUMER.CREATE.EVENTS.{reader}.session.ended",
        f"$JS.API.CONSUMER.MSG.NEXT.EVENTS.{reader}",
        f"$JS.API.CONSUMER.DELETE.EVENTS.{reader}",
    ]
    if user in SERVICES:
        subjects.append(f"dead.{user}.order.created")
    for consumer in CONSUMERS:
        if consumer.service == user:
            name = f"{consumer.stream}.{consumer.name}"
            subjects += [
                f"$JS.API.CONSUMER.INFO.{name}",
                f"$JS.API.CONSUMER.MSG.NEXT.{name}",
                f"$JS.ACK.{name}.1.1.1.1.1",
            ]
    if user == "expiration":
        subjects += [TIMER, "$JS.API.STREAM.PURGE.TIMERS", "$JS.API.STREAM.INFO.TIMERS"]
    if user == "web":
        subjects += [f"$JS.API.DIRECT.GET.EVENTS.{event}" for event in ("ticket.created", "ticket.updated")]
    return subjects


def of_operators(owner: str) -> list[str]:
    """What not even a consumer's own service may do to the consumer."""
    names = [f"{each.stream}.{each.name}" for each in CONSUMERS if each.service == owner]
    return [
        f"$JS.API.CONSUMER.{operation}.{name}"
        for name in names
        for operation in ("DELETE", "CREATE", "DURABLE.CREATE", "PAUSE", "RESET", "UNPIN")
    ] + [
        f"$JS.API.CONSUMER.CREATE.{each.stream}.{each.name}.session.ended"
        for each in CONSUMERS
        if each.service == owner
    ]


@pytest.mark.parametrize("user", PROCESS_USERS)
def test_every_process_has_a_user_and_a_password(user: str) -> None:
    users = (CONFIG.parent / "users.conf").read_text()
    assert f"      user: {user}\n      password: $NATS_{user.upper()}_PASSWORD\n" in users, (
        f"add the user {user} to deploy/nats/users.conf"
    )


def test_the_server_accepts_the_configuration() -> None:
    checked = check(CONFIG, ENVIRONMENT)
    assert checked.returncode == 0, checked.stderr


def test_the_server_accepts_the_configuration_of_a_cluster_node() -> None:
    node = {
        "NATS_NAME": "nats-1",
        "NATS_ROUTE_PASSWORD": f'"{PASSWORD}"',
        "NATS_ROUTES": "[nats://route:secret@nats-1:6222, nats://route:secret@nats-2:6222]",
    }
    checked = check(CONFIG.with_name("cluster.conf"), ENVIRONMENT | node)
    assert checked.returncode == 0, checked.stderr


def test_the_server_does_not_start_without_the_passwords() -> None:
    assert check(CONFIG, {}).returncode != 0


@pytest.mark.parametrize("user", PROCESS_USERS)
async def test_a_user_can_publish_on_its_own_subjects_and_on_no_others(server: Server, user: str) -> None:
    process = await server.sign_in(user)
    for other in PROCESS_USERS:
        for subject in owned(other):
            assert await process.may_publish(subject) == (other == user), subject
        for subject in of_operators(other):
            assert not await process.may_publish(subject), subject
    for subject in FOR_OPERATORS:
        assert not await process.may_publish(subject), subject
    assert await process.may_publish("$JS.API.INFO")
    assert await process.may_publish("$JS.API.CONSUMER.LIST.EVENTS") == (user in REPAIRS_GAPS)


@pytest.mark.parametrize("user", PROCESS_USERS)
async def test_a_user_can_receive_only_its_own_answers_and_the_live_events_that_it_needs(
    server: Server, user: str
) -> None:
    process = await server.sign_in(user)
    for other in PROCESS_USERS:
        assert await process.may_subscribe(f"{inbox_prefix(other)}.>") == (other == user), other
    for subject in SUBSCRIPTIONS:
        assert not await process.may_subscribe(subject), subject
    live = {
        "live.session.ended": True,
        "live.ticket.*": user in ("tickets", "web"),
        "live.order.*": user == "web",
        "live.payment.*": user == "web",
        "live.>": user == "web",
    }
    for subject, allowed in live.items():
        assert await process.may_subscribe(subject) == allowed, subject


async def test_nobody_can_connect_without_a_password(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
    answers = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answers.endswith(b"-ERR 'Authorization Violation'\r\n")


@pytest.mark.parametrize("service", sorted({consumer.service for consumer in CONSUMERS}))
async def test_a_service_can_read_and_acknowledge_its_own_consumers(server: Server, service: str) -> None:
    process, operator = await server.sign_in(service), await server.sign_in("provision")
    for consumer in CONSUMERS:
        if consumer.service != service:
            continue
        await operator.js.publish(consumer.subject.replace("*", "a"), b"{}", timeout=TIMEOUT)
        bound = await process.js.pull_subscribe(
            consumer.subject, durable=consumer.name, stream=consumer.stream
        )
        [message] = await bound.fetch(1, timeout=TIMEOUT)
        await message.ack_sync(timeout=TIMEOUT)
        assert (await process.js.consumer_info(consumer.stream, consumer.name)).num_ack_pending == 0
    assert process.violations == []


@pytest.mark.parametrize("service", PUBLISHES)
async def test_a_service_can_store_its_events_and_dead_letters(server: Server, service: str) -> None:
    process = await server.sign_in(service)
    for subject in PUBLISHES[service]:
        await process.js.publish(subject, b"{}", stream=EVENTS, timeout=TIMEOUT)
    await process.js.publish(f"dead.{service}.a.b", b"{}", stream=DEAD, timeout=TIMEOUT)


@pytest.mark.parametrize("user", PROCESS_USERS)
async def test_every_process_can_read_session_ended_from_the_stream(server: Server, user: str) -> None:
    auth, process = await server.sign_in("auth"), await server.sign_in(user)
    await auth.js.publish("session.ended", b"{}", timeout=TIMEOUT)
    read = read_subject(process.connection, user, EVENTS, "session.ended", now() - timedelta(hours=1))
    assert [message.body async for message in read] == [b"{}"]
    assert process.violations == []


async def test_a_service_cannot_read_other_events_under_the_name_of_its_own_reader(server: Server) -> None:
    tickets = await server.sign_in("tickets")
    for wrong in ({"filter_subject": "payment.created"}, {"filter_subjects": ["payment.created"]}, {}):
        config = {"name": "tickets-session-ended", "ack_policy": "none", **wrong}
        answer = await tickets.connection.request(
            "$JS.API.CONSUMER.CREATE.EVENTS.tickets-session-ended.session.ended",
            json.dumps({"stream_name": EVENTS, "config": config}).encode(),
            timeout=TIMEOUT,
        )
        assert "error" in json.loads(answer.data), wrong


async def test_a_service_cannot_change_a_consumer_of_another_service(server: Server) -> None:
    tickets, operator = await server.sign_in("tickets"), await server.sign_in("provision")
    hijacked = ConsumerConfig(name="orders-ticket-created", filter_subject="session.ended")
    with pytest.raises(nats.errors.TimeoutError):
        await tickets.js.add_consumer(EVENTS, hijacked, timeout=0.2)
    config = {"name": "orders-ticket-created", "filter_subject": "session.ended"}
    await tickets.connection.request(
        "$JS.API.CONSUMER.CREATE.EVENTS.tickets-session-ended.session.ended",
        json.dumps({"stream_name": EVENTS, "config": config}).encode(),
        timeout=TIMEOUT,
    )
    assert (await operator.js.consumer_info(EVENTS, "orders-ticket-created")).config.filter_subject == (
        "ticket.created"
    )


async def test_an_answer_cannot_be_redirected_to_an_operators_request(server: Server) -> None:
    tickets, operator = await server.sign_in("tickets"), await server.sign_in("provision")
    await operator.js.publish("order.created", b"{}", timeout=TIMEOUT)
    for request in ("ticket.created", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.tickets-order-created"):
        await tickets.connection.publish(request, b"", reply="$JS.API.STREAM.PURGE.EVENTS")
    await tickets.processed()
    await operator.processed()
    assert (await operator.js.stream_info(EVENTS)).state.messages == 2


async def test_expiration_can_cancel_its_timers(server: Server) -> None:
    expiration = await server.sign_in("expiration")
    await expiration.js.publish(TIMER, b"{}", stream=TIMERS, timeout=TIMEOUT)
    assert await expiration.js.purge_stream(TIMERS, subject=TIMER.replace(".1", ".*"))


async def test_web_receives_live_events_and_reads_the_last_event_about_a_ticket(server: Server) -> None:
    web, tickets = await server.sign_in("web"), await server.sign_in("tickets")
    live = await web.connection.subscribe("live.>")
    await web.connection.flush()
    await tickets.js.publish("ticket.created", b"{}", timeout=TIMEOUT)
    assert (await live.next_msg(timeout=TIMEOUT)).subject == "live.ticket.created"
    assert (await web.js.get_last_msg(EVENTS, "ticket.created", direct=True)).seq == 1


async def test_a_planted_dead_letter_is_not_replayed(server: Server) -> None:
    """A service could otherwise have an operator publish events of other services."""
    tickets, operator = await server.sign_in("tickets"), await server.sign_in("provision")
    await operator.js.publish("order.created", b"genuine", timeout=TIMEOUT)
    await operator.js.publish("payment.created", b"genuine", timeout=TIMEOUT)
    by, headers = "tickets-order-created", {"Stagedoor-Subject": "payment.created"}
    letters = [
        ("payment.created", f"{by}:EVENTS:2", b"genuine"),  # not an event that tickets receives
        ("order.created", f"{by}:EVENTS:1", b"forged"),
        ("order.created", f"{by}:EVENTS:02", b"genuine"),
        ("order.created", f"{by}:EVENTS:9", b"forged"),
        ("order.created", "payments-order-created:EVENTS:1", b"genuine"),
        ("order.created", "", b"genuine"),
        ("timers.due.a", f"{by}:TIMERS:1", b"{}"),
    ]
    for subject, message_id, body in letters:
        letter = {**headers, "Nats-Msg-Id": message_id} if message_id else headers
        await tickets.js.publish(f"dead.tickets.{subject}", body, headers=letter, timeout=TIMEOUT)
    found = [letter async for letter in dead_letters.letters(operator.js)]
    assert len(found) == len(letters)
    for each in found:
        with pytest.raises(CommandError, match="wasn't replayed"):
            await dead_letters.replay(operator.js, each)
    assert (await operator.js.stream_info(EVENTS)).state.messages == 2
    assert (await operator.js.stream_info(DEAD)).state.messages == len(letters)


@pytest.mark.parametrize("owner", ["tickets", "tickets-order-created"], ids=["service", "earlier version"])
async def test_a_genuine_dead_letter_is_replayed_as_the_stream_has_it(server: Server, owner: str) -> None:
    operator = await server.sign_in("provision")
    await operator.js.publish("order.created", b"genuine", headers={"ce-id": "1"}, timeout=TIMEOUT)
    headers = {"Nats-Msg-Id": "tickets-order-created:EVENTS:1", "ce-id": "2"}
    await operator.js.publish(f"dead.{owner}.order.created", b"genuine", headers=headers, timeout=TIMEOUT)
    [letter] = [letter async for letter in dead_letters.letters(operator.js)]
    await dead_letters.replay(operator.js, letter)
    replayed = await operator.js.get_last_msg(EVENTS, "order.created")
    assert (replayed.seq, replayed.data, (replayed.headers or {})["ce-id"]) == (2, b"genuine", "1")
    assert [letter async for letter in dead_letters.letters(operator.js)] == []


async def test_a_dead_letter_of_a_timer_is_replayed(server: Server) -> None:
    expiration, operator = await server.sign_in("expiration"), await server.sign_in("provision")
    await expiration.js.publish("dead.expiration.timers.due.a", b"{}", timeout=TIMEOUT)
    [letter] = [letter async for letter in dead_letters.letters(operator.js)]
    await dead_letters.replay(operator.js, letter)
    assert (await operator.js.get_last_msg(TIMERS, "timers.due.a")).data == b"{}"


async def test_several_processes_of_a_service_each_read_all_ended_sessions(server: Server) -> None:
    auth, start = await server.sign_in("auth"), now() - timedelta(hours=1)
    await asyncio.gather(*(auth.js.publish("session.ended", b"{}", timeout=TIMEOUT) for _ in range(1200)))

    async def read() -> int:
        process = await server.sign_in("orders")
        reading = read_subject(process.connection, "orders", EVENTS, "session.ended", start)
        return len([message async for message in reading])

    assert await asyncio.gather(*(read() for _ in range(3))) == [1200] * 3


async def test_a_reader_is_informed_if_the_stream_does_not_exist(server: Server) -> None:
    auth, operator = await server.sign_in("auth"), await server.sign_in("provision")
    await operator.js.delete_stream(EVENTS)
    reading = read_subject(auth.connection, "auth", EVENTS, "session.ended", now())
    with pytest.raises(APIError, match="stream not found"):
        await anext(reading)


async def test_developers_receive_live_events_and_can_do_nothing_else(server: Server) -> None:
    developer, orders = await server.sign_in("developer"), await server.sign_in("orders")
    events = await developer.connection.subscribe("live.>")
    await developer.connection.flush()
    await orders.js.publish("order.created", b"{}")
    assert (await events.next_msg(timeout=TIMEOUT)).subject == "live.order.created"
    assert developer.violations == []

    refused = [
        *(subject for user in PROCESS_USERS for subject in owned(user)),
        *FOR_OPERATORS,
        "$JS.API.INFO",
    ]
    for subject in refused:
        await developer.connection.publish(subject, b"{}")
    for subject in ("_INBOX.>", *SUBSCRIPTIONS):
        await developer.connection.subscribe(subject)

    async def violations() -> int:
        return len(developer.violations)

    expected = len(refused) + 1 + len(SUBSCRIPTIONS)
    assert await until(violations, lambda count: count >= expected) == expected
