"""What is provisioned is what services use."""

import asyncio
import importlib
import os

import pytest
from nats.js import JetStreamContext

from contracts.events import ALL_EVENTS, SessionEnded
from sandbox.processes import FROM_CHECKOUT, provisioning
from settings import SERVICES, ServiceName
from streams import topology
from streams.delivery import Listener
from streams.operator import NoAnswer
from streams.topology import ACK_WAIT, LISTENS, PUBLISHES, consumers, provision, streams
from tests.streams.conftest import Nats


async def test_provisioning_twice_changes_nothing(js: JetStreamContext) -> None:
    before = [await js.stream_info(str(stream.name)) for stream in streams(1)]
    await provision(js)
    after = [await js.stream_info(str(stream.name)) for stream in streams(1)]
    assert [info.config for info in after] == [info.config for info in before]


async def test_provisioning_mends_what_was_changed_by_hand(js: JetStreamContext) -> None:
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    info.config.ack_wait = 1
    await js.add_consumer("EVENTS", info.config)
    await provision(js)
    assert (
        await js.consumer_info("EVENTS", "orders-ticket-created")
    ).config.ack_wait == ACK_WAIT.total_seconds()


async def test_streams_are_as_promised(js: JetStreamContext) -> None:
    events = (await js.stream_info("EVENTS")).config
    assert events.max_age == 30 * 24 * 3600
    assert events.duplicate_window == 600
    assert events.republish is not None
    assert events.republish.dest == "live.>"
    timers = (await js.stream_info("TIMERS")).config
    assert timers.allow_msg_schedules
    assert not timers.max_age


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "auth"])
def test_a_service_subscribes_to_what_is_provisioned_for_it(service: ServiceName) -> None:
    listener: Listener = importlib.import_module(f"streams.{service}").listener
    subscribed = {subscriber.config.durable_name for subscriber in listener.subscribers}  # type: ignore[attr-defined]
    assert subscribed == {consumer.name for consumer in consumers(service)}


def test_every_event_has_one_that_says_it() -> None:
    said = [event for events in PUBLISHES.values() for event in events]
    assert sorted(event.subject for event in said) == sorted(event.subject for event in ALL_EVENTS)


def test_every_event_has_somebody_who_hears_it() -> None:
    heard = {event for events in LISTENS.values() for event in events}
    assert heard | {SessionEnded} == set(ALL_EVENTS)  # that one is heard by every process


async def test_a_single_server_refuses_three_copies_in_one_line(server: Nats) -> None:
    async with server.running():
        child = await asyncio.create_subprocess_exec(
            *provisioning().command,
            env={**os.environ, **FROM_CHECKOUT, "NATS_URL": server.url, "NATS_REPLICAS": "3"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, complaint = await child.communicate()
    assert child.returncode == 1
    [line] = complaint.decode().splitlines()
    assert line.startswith("The bus can't be provisioned with NATS_REPLICAS=3: replicas > 1")


async def test_provisioning_waits_for_a_server_that_does_not_run_yet(server: Nats) -> None:
    child = await asyncio.create_subprocess_exec(
        *provisioning().command,
        env={
            **os.environ,
            **FROM_CHECKOUT,
            "NATS_URL": f"nats://provision:well-kept@127.0.0.1:{server.port}",
            "LOG_LEVEL": "INFO",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert child.stdout is not None
    first = (await child.stdout.readline()).decode()
    assert f"NATS doesn't answer at 127.0.0.1:{server.port}." in first
    async with server.running():
        rest, _ = await child.communicate()
    said = first + rest.decode()
    assert child.returncode == 0, said
    assert "the bus is provisioned" in said
    assert "well-kept" not in said


async def test_provisioning_outlives_a_connection_that_is_closed_for_good(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    async def cut_off_at_first(js: JetStreamContext, replicas: int) -> None:
        tries.append(replicas)
        if len(tries) == 1:
            await js._nc.close()
        await provision(js, replicas)

    monkeypatch.setattr(topology, "provision", cut_off_at_first)
    await js.delete_consumer("EVENTS", "orders-ticket-created")
    await topology.provision_servers([server.url], 1)
    assert (await js.consumer_info("EVENTS", "orders-ticket-created")).name
    assert tries == [1, 1]


async def test_provisioning_in_vain_ends_when_patience_does(server: Nats) -> None:
    with pytest.raises(NoAnswer):
        await topology.provision_servers([server.url], 1, patience=0)
