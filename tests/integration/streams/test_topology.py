"""`ops provision` creates and updates the streams and consumers of NATS."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError

from kit.nats import NoAnswer
from ops import provision as provision_module
from ops.provision import provision, provision_servers
from sandbox.processes import FROM_CHECKOUT
from settings import Settings
from streams.topology import ACK_WAIT, set_limits, streams
from tests.integration.streams.conftest import Nats

DAY = 24 * 3600

PROVISION = (sys.executable, "-m", "ops", "provision")


async def test_provisioning_twice_changes_nothing(js: JetStreamContext) -> None:
    before = [await js.stream_info(str(stream.name)) for stream in streams(1)]
    await provision(js)
    after = [await js.stream_info(str(stream.name)) for stream in streams(1)]
    assert [info.config for info in after] == [info.config for info in before]


async def test_provisioning_restores_what_the_code_needs(js: JetStreamContext) -> None:
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    info.config.ack_wait = 1
    await js.add_consumer("EVENTS", info.config)
    events = (await js.stream_info("EVENTS")).config
    await js.update_stream(replace(events, republish=None, duplicate_window=1))
    await provision(js)
    restored = (await js.consumer_info("EVENTS", "orders-ticket-created")).config
    assert restored.ack_wait == ACK_WAIT.total_seconds()
    assert (await js.stream_info("EVENTS")).config == events


async def test_provisioning_keeps_what_operators_have_set(js: JetStreamContext) -> None:
    info = await js.consumer_info("EVENTS", "orders-ticket-created")
    await js.add_consumer("EVENTS", replace(info.config, sample_freq="50%"))
    events = (await js.stream_info("EVENTS")).config
    mine = replace(events, max_age=7 * DAY, max_bytes=5_000_000, max_msg_size=100_000)
    await js.update_stream(mine)
    await provision(js)
    assert (await js.stream_info("EVENTS")).config == mine
    assert (await js.consumer_info("EVENTS", "orders-ticket-created")).config.sample_freq == "50%"


async def test_provisioning_sets_the_limits_that_are_given(js: JetStreamContext) -> None:
    limits = set_limits(Settings(events_days=60, events_max_mb=0, dead_max_mb=3))
    for _ in range(2):
        await provision(js, limits=limits)
        events, dead = [(await js.stream_info(name)).config for name in ("EVENTS", "DEAD")]
        assert (events.max_age, events.max_bytes, dead.max_bytes) == (60 * DAY, -1, 3_000_000)


async def test_a_server_with_little_storage_gets_streams_without_a_maximum_size(
    js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    petabytes = [replace(stream, max_bytes=10**15) for stream in streams(1)]
    monkeypatch.setattr(provision_module, "streams", lambda _: petabytes)
    await js.delete_stream("DEAD")
    with pytest.raises(APIError, match="insufficient storage"):
        await provision(js, limits={"DEAD": {"max_bytes": 10**15}})
    await provision(js)
    assert (await js.stream_info("DEAD")).config.max_bytes == -1


async def test_a_full_stream_of_dead_letters_refuses_more_and_keeps_those_that_it_has(
    js: JetStreamContext,
) -> None:
    await provision(js, limits={"DEAD": {"max_bytes": 10_000}})
    first = await js.publish("dead.orders.ticket.created", b"x" * 4000)
    await js.publish("dead.orders.ticket.created", b"x" * 4000)
    with pytest.raises(APIError, match="maximum bytes exceeded"):
        await js.publish("dead.orders.ticket.created", b"x" * 4000)
    assert (await js.stream_info("DEAD")).state.first_seq == first.seq


async def test_streams_have_the_documented_configuration(js: JetStreamContext) -> None:
    events = (await js.stream_info("EVENTS")).config
    assert (events.max_age, events.max_bytes) == (30 * DAY, 1_024_000_000)
    assert events.duplicate_window == 600
    assert events.republish is not None
    assert events.republish.dest == "live.>"
    timers = (await js.stream_info("TIMERS")).config
    assert timers.allow_msg_schedules
    assert (timers.max_age, timers.max_bytes) == (0, -1)


async def test_provisioning_three_replicas_on_one_server_fails_with_a_one_line_error(server: Nats) -> None:
    async with server.running():
        child = await asyncio.create_subprocess_exec(
            *PROVISION,
            env={**os.environ, **FROM_CHECKOUT, "NATS_URL": server.url, "NATS_REPLICAS": "3"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await child.communicate()
    assert child.returncode == 1
    [line] = stderr.decode().splitlines()
    assert line.startswith("The bus can't be provisioned with NATS_REPLICAS=3: replicas > 1")


async def test_provisioning_waits_for_a_server_that_is_not_running_yet(server: Nats) -> None:
    child = await asyncio.create_subprocess_exec(
        *PROVISION,
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
    first_line = (await child.stdout.readline()).decode()
    assert f"NATS doesn't answer at 127.0.0.1:{server.port}." in first_line
    async with server.running():
        rest, _ = await child.communicate()
    log = first_line + rest.decode()
    assert child.returncode == 0, log
    assert "the bus is provisioned" in log
    assert "well-kept" not in log


async def test_provisioning_is_retried_after_its_connection_was_closed(
    server: Nats, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    async def provision_after_closing_once(
        js: JetStreamContext, replicas: int, limits: Mapping[str, Mapping[str, Any]]
    ) -> None:
        attempts.append(replicas)
        if len(attempts) == 1:
            await js._nc.close()
        await provision(js, replicas, limits)

    monkeypatch.setattr(provision_module, "provision", provision_after_closing_once)
    await js.delete_consumer("EVENTS", "orders-ticket-created")
    await provision_servers([server.url], 1)
    assert (await js.consumer_info("EVENTS", "orders-ticket-created")).name
    assert attempts == [1, 1]


async def test_provisioning_gives_up_after_its_timeout(server: Nats) -> None:
    with pytest.raises(NoAnswer):
        await provision_servers([server.url], 1, within=0)
